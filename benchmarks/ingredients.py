"""What each ingredient of a preset costs in time.

    python benchmarks/ingredients.py

The training steps of all variants of the study `ablation` (`studies/variants.py`) are
timed in turns. The last line on standard output is one JSON object: the characters a
second of each variant, and its time for a character relative to the base.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from loops.experiment import training
from loops.ours import STEPS, repeated
from measuring import record
from measuring.command import command
from measuring.timing import in_turns
from studies.variants import STUDIES, select

from jaxtext.streams import say

STUDY = STUDIES["ablation"]


@dataclass(frozen=True)
class Config:
    """Time the training step of each variant of the ablation."""

    corpus: str = "tinyshakespeare"
    """Text to train on, as for char_gen.py."""
    variants: tuple[str, ...] = ()
    """Only these variants, and the base. Default: all."""
    seconds: float = 240.0
    """Time for all variants together. At least five rounds are made."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Times the variants, and returns the result.

    Raises:
      InputError: If there is no such text, or variant.
    """
    programs, characters, parameters = {}, {}, {}
    base, *_ = STUDY.variants
    for name, flags in dict([base, *select(STUDY, config.variants)]).items():
        given = ["--preset", STUDY.preset, *STUDY.flags.split(), *flags.split()]
        of = training([*given, "--corpus", config.corpus])
        parameters[name] = sum(x.size for x in jax.tree.leaves(of.state.params))
        programs[name] = repeated(of.parallel, of.state, of.batch)
        characters[name] = STEPS * of.characters_per_batch
    times = in_turns(programs, visit_seconds=1.0, seconds=config.seconds)
    rows = []
    for name, found in times.items():
        speed = 1e3 * characters[name] / found["median_ms"]
        row = {"variant": name, "parameters": parameters[name]}
        rows.append({**row, "chars_per_second": speed, **found})
    for row in rows:
        row["relative_time"] = rows[0]["chars_per_second"] / row["chars_per_second"]
        say(
            f"{row['variant']:26}{row['chars_per_second']:10,.0f} chars/s"
            f"{row['relative_time']:8.2f}"
        )
    return {"preset": STUDY.preset, "rows": rows, **record.environment()}


main = command(Config, measure)

if __name__ == "__main__":
    sys.exit(main())
