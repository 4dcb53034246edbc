"""The training loop, which keeps the device busy."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax

from jaxtext.text.batches import Batch
from jaxtext.training.parallel import DataParallel
from jaxtext.training.state import TrainState
from jaxtext.training.step import Metrics


class Progress(NamedTuple):
    """The progress of the loop after a step.

    Attributes:
      step: The number of steps taken.
      state: The state after them. The next step donates it, so copy what you want to
        keep before you continue the loop.
      metrics: ``(step, metrics)`` of the steps whose metrics have arrived since the
        last report, as Python numbers. Metrics arrive one step late: the device
        computes the next step while they are fetched. The last report has all of them.
      settle: Waits for the current step and returns its metrics, which are then not
        reported again.
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
    """Trains from step `start` to step `stop`.

    While a step runs, the metrics of the step before are fetched, and the next batch is
    made and sent. At most two steps are in flight. You may leave the loop at any time.
    If `batch` raises an error, the last state that you got is still intact.

    Args:
      parallel: The compiled step.
      state: The state after `start` steps, from ``parallel.place``. It is donated.
      batch: ``k -> batch``, a pure function.
      start: The number of steps already taken.
      stop: The number of steps at the end.

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
        """Fetches the metrics of all steps except the last `but`."""
        ready = [late.pop(0) for _ in range(len(late) - but)]
        return [(step, _fetch(metrics)) for step, metrics in ready]

    for k in range(start + 1, stop + 1):
        # In a trace, profilers find the steps by these names, and what the host did.
        with jax.profiler.StepTraceAnnotation("train", step_num=k):
            with jax.profiler.TraceAnnotation("batch"):
                read = parallel.shard(batch(k - 1))
            state, metrics = parallel.step(state, read)
            late.append((k, metrics))
            found = arrived(but=0 if k == stop else 1)
        yield Progress(k, state, found, arrived)


def _fetch(metrics: Metrics) -> Metrics:
    with jax.profiler.TraceAnnotation("metrics"):
        return jax.tree.map(lambda x: x.item(), jax.device_get(metrics))
