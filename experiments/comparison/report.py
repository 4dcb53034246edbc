"""What a comparison found: medians over seeds, as numbers and as a table."""

import statistics
from collections.abc import Sequence
from typing import Any

from comparison.runs import Compared


def summary(compared: Sequence[Compared]) -> dict[str, Any]:
    """Medians over seeds: by text, by what is equal, and by cell."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys((x.text, x.what, x.cell) for x in compared):
        of = [x for x in compared if (x.text, x.what, x.cell) == key]
        whole = [x.result for x in of if is_whole(x)]

        def median(name, results):
            values = [result[name] for result in results]
            return statistics.median(values) if values else None

        results = [x.result for x in of]
        text, what, cell = key
        found.setdefault(text, {}).setdefault(f"equal {what}", {})[cell] = {
            "hidden": of[0].hidden,
            "parameters": results[0]["parameters"],
            "nats_per_char": median("val_nats_per_char", results),
            "passes": median("epochs", results),
            "steps": median("steps", results),
            "chars_per_second": median("chars_per_second", whole),
            "chars_per_second_of_steps": median("chars_per_second_of_steps", whole),
            "compile_seconds": median("compile_seconds", results),
            "peak_memory_mb": median("peak_memory_mb", whole),
            "seeds": len(of),
        }
    return found


def is_whole(one: Compared) -> bool:
    """Whether speed and memory are known: of one process, from the first step on."""
    result = one.result
    return not result["resumed_from_step"] and result["chars_per_second"] is not None


def table(found: dict[str, Any]) -> str:
    """What was measured, as a table: medians over seeds, and on how many steps."""
    lines = []
    for text, comparisons in found.items():
        for what, cells in comparisons.items():
            lines.append(f"{text}, {what}, medians of seeds:")
            for cell, of in cells.items():
                speed, steps = of["chars_per_second"], of["chars_per_second_of_steps"]
                told = "speed not known"
                if speed is not None:
                    told = f"{speed:,.0f} characters/s over {steps:,.0f} steps"
                lines.append(
                    f"  {cell:<5} {of['hidden']:>4} units  {of['nats_per_char']:.4f} "
                    f"nats after {of['steps']:,.0f} steps; {told}; compiling took "
                    f"{of['compile_seconds']:.1f} s"
                )
    return "\n".join(lines)


def line(one: Compared) -> str:
    """One run in a line."""
    result = one.result
    speed = result["chars_per_second"]
    told = "no speed" if speed is None else f"{speed:,.0f} characters a second"
    return (
        f"{one.text}, equal {one.what}: {one.cell} of {one.hidden}, "
        f"{result['val_nats_per_char']:.4f} nats after {result['steps']:,} steps, "
        f"{told}"
    )
