"""A small process that saves and restores on order, one line each.

The state of a step is a function of the step, so that a restored state can be compared
with the saved one without keeping it. Orders and answers are JSON.
"""

import functools
import hashlib
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtext as jt
from jaxtext.runs.checkpoint import Checkpoints, restore_params
from jaxtext.training.state import TrainState, create_state

_warnings: list[str] = []
_opened: dict[str, Checkpoints] = {}


@functools.cache
def _first() -> TrainState:
    """A state without its key, drawn by NumPy so that nothing has to be compiled."""
    model = jt.LanguageModel(jt.stack(jt.lstm(8), jt.dropout(0.2)), 17)
    shapes = jax.eval_shape(
        lambda key: create_state(model, optax.adam(1e-3), key, 4), jax.random.key(0)
    )
    draw = np.random.default_rng(0)

    def drawn(x):
        if jnp.issubdtype(x.dtype, jnp.floating):
            return draw.standard_normal(x.shape, x.dtype)
        return np.zeros(x.shape, x.dtype)

    return jax.tree.map(drawn, shapes._replace(key=None))


def state_of(step: int) -> TrainState:
    """A state in which every number depends on the step."""

    def moved(x):
        if jnp.issubdtype(x.dtype, jnp.floating):
            x = x + x.dtype.type(step * 0.001)
        return jnp.asarray(x)

    state = jax.tree.map(moved, _first())
    return state._replace(key=jax.random.key(0), step=jnp.int32(step))


def fingerprint(state: TrainState) -> str:
    """SHA-256 of all bytes of a state."""
    state = state._replace(key=jax.random.key_data(state.key))
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _checkpoints(workdir: str, *, anew: bool = False) -> Checkpoints:
    """The checkpoints of a directory; `anew` as in a process that has just begun."""
    if anew or workdir not in _opened:
        _opened[workdir] = Checkpoints(Path(workdir), warn=_warnings.append)
    return _opened[workdir]


def save(workdir: str, step: int, best: bool = False) -> dict[str, Any]:
    """Saves the state of a step, or its parameters, and waits for the disk."""
    _warnings.clear()
    checkpoints = _checkpoints(workdir)
    about = {"saved": step}
    if best:
        checkpoints.save_best(step, state_of(step).params, about)
    else:
        checkpoints.save_latest(state_of(step), about)
    checkpoints.finish()
    return {"step": step, "warnings": [*_warnings]}


def restore(workdir: str, again: bool = False) -> dict[str, Any]:
    """Restores the newest good state, and compares it with that of its step.

    Args:
      workdir: The run.
      again: Whether the process keeps its checkpoints, unlike one that has just begun.
    """
    _warnings.clear()
    found = _checkpoints(workdir, anew=not again).restore_latest(state_of(0))
    if found is None:
        return {"step": None, "equal": True, "warnings": [*_warnings]}
    equal = fingerprint(found.arrays) == fingerprint(state_of(found.step))
    equal = equal and found.about == {"saved": found.step}
    return {"step": found.step, "equal": equal, "warnings": [*_warnings]}


def read(workdir: str) -> dict[str, Any]:
    """Restores the best parameters, as a process does that never saves."""
    warnings: list[str] = []
    found = restore_params(Path(workdir), state_of(0).params, warn=warnings.append)
    same = jax.tree.map(np.array_equal, found.arrays, state_of(found.step).params)
    equal = all(jax.tree.leaves(same)) and found.about == {"saved": found.step}
    return {"step": found.step, "equal": equal, "warnings": warnings}


def _main() -> None:
    orders = {"save": save, "restore": restore, "read": read}
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = orders[order.pop("do")](**order)
        except Exception as error:
            traceback.print_exc()
            answer = {
                "error": type(error).__name__,
                "is_os_error": isinstance(error, OSError),
                "errno": getattr(error, "errno", None),
                "message": str(error),
            }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main()
