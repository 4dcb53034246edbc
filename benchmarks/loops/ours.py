"""The training loop of jaxtext, as a program to time."""

from collections.abc import Callable
from typing import Any

import jax

from jaxtext.training.loop import run as run_steps

STEPS = 24  # of one repetition: a whole number of cycles of two or three lengths


def repeated(parallel: Any, state: Any, batch: Callable) -> Callable[[], object]:
    """A function that takes the next `STEPS` training steps at each call.

    Args:
      parallel: What `jaxtext.training.data_parallel` returns.
      state: The state to start from. It is donated.
      batch: Maps the number of a step to its batch.
    """
    now = {"state": parallel.place(state), "step": 0}

    def run():
        start = now["step"]
        for progress in run_steps(parallel, now["state"], batch, start, start + STEPS):
            now["state"], now["step"] = progress.state, progress.step
        return jax.block_until_ready(now["state"])

    return run
