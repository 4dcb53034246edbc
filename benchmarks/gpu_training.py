"""The training of char_gen.py by each backend, beside the same steps on torch's cuDNN.

    python benchmarks/gpu_training.py --ways mosaic_gpu/bfloat16,torch/bfloat16

Each way is a process of `experiments/char_gen.py`, or of `torch_train.py`, that has so
many seconds, start and compilation included. The shape is that of the preset
``shakespeare``, without the layer norm and the noise that cuDNN does not have, so that
the model is the same for all. What is compared is ``chars_per_second``, the speed of
the steps alone. The losses are after different numbers of steps, given as ``steps``: a
faster way takes more of them, and `char_gen.py` keeps some of its seconds for
validation, where `torch_train.py` validates when they are over. ``scan+graphs`` is the
scan with XLA's loops captured as CUDA graphs. The last line on standard output is one
JSON object.

Exit status: 0 done; 1 a way failed. One that a backend cannot go is left out.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from measuring import jobs, record
from measuring.graphs import GRAPHS, with_graphs
from measuring.workload import listed

from jaxtext.streams import script

CHAR_GEN = "experiments/char_gen.py"
# What torch_train.py has as well; with the preset's width, batch and length.
SAME = (
    *("--preset", "shakespeare", "--no-layer-norm", "--weight-drop", 0),
    *("--dropout", 0, "--reset-probability", 0, "--learning-rate", 4e-3),
    *("--sample-every", 0, "--save-minutes", 60),
)
REFUSED = 2  # char_gen.py's exit status for what it, or a backend, cannot do
MEASURED = ("chars_per_second", "train_nats_per_char", "val_nats_per_char", "steps")


@dataclass(frozen=True)
class Config:
    """Train by each backend for a while, beside torch."""

    ways: tuple[str, ...] = ("fused/float32", "scan/float32", "torch/float32")
    """BACKEND/DTYPE, of jaxtext or torch; BACKEND+graphs for CUDA graphs."""
    seconds: float = 20.0
    """How long each may take."""
    total: float = math.inf
    """Begin none that could not end within so many seconds; it is left out."""
    cell: str = "lstm"
    """The cell."""
    hidden: int = 512
    """Width of the layer."""
    batch_size: int = 32
    """Streams read side by side."""
    seq_len: int = 64
    """Characters of each stream in a batch."""
    corpus: str = "stdlib"
    """Text to train on, as for char_gen.py."""
    characters: int = 1_000_000
    """Use only so many characters from its beginning."""
    out: Path | None = None
    """Also write the JSON to this file, which grows on the way."""


def command(config: Config, way: str, scratch: Path) -> list[Any]:
    """What is run for a way."""
    backend, dtype = way.split("/")
    sizes = [
        *("--cell", config.cell, "--dtype", dtype, "--hidden", config.hidden),
        *("--batch-size", config.batch_size, "--seq-len", config.seq_len),
        *("--corpus", config.corpus, "--characters", config.characters),
    ]
    if backend == "torch":
        return ["benchmarks/loops/torch_train.py", "--seconds", config.seconds, *sizes]
    workdir = scratch / way.replace("/", "-")
    ours = ["--backend", backend.removesuffix(GRAPHS), "--workdir", workdir]
    return [CHAR_GEN, *SAME, "--minutes", config.seconds / 60, *ours, *sizes]


def measure(config: Config) -> dict[str, Any]:
    """Trains one way after the other, and returns the result."""
    rows, left_out, failed = [], {}, {}
    names = ("cell", "hidden", "batch_size", "seq_len", "corpus", "characters")
    shape = {name: getattr(config, name) for name in names}
    result = {"rows": rows, "left_out": left_out, "failed": failed, **shape}
    result |= record.environment()
    end = time.monotonic() + config.total
    with tempfile.TemporaryDirectory() as scratch:
        for way in listed(config.ways):
            flags = with_graphs() if GRAPHS in way else os.environ.get("XLA_FLAGS", "")
            if flags is None:
                left_out[way] = "XLA may not know the flags for it in this version"
                continue
            if time.monotonic() + config.seconds > end:
                left_out[way] = "no time was left"
                continue
            done = jobs.run(
                *command(config, way, Path(scratch)),
                seconds=2 * config.seconds + 15,
                log=config.out and config.out.with_suffix(".log"),
                environment={**os.environ, "XLA_FLAGS": flags},
            )
            if done.result is not None:
                row = {name: done.result[name] for name in MEASURED}
                rows.append({"way": way, **row, "seconds": done.result["seconds"]})
            else:
                refused = done.status == REFUSED
                (left_out if refused else failed)[way] = done.reason
            print(f"{way}: {done.reason or told(rows[-1])}", file=sys.stderr)
            if config.out is not None:
                record.write(result, config.out)
    return result


def told(row: dict[str, Any]) -> str:
    """A row in words."""
    return (
        f"{row['chars_per_second']:,.0f} chars/s, {row['steps']} steps, "
        f"{row['train_nats_per_char']:.3f} nats/char, "
        f"{row['val_nats_per_char']:.3f} in validation"
    )


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the result as the last line."""
    config = tyro.cli(Config, args=argv)
    result = measure(config)
    record.print_last_line(result, config.out)
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
