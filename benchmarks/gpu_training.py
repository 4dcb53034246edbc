"""Training speed of char_gen.py with each backend, beside torch's cuDNN.

    python benchmarks/gpu_training.py --ways mosaic_gpu/bfloat16,torch/bfloat16

Each way to train is a process of `experiments/char_gen.py` or of
`loops/torch_train.py`. It has a number of seconds, including its start and compilation.
The model is that of the preset ``shakespeare`` without layer norm and noise, which
cuDNN does not have, so that it is the same for all.

Compare ``chars_per_second``, the speed of the steps alone. Do not compare the losses:
they are after different numbers of ``steps``. A faster way takes more steps, and
`char_gen.py` validates within its seconds, `torch_train.py` after them.
``scan+graphs`` is the scan with XLA's loops captured as CUDA graphs. The last line on
standard output is one JSON object.

Exit status: 0 done; 1 a way failed. A way that its backend refuses is left out.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import math
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import jobs, record
from measuring.command import chosen, command
from measuring.graphs import GRAPHS, with_graphs
from measuring.workload import listed

from jaxtext.streams import say

CHAR_GEN = "experiments/char_gen.py"
# Only what torch_train.py has as well.
SAME = (
    *("--preset", "shakespeare", "--no-layer-norm", "--weight-drop", 0),
    *("--dropout", 0, "--reset-probability", 0, "--learning-rate", 4e-3),
    *("--sample-every", 0, "--save-minutes", 60),
)
REFUSED = 2  # the exit status of char_gen.py if a backend cannot do it
MEASURED = ("chars_per_second", "train_nats_per_char", "val_nats_per_char", "steps")


@dataclass(frozen=True)
class Config:
    """Train for a while with each backend, and with torch."""

    ways: tuple[str, ...] = ("fused/float32", "scan/float32", "torch/float32")
    """BACKEND/DTYPE; torch/DTYPE for torch; BACKEND+graphs/DTYPE for CUDA graphs."""
    seconds: float = 20.0
    """Time for each way."""
    total: float = math.inf
    """Leave out a way that could not end within so many seconds from the start."""
    cell: str = "lstm"
    """Cell."""
    hidden: int = 512
    """Width of the layer."""
    batch_size: int = 32
    """Streams in a batch."""
    seq_len: int = 64
    """Characters of each stream in a batch."""
    corpus: str = "stdlib"
    """Text to train on, as for char_gen.py."""
    characters: int = 1_000_000
    """Use only so many characters from the beginning of the text."""
    out: Path | None = None
    """Also write the JSON to this file, after each way."""


def words(config: Config, way: str, scratch: Path) -> list[Any]:
    """The command of a way: a script and its flags."""
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
    ours += ["--compilation-cache", ""]  # compiling is part of the time
    return [CHAR_GEN, *SAME, "--minutes", config.seconds / 60, *ours, *sizes]


def measure(config: Config) -> dict[str, Any]:
    """Trains one way after the other, and returns the result."""
    rows, left_out, failed = [], {}, {}
    shape = chosen(config, "cell", "hidden", "batch_size", "seq_len")
    shape |= chosen(config, "corpus", "characters")
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
                *words(config, way, Path(scratch)),
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
            say(f"{way}: {done.reason or told(rows[-1])}")
            if config.out is not None:
                record.write(result, config.out)
    return result


def told(row: dict[str, Any]) -> str:
    """A row of the result as a sentence."""
    return (
        f"{row['chars_per_second']:,.0f} chars/s, {row['steps']} steps, "
        f"{row['train_nats_per_char']:.3f} nats/char, "
        f"{row['val_nats_per_char']:.3f} in validation"
    )


main = command(Config, measure, failed=lambda result: bool(result["failed"]))

if __name__ == "__main__":
    sys.exit(main())
