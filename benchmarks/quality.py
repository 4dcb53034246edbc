"""Train presets to their end, over seeds and variants, and keep what each came to.

    python benchmarks/quality.py cpu-3min
    python benchmarks/quality.py ablation
    python benchmarks/quality.py tables

Each run is ``experiments/char_gen.py`` in a process of its own, timed from start to
end, and then ``experiments/evaluate.py`` on its best and its last checkpoint by both
protocols. Its line is in ``experiments/results/STUDY.jsonl`` at once. The same command
again passes over what is there and goes on with a run that was stopped. ``tables``
prints what is there. ``--corpus`` takes other texts; by default it is tiny Shakespeare,
which is downloaded once.

The budget of ``cpu-3min`` is in minutes: nothing else should run on the machine. That
of the others is in steps, which other work slows but does not change, and two processes
with a core each, and ``--variants`` or ``--seeds`` of their own, train more than one::

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
from typing import Any, Literal, NamedTuple

import tyro
from studies.tables import read, tables

from jaxtext.errors import InputError
from jaxtext.streams import print_last_line, script

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"


class Variant(NamedTuple):
    """A preset with other flags, and whose name it goes by."""

    name: str
    flags: str = ""


class Study(NamedTuple):
    """What is trained: a preset with flags, in variants, each with every seed."""

    preset: str
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    flags: str = ""
    dynamic: bool = False


STUDIES = {
    "cpu-3min": Study(
        "cpu-3min",
        (0, 1, 2, 3, 4),
        (
            Variant("as it is"),
            Variant("GRU", "--cell gru"),
            Variant("no layer norm", "--no-layer-norm"),
            Variant("GRU, no layer norm", "--cell gru --no-layer-norm"),
        ),
    ),
    "shakespeare": Study(
        "shakespeare",
        (0, 1, 2),
        (
            Variant("LSTM", "--cell lstm"),
            Variant("GRU", "--cell gru"),
            Variant("LSTM, no layer norm", "--cell lstm --no-layer-norm"),
            Variant("GRU, no layer norm", "--cell gru --no-layer-norm"),
        ),
        dynamic=True,
    ),
    "ablation": Study(
        "cpu-3min",
        (0, 1, 2),
        (
            Variant("base"),
            Variant("GRU", "--cell gru"),
            Variant("rate 4e-3", "--learning-rate 4e-3"),
            Variant("no weight decay", "--weight-decay 0"),
            Variant("no dropout", "--dropout 0"),
            Variant("a dropout mask a step", "--no-variational"),
            Variant("no random resets", "--reset-probability 0"),
            Variant("no clipping", "--clip 1e9"),
            Variant("no warm-up", "--warmup-steps 0"),
            Variant("constant rate", "--schedule constant"),
            Variant(
                "constant rate, averaged", "--schedule constant --average-decay 0.999"
            ),
            Variant("averaged", "--average-decay 0.999"),
            Variant("three lengths", "--seq-len 48 32 16"),
            Variant("weight drop 0.2", "--weight-drop 0.2"),
            Variant("tied", "--tied"),
            Variant("tied, input dropout 0.1", "--tied --dropout-input 0.1"),
            Variant("hidden dropout 0.1", "--dropout-hidden 0.1"),
            Variant("zoneout 0.1, 0.05", "--zoneout 0.1 --zoneout-hidden 0.05"),
            Variant("layer norm", "--layer-norm"),
            Variant("label smoothing 0.05", "--label-smoothing 0.05"),
            Variant("embedding of 384", "--embedding 384"),
            Variant("layer norm, tied", "--layer-norm --tied"),
        ),
        # Without layer norm, which it showed to be worth having; as many steps as
        # three minutes then have room for.
        flags="--steps 4096 --no-layer-norm",
    ),
}


@dataclass(frozen=True)
class Config:
    """Train presets to their end, over seeds and variants; keep what they came to."""

    study: tyro.conf.Positional[
        Literal["cpu-3min", "shakespeare", "ablation", "tables"]
    ]
    """What to train; tables prints what has been."""
    corpus: str = "tinyshakespeare"
    """The text to train on."""
    variants: tuple[str, ...] = ()
    """Only these variants. Default: all."""
    seeds: tuple[int, ...] = ()
    """Only these seeds. Default: all."""
    runs: Path = Path("runs/quality")
    """Where the runs live."""
    results: Path = RESULTS
    """Where their lines are kept."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Trains what is not there yet, and returns the exit status."""
    config = tyro.cli(Config, args=argv)
    if config.study == "tables":
        print(tables(config.results, STUDIES), end="")
        return 0
    path = config.results / f"{config.study}.jsonl"
    study = STUDIES[config.study]
    variants = chosen(study, config.variants)
    done = [
        (line["flags"], line["trained"]["corpus"], line["seed"]) for line in read(path)
    ]
    # Seed by seed: a study that is cut short has all variants.
    for seed, variant in itertools.product(config.seeds or study.seeds, variants):
        if (_flags(study, variant, seed), Path(config.corpus).stem, seed) in done:
            continue
        print(f"{config.study}: {variant.name}, seed {seed}", file=sys.stderr)
        try:
            line = run(study, variant, seed, config)
        except subprocess.CalledProcessError as error:
            return error.returncode  # what is wrong the script has said itself
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print_last_line(json.dumps(line), kept=path)
    return 0


def chosen(study: Study, names: Sequence[str]) -> list[Variant]:
    """The variants of these names; all, if there are none.

    Raises:
      InputError: If the study has no variant of a name.
    """
    known = [variant.name for variant in study.variants]
    if unknown := set(names) - set(known):
        raise InputError(f"--variants: expected of {known}, got {unknown}")
    return [x for x in study.variants if not names or x.name in names]


def run(study: Study, variant: Variant, seed: int, config: Config) -> dict[str, Any]:
    """Trains once, evaluates, and returns the line that is kept.

    Raises:
      subprocess.CalledProcessError: If a script fails; what it says is on the screen.
    """
    name = f"{Path(config.corpus).stem}-{variant.name.replace(' ', '-')}-{seed}"
    workdir = config.runs / config.study / name
    # Before the run, for its commit; in a process of its own, for a device is let go.
    environment = _last_line("benchmarks/machine.py")
    flags = _flags(study, variant, seed)
    given = ("--corpus", config.corpus, "--workdir", str(workdir))
    begin = time.monotonic()
    trained = _script("char_gen.py", *flags.split(), *given)
    wall_seconds = time.monotonic() - begin
    found = {}
    for protocol in ("cold-256", "carried"):
        evaluate = ("evaluate.py", *given, "--protocol", protocol)
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
        # Of a run that went on, this process saw the end alone.
        "wall_seconds": wall_seconds if wall_seconds >= trained["seconds"] else None,
        "trained": trained,
        "evaluated": found,
        **environment,
    }


def _flags(study: Study, variant: Variant, seed: int) -> str:
    words = ("--preset", study.preset, study.flags, variant.flags, "--seed", str(seed))
    return " ".join(word for word in words if word)


def _script(name: str, *args: str) -> dict[str, Any]:
    """The last line of a script of experiments/, but for its paths."""
    line = _last_line(f"experiments/{name}", *args)
    return {key: value for key, value in line.items() if key not in ("workdir", "page")}


def _last_line(script: str, *args: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / script), *args]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
