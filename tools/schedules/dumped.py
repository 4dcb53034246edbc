"""A TPU program from what libtpu dumps of it: its kernels, and how often each runs.

With ``--xla_jf_dump_to=DIR --xla_jf_dump_llo_text=true`` in ``LIBTPU_INIT_ARGS`` the
files in ``DIR`` are called ``<time>-<kernel>-<number>-<pass>.txt``. A kernel is called
as its HLO instruction; ``TLP`` is the top-level program, which calls the others and has
XLA's loops in it. Of kernels that are the same only one is dumped.
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from schedules.bundles import Slot, Total, UnresolvedError, parse, run, total

PROGRAM = "TLP"


class Kernel(NamedTuple):
    """A kernel of a program."""

    name: str
    """That of its HLO instruction."""
    executions: int
    """How often the program calls it."""
    once: Total
    """What one execution comes to."""
    pallas: bool
    """Whether it is a Pallas kernel, not one of XLA's."""


class Program(NamedTuple):
    """A compiled program."""

    kernels: list[Kernel]
    """Its kernels, in the order of their first calls."""
    control: list[Slot]
    """The top-level program itself, without the kernels."""


class Share(NamedTuple):
    """What a part of a program comes to, in each step of time."""

    slots: float
    bundles: float
    matmuls: float
    hbm_bytes: float
    unsized: float
    waits: float
    assumed: float
    """Of `slots`, those of kernels that may in fact be jumped over."""


def program(directory: Path) -> Program:
    """Reads the one program that was compiled with its dump in `directory`.

    Raises:
      UnresolvedError: If there is not one program, or a kernel of it is not found, or
        how often something runs is not known before it runs.
    """
    schedules = {}
    for path in sorted(directory.glob("*-packed-bundles-post-ra.txt")):
        _, _, name = path.name.partition("-")
        name = re.sub(r"-\d+-packed-bundles-post-ra\.txt$", "", name)
        if name.endswith("txt") or "schedule-analysis_" in name:
            continue
        if name in schedules and name == PROGRAM:
            raise UnresolvedError(f"two programs in {directory}")
        schedules[name] = path
    if PROGRAM not in schedules:
        raise UnresolvedError(f"no program in {directory}")
    [hlo] = directory.glob(f"*-{PROGRAM}-hlo.txt")
    twins = _Twins(hlo.read_text("utf-8"))
    control = _run(schedules, PROGRAM)
    calls = sum((slot.calls for slot in control), Counter())
    kernels, totals = [], {}
    for name, executions in calls.items():
        dumped = name if name in schedules else twins.of(name, schedules)
        if dumped not in totals:
            totals[dumped] = total(_run(schedules, dumped))
        kernels.append(Kernel(name, executions, totals[dumped], twins.is_pallas(name)))
    return Program(kernels, control)


def per_step(made: Program, steps: int) -> dict[str, Share]:
    """Splits a program over a sequence into what runs in its loop over time, and not.

    In the loop are all kernels that run at least once for every second step, and Pallas
    kernels, which have the loop inside; and of the top-level program, what is passed
    as often.

    Args:
      made: The program.
      steps: The steps of time that it takes.

    Returns:
      ``loop``, ``outside`` and ``total``, each divided by `steps`.
    """

    def often(times):
        return 2 * times >= steps

    parts = {"loop": [], "outside": []}
    for kernel in made.kernels:
        inside = kernel.pallas or often(kernel.executions)
        once = (kernel.executions * value for value in kernel.once)
        parts["loop" if inside else "outside"].append(Total(*once))
    # The program itself runs at all only if what starts it says so: nothing to tell.
    control = [replace(slot, assumed=0) for slot in made.control]
    parts["loop"].append(total(slot for slot in control if often(slot.visits)))
    parts["outside"].append(total(slot for slot in control if not often(slot.visits)))
    parts["total"] = parts["loop"] + parts["outside"]

    def share(part):
        summed = Total(*map(sum, zip(*part, strict=True)))
        moved = summed.read + summed.written
        return Share(
            summed.slots / steps,
            summed.bundles / steps,
            summed.matmuls / steps,
            moved / steps,
            summed.unsized / steps,
            summed.waits / steps,
            summed.assumed / steps,
        )

    return {name: share(part) for name, part in parts.items()}


def _run(schedules, name):
    try:
        return run(parse(schedules[name].read_text("utf-8")))
    except UnresolvedError as error:
        raise UnresolvedError(f"{name}: {error}") from error


_NAME = re.compile(r"%([\w.-]+)")


class _Twins:
    """Instructions of an HLO module by what they compute, whatever they are called."""

    def __init__(self, hlo):
        self.lines: dict[str, str] = {}
        self.computations: dict[str, list[str]] = {}
        inside: list[str] = []
        for line in hlo.splitlines():
            if found := re.match(r"(?:ENTRY )?%(\S+) \(.*\{$", line):
                inside = self.computations[found[1]] = []
            elif found := re.match(r"  (?:ROOT )?%(\S+) = (.*)", line):
                text = re.sub(r", (metadata|sharding)=\{.*?\}(?=, |$)", "", found[2])
                windows = re.findall(r'"window_config":\{[^}]*\}', text)
                self.lines[found[1]] = text.partition(", backend_config=")[0]
                self.lines[found[1]] += "".join(windows)
                inside.append(found[1])

    def is_pallas(self, name):
        return 'custom_call_target="tpu_custom_call"' in self.lines.get(name, "")

    def of(self, name, dumped):
        """The dumped kernel that is the same as one that was not dumped."""
        if name in self.lines:
            wanted = self._signature(name)
            for other in dumped:
                if other in self.lines and self._signature(other) == wanted:
                    return other
        raise UnresolvedError(f"no schedule of {name}")

    def _signature(self, name):
        """An instruction with shapes and computations in place of their names."""

        def described(match: re.Match[str]) -> str:
            of = match[1]
            if of in self.computations:
                return self._body(of)
            return _shape(self.lines[of]) if of in self.lines else str(of)

        return _NAME.sub(described, self.lines[name])

    def _body(self, name) -> str:
        """A computation, its instructions numbered."""
        names = self.computations[name]
        order: dict[str, str] = {of: f"%{index}" for index, of in enumerate(names)}

        def described(match: re.Match[str]) -> str:
            of = match[1]
            return self._body(of) if of in self.computations else order.get(of, of)

        lines = [_NAME.sub(described, self.lines[of]) for of in names]
        return f"{{{'; '.join(lines)}}}"


def _shape(text: str) -> str:
    """The shape at the beginning of an instruction: a tuple's is in parentheses."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "({") - (character in ")}")
        if character == " " and depth == 0:
            return text[:index]
    return text
