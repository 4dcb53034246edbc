"""Whether a run that is killed and resumed ends with the same bits as one that is not.

    python tools/resume.py --backend cudnn

It compares three runs of `experiments/char_gen.py` on the default device. The first
runs undisturbed. The second is killed after its second checkpoint, and then resumed by
the same command. The third is like the first but has an empty compilation cache. It
compiles its programs again, and these may round differently where the compiler chooses
kernels by measuring them. The last line on standard output is one JSON object.

Exit status: 0 the killed run ended with the same parameters; 1 it did not.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import checkout  # noqa: F401 (first)

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.chains import saved_steps
from measuring import record
from measuring.command import chosen, command
from measuring.jobs import CHECKOUT

CHAR_GEN = CHECKOUT / "experiments" / "char_gen.py"
SAME = "parameters_sha256", "train_nats_per_char", "val_nats_per_char"


@dataclass(frozen=True)
class Config:
    """Kill a run, resume it, and compare it with an undisturbed one."""

    backend: str = "auto"
    """Backend of jaxtext."""
    dtype: str = "float32"
    """Type of the computation."""
    steps: int = 400
    """Steps of the run."""
    save_steps: int = 50
    """Steps between checkpoints. The run is killed after the second one."""
    hidden: int = 256
    """Width of the layer."""
    corpus: str = "stdlib"
    """Text to train on, as for char_gen.py."""
    limit: float = 60.0
    """Time limit of each process in seconds."""
    out: Path | None = None
    """Also write the JSON to this file."""


class Runs:
    """Runs of one configuration, each in a directory of its own."""

    def __init__(self, config: Config, scratch: Path):
        self.config, self.scratch = config, scratch

    def start(self, name: str, cache: str) -> subprocess.Popen[str]:
        """Starts a run, or resumes it."""
        of = self.config
        words = [
            *("--corpus", of.corpus, "--characters", 100_000, "--dtype", of.dtype),
            *("--backend", of.backend, "--hidden", of.hidden, "--dropout", 0.2),
            *("--steps", of.steps, "--save-steps", of.save_steps),
            *("--sample-every", 0, "--workdir", self.scratch / name),
        ]
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": str(self.scratch / cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        with (self.scratch / f"{name}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, str(CHAR_GEN), *map(str, words)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def finish(self, name: str, cache: str) -> dict[str, Any]:
        """Runs to the end, and returns the result.

        Raises:
          RuntimeError: If it fails.
        """
        process = self.start(name, cache)
        try:
            out, _ = process.communicate(timeout=self.config.limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise RuntimeError(f"{name}: no end in {self.config.limit:g} s") from None
        if process.returncode:
            said = (self.scratch / f"{name}.log").read_text().strip().splitlines()
            raise RuntimeError(f"{name}: status {process.returncode}: {said[-1:]}")
        return json.loads(out.splitlines()[-1])

    def kill(self, name: str, cache: str) -> int:
        """Kills a run after its second checkpoint, and returns the step of that one."""
        process, begin = self.start(name, cache), time.monotonic()
        while max(saved_steps(self.scratch / name), default=0) < self.second():
            late = time.monotonic() - begin > self.config.limit
            if late or process.poll() is not None:
                process.kill()
                process.communicate()
                raise RuntimeError(f"{name}: it ended before it could be killed")
            time.sleep(0.01)
        process.kill()
        process.communicate()
        return max(saved_steps(self.scratch / name))

    def second(self) -> int:
        """The step of the second checkpoint."""
        return 2 * self.config.save_steps


def measure(config: Config) -> dict[str, Any]:
    """Runs all three, and returns the result."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor() as threads:
        runs = Runs(config, Path(scratch))
        alone = threads.submit(runs.finish, "compiled anew", "another cache")
        whole = runs.finish("left alone", "cache")
        killed_at = runs.kill("killed", "cache")
        resumed = runs.finish("killed", "cache")
        anew = alone.result()

    def same(result):
        return all(result[name] == whole[name] for name in SAME)

    return {
        "killed_after_step": killed_at,
        "resumed_from_step": resumed["resumed_from_step"],
        "same_bits": same(resumed) and resumed["resumed_from_step"] == killed_at,
        "same_bits_compiled_anew": same(anew),
        "whole": {name: whole[name] for name in SAME},
        "resumed": {name: resumed[name] for name in SAME},
        "compiled_anew": {name: anew[name] for name in SAME},
        **chosen(config, "backend", "dtype", "steps"),
        **record.environment(),
    }


main = command(Config, measure, failed=lambda result: not result["same_bits"])

if __name__ == "__main__":
    sys.exit(main())
