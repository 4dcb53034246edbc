"""Trains presets to their end, with several seeds and variants, and keeps the results.

    python benchmarks/quality.py cpu-3min
    python benchmarks/quality.py ablation
    python benchmarks/quality.py tables

Each run is a process of ``experiments/char_gen.py``, timed from start to end. Then
``experiments/evaluate.py`` evaluates its best and its last checkpoint by both
protocols. The results are added to ``experiments/results/STUDY.jsonl``, one line a run,
as soon as the run ends. The same command again skips the runs that have a line, and
continues a run that was stopped. ``tables`` prints the results. ``--corpus`` takes
other texts; the default is tiny Shakespeare, which is downloaded once.

The budgets of ``cpu-3min`` and ``names`` are in minutes: nothing else should run on the
machine. The budgets of the other studies are in steps. Other work slows these down but
does not change their results, so that two processes can share the seeds or the
variants::

    taskset -c 0 python benchmarks/quality.py ablation --seeds 0 &
    taskset -c 1 python benchmarks/quality.py ablation --seeds 1
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from measuring.jobs import CHECKOUT
from studies.tables import read, tables
from studies.variants import STUDIES, Study, Variant, select

from jaxtext.streams import print_last_line, say, script


@dataclass(frozen=True)
class Config:
    """Train presets to their end, with several seeds and variants; keep the results."""

    study: tyro.conf.Positional[
        Literal[
            "cpu-3min",
            "cells",
            "names",
            "shakespeare",
            "search",
            "ablation",
            "tables",
        ]
    ]
    """The study to train; tables prints the results so far."""
    corpus: str = "tinyshakespeare"
    """The text to train on."""
    val_corpus: str | None = None
    """The text to validate on, and to evaluate. Default: the end of the corpus."""
    variants: tuple[str, ...] = ()
    """Only these variants. Default: all."""
    seeds: tuple[int, ...] = ()
    """Only these seeds. Default: all."""
    runs: Path = Path("runs/quality")
    """Directory of the runs."""
    results: Path = CHECKOUT / "experiments" / "results"
    """Directory of the results."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Trains what has no result yet, and returns the exit status."""
    config = tyro.cli(Config, args=argv)
    if config.study == "tables":
        print(tables(config.results, STUDIES), end="")
        return 0
    path = config.results / f"{config.study}.jsonl"
    study = STUDIES[config.study]
    variants = select(study, config.variants)
    done = [
        (line["variant"], line["trained"]["corpus"], line["seed"])
        for line in read(path)
    ]
    # Seed by seed: if a study is cut short, it still has all variants.
    for seed, variant in itertools.product(config.seeds or study.seeds, variants):
        if (variant.name, Path(config.corpus).stem, seed) in done:
            continue
        say(f"{config.study}: {variant.name}, seed {seed}")
        try:
            line = run(study, variant, seed, config)
        except subprocess.CalledProcessError as error:
            return error.returncode  # the script has printed what is wrong
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print_last_line(json.dumps(line), kept=path)
    return 0


def run(study: Study, variant: Variant, seed: int, config: Config) -> dict[str, Any]:
    """Trains once, evaluates, and returns the line to keep.

    Raises:
      subprocess.CalledProcessError: If a script fails. Its message is on the screen.
    """
    name = f"{Path(config.corpus).stem}-{variant.name.replace(' ', '-')}-{seed}"
    workdir = config.runs / config.study / name
    # Before the run, to record the commit that it starts from. In another process,
    # because this one must not hold the device.
    environment = _last_line("benchmarks/machine.py")
    flags = _flags(study, variant, seed)
    given = ("--workdir", str(workdir))
    texts = ("--corpus", config.corpus)
    if config.val_corpus is not None:
        texts = (*texts, "--val-corpus", config.val_corpus)
    compiling = ("--compilation-cache", "")  # which is part of the time
    begin = time.monotonic()
    trained = _script("char_gen.py", *flags.split(), *texts, *given, *compiling)
    wall_seconds = time.monotonic() - begin
    found = {}
    evaluated = ("--corpus", config.val_corpus or config.corpus)
    for protocol in study.protocols:
        evaluate = ("evaluate.py", *given, *evaluated, "--protocol", protocol)
        dynamic = study.dynamic and protocol == "carried"
        best = _script(*evaluate, *(("--dynamic",) if dynamic else ()))
        last = best
        if trained["best_step"] != trained["steps"]:
            last = _script(*evaluate, "--checkpoint", "latest")
        found |= {f"best {protocol}": best, f"last {protocol}": last}
    return {
        "variant": variant.name,
        "seed": seed,
        "flags": flags,
        # Of a run that was continued, this process has timed only the end.
        "wall_seconds": wall_seconds if wall_seconds >= trained["seconds"] else None,
        "trained": trained,
        "evaluated": found,
        **environment,
    }


def _flags(study: Study, variant: Variant, seed: int) -> str:
    words = ("--preset", study.preset, study.flags, variant.flags, "--seed", str(seed))
    return " ".join(word for word in words if word)


def _script(name: str, *args: str) -> dict[str, Any]:
    """The last line of a script of experiments/, without its paths."""
    line = _last_line(f"experiments/{name}", *args)
    kept = {key: x for key, x in line.items() if key not in ("workdir", "page")}
    if "config" in kept:
        texts = ("corpus", "val_corpus")
        kept["config"] = {k: x for k, x in kept["config"].items() if k not in texts}
    return kept


def _last_line(script: str, *args: str) -> dict[str, Any]:
    command = [sys.executable, str(CHECKOUT / script), *args]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
