"""Reads a TPU program from libtpu's dump: its kernels, and how often each runs.

With ``--xla_jf_dump_to=DIR --xla_jf_dump_llo_text=true`` in ``LIBTPU_INIT_ARGS``, the
files in ``DIR`` are ``<time>-<kernel>-<number>-<pass>.txt``. A kernel has the name of
its HLO instruction. ``TLP`` is the top-level program, which calls the kernels and
contains XLA's loops. Of several equal kernels only one is dumped.
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
    """The name of its HLO instruction."""
    executions: int
    """The number of its calls."""
    once: Total
    """The counts of one execution."""
    pallas: bool
    """Whether it is a Pallas kernel and not one of XLA."""


class Program(NamedTuple):
    """A compiled program."""

    kernels: list[Kernel]
    """Its kernels, in the order of their first calls."""
    control: list[Slot]
    """The top-level program itself, without the kernels."""


class Share(NamedTuple):
    """The counts of a part of a program, divided by the steps of time."""

    slots: float
    bundles: float
    matmuls: float
    hbm_bytes: float
    unsized: float
    waits: float
    assumed: float
    """Those of `slots` that kernels may in fact skip."""


def program(directory: Path) -> Program:
    """Reads the one program whose dump is in `directory`.

    Raises:
      UnresolvedError: If there is not exactly one program, if one of its kernels is not
        found, or if the schedules do not determine how often something runs.
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
    """Splits a program over a sequence into its loop over time and the rest.

    The loop has all kernels that run at least once in two steps, and Pallas kernels,
    which contain the loop. It also has the slots of the top-level program that run as
    often.

    Args:
      made: The program.
      steps: The length of the sequence.

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
    # The whole program depends on a branch at its start, which says nothing about it.
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
    """Finds equal instructions of an HLO module, whatever their names."""

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
        """The dumped kernel that is equal to this one."""
        if name in self.lines:
            wanted = self._signature(name)
            for other in dumped:
                if other in self.lines and self._signature(other) == wanted:
                    return other
        raise UnresolvedError(f"no schedule of {name}")

    def _signature(self, name):
        """An instruction, with its operands' names replaced by their shapes."""

        def described(match: re.Match[str]) -> str:
            of = match[1]
            if of in self.computations:
                return self._body(of)
            return _shape(self.lines[of]) if of in self.lines else str(of)

        return _NAME.sub(described, self.lines[name])

    def _body(self, name) -> str:
        """A computation with numbers for the names of its instructions."""
        names = self.computations[name]
        order: dict[str, str] = {of: f"%{index}" for index, of in enumerate(names)}

        def described(match: re.Match[str]) -> str:
            of = match[1]
            return self._body(of) if of in self.computations else order.get(of, of)

        lines = [_NAME.sub(described, self.lines[of]) for of in names]
        return f"{{{'; '.join(lines)}}}"


def _shape(text: str) -> str:
    """The shape at the start of an instruction. A tuple has it in parentheses."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "({") - (character in ")}")
        if character == " " and depth == 0:
            return text[:index]
    return text
