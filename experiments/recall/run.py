"""One run of `memory.py`: a cell that learns a task from a seed, and is tested."""

import json
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from jaxtext.errors import InputError
from jaxtext.files import write_durably
from recall.learn import Protocol, Training, begin, score, train
from recall.suite import PROBLEMS, build
from recall.tasks import TASKS

Line = dict[str, Any]

EXAMPLES = 512  # of each size, to be tested on
SAVE_SECONDS = 20


class Run(NamedTuple):
    """A run, and what tells it from others."""

    problem: str
    cell: str
    seed: int
    protocol: Protocol

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.problem}-{self.cell}-{self.seed}"


def trained(
    run: Run,
    out: Path,
    progress: Callable[[int, float], None] = lambda done, loss: None,
) -> Training:
    """Trains, from the beginning or from what an earlier process has saved in `out`.

    Args:
      run: The run.
      out: A directory. Training is saved there, as ``NAME.msgpack``.
      progress: Called with the steps done, and the last of the losses.

    Raises:
      InputError: If what was saved has another protocol, or is damaged.
    """
    task, cell = _built(run)
    key, train_key, _ = jax.random.split(jax.random.key(run.seed), 3)
    training = begin(task, cell, run.protocol, key)
    path = out / f"{run.name}.msgpack"
    if path.exists():
        training = _restored(path, run.protocol, training)
    start, saved = training, time.monotonic()
    for training in train(task, cell, run.protocol, start, train_key):
        done = len(training.losses)
        progress(done, float(training.losses[-1]))
        if done == run.protocol.steps or time.monotonic() - saved > SAVE_SECONDS:
            kept = {"protocol": _text(run.protocol), "training": training}
            write_durably(path, serialization.to_bytes(kept))
            saved = time.monotonic()
    return training


def make(run: Run, out: Path) -> Line:
    """Trains and tests, and returns the result."""
    started = time.monotonic()
    training = trained(run, out)
    task, cell = _built(run)
    protocol, params = run.protocol, training.learner.params
    test_key = jax.random.split(jax.random.key(run.seed), 3)[2]
    scores = {}
    for k, size in enumerate(protocol.test_sizes):
        each = score(
            task,
            cell,
            params,
            jax.random.fold_in(test_key, k),
            max(protocol.test_sizes),
            jnp.full(EXAMPLES, size),
        )
        scores[str(size)] = _number(each.mean())
    points = np.array_split(training.losses, min(100, protocol.steps))
    known = [x for x in scores.values() if x is not None]
    return {
        "problem": run.problem,
        "cell": run.cell,
        "seed": run.seed,
        "protocol": protocol._asdict(),
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "measure": "accuracy" if task.output_size else "mean squared error",
        "baseline": task.baseline,
        "score": float(np.mean(known)) if known else None,
        "scores": scores,
        "steps": np.cumsum([len(x) for x in points]).tolist(),
        "losses": [_number(x.mean()) for x in points],
        "seconds": time.monotonic() - started,  # of this process
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
        "device": jax.devices()[0].device_kind,
    }


def same(protocol: Protocol, kept: Any) -> bool:
    """Whether a protocol is the one in a result that was read."""
    return _text(protocol) == json.dumps(kept)


def _built(run):
    problem, protocol = PROBLEMS[run.problem], run.protocol
    cell = build(run.cell, protocol.hidden, protocol.train_sizes[1])
    return TASKS[problem.task], cell


def _restored(path, protocol, training):
    try:
        kept: Any = serialization.msgpack_restore(path.read_bytes())
        text = kept["protocol"]
        whole = serialization.from_state_dict(training, kept["training"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it") from error
    if text != _text(protocol):
        raise another(path)
    return jax.tree.map(lambda x, y: np.asarray(x, y.dtype), whole, training)


def another(path: Path) -> InputError:
    """The error about a file of another protocol."""
    return InputError(
        f"{path} is of another protocol: choose another --out, or delete it"
    )


def _text(protocol):
    return json.dumps(protocol._asdict())


def _number(x) -> float | None:
    """A number that JSON has."""
    return float(x) if math.isfinite(x) else None
