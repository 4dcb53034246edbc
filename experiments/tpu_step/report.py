"""The report about a program for a TPU: memory, contents, a bound on its time."""

from collections import Counter
from typing import Any

from tpu_step.chips import GIB, Chip
from tpu_step.program import DoesNotFitError, Program


def bound(program: Program, chip: Chip, chips: int) -> dict[str, float]:
    """A lower bound on the time of a step, in seconds, and its parts.

    ::

        max(operations / rate, bytes / memory bandwidth) + exchanged / link bandwidth

    Each argument is read at least once, and each result is written. In an all-reduce
    each chip sends 2 (n - 1) / n times the size of the sum. It cannot overlap with the
    products, since it begins when the gradient is complete. Temporaries, each written
    and read once, are reported apart and are no part of the bound: how much of their
    memory is gaps, or used twice, is not known.
    """
    exchanged = sum(
        c.bytes * (2 if c.kind == "all-reduce" else 1) for c in program.collectives
    )
    compute = program.flops / chip.flops
    memory = (program.arguments + program.results) / chip.memory_bandwidth
    links = exchanged * (chips - 1) / chips / chip.link_bandwidth
    return {
        "compute": compute,
        "memory": memory,
        "temporaries": 2 * program.temporaries / chip.memory_bandwidth,
        "links": links,
        "step": max(compute, memory) + links,
    }


def heading(about: dict[str, Any]) -> str:
    """Says what is compiled, and for what."""
    return (
        f"compiling for {about['topology']}, {about['chips']} x {about['device_kind']}:"
        f" {about['cell']} {about['layers']} x {about['hidden']}, {about['dtype']}, "
        f"batch {about['batch_size']} x {about['seq_len']}, {about['data_parallel']}\n"
        + "\n".join(f"layers by {way}" for way in dict.fromkeys(about["backends"]))
    )


def shortage(error: DoesNotFitError, chip: Chip) -> str:
    """Says which memory is short, and what to do about it."""
    if error.needed is None or error.available is None:
        return str(error)
    unit, scale = ("GiB", GIB) if error.memory == "HBM" else ("MiB", GIB / 2**10)
    found = (
        f"each {chip.name} chip needs {error.needed / scale:.2f} {unit} of "
        f"{error.memory}, and {error.available / scale:.2f} {unit} are available"
    )
    if error.memory == "HBM":
        return (
            f"{found} (of {chip.memory / GIB:.0f}); try a smaller --batch-size, more "
            "--slices, --remat, or a larger slice"
        )
    return f"{found} by a kernel; try another --backend"


def report(program: Program, chip: Chip, chips: int, limits: dict[str, float]) -> str:
    """The report, for people: the contents of a program, and its bound."""

    def line(what, number, unit, note=""):
        return f"  {what:<14}{number:>14,.2f} {unit:<8}{note}".rstrip()

    def mib(what, count, note=""):
        return line(what, count / 2**20, "MiB", note)

    def microseconds(what, note):
        return line(what, 1e6 * limits[what], "µs", note)

    everywhere = f"matrix products, by hand; {program.flops * chips / 1e9:,.2f} on all"
    share = program.memory / chip.memory
    bandwidth = f"{chip.memory_bandwidth / 1e9:,.0f} GB/s"
    lines = [
        f"{program.parameters:,} parameters; compiled in "
        f"{program.compile_seconds:.0f} s",
        "memory of each chip",
        mib("arguments", program.arguments, "the state, and a batch"),
        mib("results", program.results),
        mib("in place", -program.aliased, "results that overwrite arguments"),
        mib("temporaries", program.temporaries),
        mib("code", program.code),
        mib("together", program.memory, f"{share:.1%} of {chip.memory / GIB:.0f} GiB"),
        mib("peak", program.peak, "in use at once, memory within the chip included"),
        "the program of each chip",
        line("operations", program.flops / 1e9, "GFLOP", everywhere),
        line(
            "XLA counts",
            program.xla_flops / 1e9,
            "GFLOP",
            "a loop's body once, no kernel",
        ),
        *_collective_lines(program.collectives, mib),
        "  Pallas kernels  "
        + (_counted(program.kernels) if program.kernels else "none"),
        "a lower bound on the time of a step, not a measurement",
        microseconds("compute", f"at {chip.flops / 1e12:,.0f} TFLOP/s (bfloat16)"),
        microseconds("memory", f"at {bandwidth}: arguments in, results out"),
        microseconds("temporaries", "out and in again: beside the bound"),
        microseconds("links", f"at {chip.link_bandwidth / 1e9:,.0f} GB/s"),
        microseconds("step", "the longer of compute and memory, and links"),
    ]
    return "\n".join(lines)


def _collective_lines(collectives, mib):
    if not collectives:
        return ["  no exchange between chips"]
    lines = [
        mib(c.kind, c.bytes, "at each turn of a loop" if c.in_loop else "once a step")
        for c in collectives
    ]
    if len(lines) > 1:
        total = sum(c.bytes for c in collectives)
        lines.append(mib("together", total, f"{len(lines)} exchanges"))
    return lines


def _counted(names):
    return ", ".join(f"{name} x {n}" for name, n in Counter(names).items())
