"""The loop: batches in, states and metrics out, the device never waiting."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax

from jaxtext.text.batches import Batch
from jaxtext.training.parallel import DataParallel
from jaxtext.training.state import TrainState
from jaxtext.training.step import Metrics


class Progress(NamedTuple):
    """Where the loop is.

    Attributes:
      step: Steps taken.
      state: The state after them. It is consumed by the next step: what is to be kept
        of it has to be read before the loop goes on.
      metrics: ``(step, metrics)`` of the steps whose metrics have arrived since the
        last report, as Python numbers. They come one step late, so that the device
        has the next step to do while they are fetched; the last report has them all.
    """

    step: int
    state: TrainState
    metrics: list[tuple[int, Metrics]]


def run(
    parallel: DataParallel,
    state: TrainState,
    batch: Callable[[int], Batch],
    start: int,
    stop: int,
) -> Iterator[Progress]:
    """Trains from step `start` to step `stop`, reporting after each step.

    While a step runs, the batch after it is made and sent, and the metrics of the step
    before it are fetched: two steps are in flight, never more. The caller leaves the
    loop whenever it likes.

    Args:
      parallel: The compiled step.
      state: A placed state, after `start` steps. It is consumed.
      batch: ``k -> batch``, a pure function.
      start: Steps already taken.
      stop: Steps to have taken at the end.

    Yields:
      A `Progress` after each step.

    Example:
      >>> import jaxtext as jt, numpy as np, optax
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=5)
      >>> optimizer = optax.adam(1e-2)
      >>> parallel = jt.training.data_parallel(
      ...     model, optimizer, 2, jax.local_devices()[:1]
      ... )
      >>> state = jt.training.create_state(model, optimizer, jax.random.key(0), 2)
      >>> streams = jt.text.Streams(np.arange(200) % 5, 2, 10)
      >>> for progress in run(
      ...     parallel, parallel.place(state), lambda k: streams.batch(0, k), 0, 30
      ... ):
      ...     for step, metrics in progress.metrics:
      ...         last = metrics.loss
      >>> progress.step, step, last < 1.0
      (30, 30, True)
    """
    if start >= stop:
        return
    ahead = parallel.shard(batch(start))
    late: list[tuple[int, Metrics]] = []
    for k in range(start + 1, stop + 1):
        state, metrics = parallel.step(state, ahead)
        if k < stop:
            ahead = parallel.shard(batch(k))
        late.append((k, metrics))
        ready = late if k == stop else late[:-1]
        late = late[len(ready) :]
        yield Progress(k, state, [(step, _fetch(values)) for step, values in ready])


def _fetch(metrics: Metrics) -> Metrics:
    return jax.tree.map(lambda x: x.item(), jax.device_get(metrics))
