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
      settle: Waits for the step under way, and returns its metrics now. They will not
        be reported again.
    """

    step: int
    state: TrainState
    metrics: list[tuple[int, Metrics]]
    settle: Callable[[], list[tuple[int, Metrics]]]


def run(
    parallel: DataParallel,
    state: TrainState,
    batch: Callable[[int], Batch],
    start: int,
    stop: int,
) -> Iterator[Progress]:
    """Trains from step `start` to step `stop`, reporting after each step.

    While a step runs, the metrics of the step before it are fetched and the batch after
    it is made and sent: two steps are in flight, never more. The caller leaves the loop
    whenever it likes; what `batch` raises reaches it with the state that it has whole.

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
    late: list[tuple[int, Metrics]] = []

    def arrived(but: int = 0) -> list[tuple[int, Metrics]]:
        """Fetches the metrics of all steps but the last so many."""
        ready = [late.pop(0) for _ in range(len(late) - but)]
        return [(step, _fetch(metrics)) for step, metrics in ready]

    for k in range(start + 1, stop + 1):
        state, metrics = parallel.step(state, parallel.shard(batch(k - 1)))
        late.append((k, metrics))
        yield Progress(k, state, arrived(but=0 if k == stop else 1), arrived)


def _fetch(metrics: Metrics) -> Metrics:
    return jax.tree.map(lambda x: x.item(), jax.device_get(metrics))
