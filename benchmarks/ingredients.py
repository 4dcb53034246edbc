"""What each ingredient of a preset costs in time: steps of `quality.py`'s ablation.

    python benchmarks/ingredients.py

The training step of each variant, as char_gen.py takes it, is timed in turns with those
of all others. The last line on standard output is one JSON object: characters a second,
and the time of a character relative to that of the base.
"""

import jaxtext.needs_experiments

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "experiments"))

import jax
import tyro
from measuring import record
from measuring.timing import interleave, spread, visit
from quality import STUDIES, chosen
from train import STEPS, our_trainer

import jaxtext as jt
from charlm.batches import build_batches, fit
from charlm.build import build_trainer
from charlm.parse import parse
from jaxtext.streams import script

STUDY = STUDIES["ablation"]


@dataclass(frozen=True)
class Config:
    """Time the training step of each variant of the ablation."""

    corpus: str = "tinyshakespeare"
    """Text to train on, as for char_gen.py."""
    variants: tuple[str, ...] = ()
    """Only these, and the base. Default: all."""
    seconds: float = 240.0
    """How long to time, everybody together; five rounds at least."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict:
    """Times everybody, and returns the result.

    Raises:
      InputError: If there is no such text, or variant.
    """
    corpus = jt.text.load([config.corpus])
    visits, characters, parameters = {}, {}, {}
    say = partial(print, file=sys.stderr)
    base = STUDY.variants[0]
    for name, flags in dict([base, *chosen(STUDY, config.variants)]).items():
        of = parse(["--preset", STUDY.preset, *STUDY.flags.split(), *flags.split()])
        train, _ = jt.text.split(corpus.ids, of.val_fraction)
        batches = build_batches(of, train, fit(of, len(train)))
        trainer = build_trainer(of, len(corpus.vocabulary), batches.batch_size)
        state = trainer.create(jax.random.key(0))
        parameters[name] = sum(x.size for x in jax.tree.leaves(state.params))
        run = our_trainer(trainer.parallel, state, partial(batches.batch, 0))
        run()  # compiles
        visits[name] = partial(visit, run, 1.0)
        characters[name] = STEPS * batches.characters_per_batch
        say(f"compiled: {name}")
    times = interleave(visits, rounds=1000, seconds=config.seconds)
    rows = []
    for name, milliseconds in times.items():
        found = spread(milliseconds)
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


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    record.print_last_line(measure(config), config.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
