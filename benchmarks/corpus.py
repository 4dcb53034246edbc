"""A large text beside a tiny one: time to prepare it, and resident memory.

    python benchmarks/corpus.py --out benchmarks/results/corpus.json
    python benchmarks/corpus.py --megabytes 100

The texts are random pieces of the standard library's source, in a temporary directory.
Each text is prepared twice; the second time it is found in the cache. Then a small
language model trains on batches from all over it. Each of the three is a process of its
own, whose resident memory is read from /proc (Linux). At the end batches from the file
are timed beside the same batches from a memory map. The last line on standard output is
one JSON object.
"""

import jaxtext.needs_experiments

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import optax
from measuring import record
from measuring.command import command
from measuring.timing import spread

import jaxtext as jt
from jaxtext.streams import say
from jaxtext.text import Ids, Streams, Windows, fit

PIECE = 1 << 16  # characters
TINY = 100  # characters, the fewest that a corpus may have
SHAPES = ((16, 32), (256, 200))  # of the batches that are timed: B, T


@dataclass(frozen=True)
class Config:
    """Measure the preparation of texts, and memory while preparing and training."""

    megabytes: float = 1000.0
    """Size of the large texts, in 10**6 bytes."""
    steps: int = 400
    """How many training steps to take on each text."""
    batches: int = 500
    """How many batches of each kind to time."""
    out: Path | None = None
    """Also write the JSON to this file."""


def write_text(path: Path, size: int, mark: str) -> None:
    """Writes `size` bytes: random pieces of the standard library, each with a mark."""
    with tempfile.TemporaryDirectory() as cache:
        corpus = jt.text.load(["stdlib"], cache=Path(cache))
        text = corpus.vocabulary.decode(corpus.ids)
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        while (missing := size - file.tell()) > 0:
            start = rng.integers(len(text) - PIECE)
            piece = f"{mark}{text[start : start + PIECE]}".encode()
            # The end of the piece may cut a character in two.
            file.write(piece[:missing].decode(errors="ignore").encode() or b"\n")


def prepare(text: Path, cache: Path) -> dict:
    """Prepares a text, or reads it from the cache."""
    start_mb = _resident_mb("VmHWM")
    begin = time.monotonic()
    corpus = jt.text.load([str(text)], cache=cache)
    seconds = time.monotonic() - begin
    return {
        "characters": len(corpus.ids),
        "distinct": len(corpus.vocabulary),
        "seconds": seconds,
        "start_mb": start_mb,
        "peak_mb": _resident_mb("VmHWM"),
    }


def train(text: Path, cache: Path, steps: int) -> dict:
    """Trains on streams, with batches from all over an epoch.

    Memory is read after a tenth of the steps, when compilation is over, and at the end.
    """
    corpus = jt.text.load([str(text)], cache=cache)
    size, length = fit(len(corpus.ids), 16, 64)
    streams = Streams(corpus.ids, size, length)
    model = jt.LanguageModel(jt.lstm(128), len(corpus.vocabulary))
    optimizer = optax.adam(1e-3)
    state = jt.training.create_state(model, optimizer, jax.random.key(0), size)
    parallel = jt.training.data_parallel(model, optimizer, size, jax.devices()[:1])
    state = parallel.place(state)
    places = np.linspace(0, streams.batches_per_epoch, steps, endpoint=False)
    early_mb = 0.0
    for step, k in enumerate(places.astype(int).tolist()):
        state, metrics = parallel.step(state, parallel.shard(streams.batch(0, k)))
        jax.block_until_ready(metrics)
        if step == steps // 10:
            early_mb = _resident_mb()
    return {"early_mb": early_mb, "end_mb": _resident_mb()}


def time_batches(text: Path, cache: Path, count: int) -> list[dict]:
    """Times streams and windows from the file, and from a memory map of it."""
    ids = jt.text.load([str(text)], cache=cache).ids
    mapped = np.load(ids.path, mmap_mode="r")
    rows = []
    for size, length in SHAPES:
        for kind, make in (("streams", Streams), ("windows", _windows)):
            for source, array in (("file", ids), ("memory map", mapped)):
                times = _times(make(array, size, length), count)
                shape = {"batch": [size, length], "kind": kind, "source": source}
                rows.append({**shape, **spread(times)})
    return rows


def _windows(ids: Ids, size: int, length: int) -> Windows:
    return Windows(ids, size, length, 3)


def _times(source: Streams | Windows, count: int) -> list[float]:
    """Milliseconds of each batch, from all over an epoch."""
    times = []
    places = np.linspace(0, source.batches_per_epoch, count, endpoint=False)
    for k in places.astype(int).tolist():
        begin = time.perf_counter()
        source.batch(0, k)
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def _resident_mb(which: str = "VmRSS") -> float:
    """This process's resident memory now, or its peak (VmHWM), in 10**6 bytes.

    From /proc: in a child process, `getrusage` starts with the peak of the parent.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) * 1024 / 1e6


def measure(config: Config) -> dict:
    """Makes the texts and measures each, and returns the result."""
    size = round(config.megabytes * 1e6)
    texts = {
        "ASCII": (size, ""),
        "UTF-8": (size, "naïve café, 5 € – "),
        "tiny": (TINY, ""),
    }
    rows, batches = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, (size, mark) in texts.items():
            text, cache = Path(folder, f"{name}.txt"), Path(folder, name)
            write_text(text, size, mark)
            first = _in_a_process("prepare", text, cache)
            again = _in_a_process("prepare", text, cache)
            training = _in_a_process("train", text, cache, config.steps)
            if name == "ASCII":
                batches = time_batches(text, cache, config.batches)
            rows.append(
                {
                    "text": name,
                    "bytes": text.stat().st_size,
                    "characters": first["characters"],
                    "distinct": first["distinct"],
                    "first_seconds": first["seconds"],
                    "second_seconds": again["seconds"],
                    "before_preparing_mb": first["start_mb"],
                    "preparing_peak_mb": first["peak_mb"],
                    "second_peak_mb": again["peak_mb"],
                    "steps": config.steps,
                    "training_early_mb": training["early_mb"],
                    "training_end_mb": training["end_mb"],
                }
            )
            say(told(rows[-1]))
            text.unlink()
    for row in batches:
        say(
            f"{row['kind']} {row['batch']} from {row['source']}: "
            f"{1e3 * row['median_ms']:.0f} µs"
        )
    return {"rows": rows, "batches": batches, **record.environment()}


def _in_a_process(*call: object) -> dict:
    command = [sys.executable, __file__, "--one", *map(str, call)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout)


def _one(name: str, text: str, cache: str, *numbers: str) -> None:
    """What a process started by `_in_a_process` does."""
    function = {"prepare": prepare, "train": train}[name]
    print(json.dumps(function(Path(text), Path(cache), *map(int, numbers))))


def told(row: dict) -> str:
    """A row of the result as a sentence."""
    return (
        f"{row['text']:6} {row['bytes'] / 1e6:8,.1f} MB: prepared in "
        f"{row['first_seconds']:.2f} s, again in {row['second_seconds']:.2f} s; "
        f"resident {row['before_preparing_mb']:.0f} MB before, "
        f"{row['preparing_peak_mb']:.0f} MB preparing, {row['training_early_mb']:.0f} "
        f"to {row['training_end_mb']:.0f} MB training"
    )


main = command(Config, measure)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _one(*sys.argv[2:])
        sys.exit()
    sys.exit(main())
