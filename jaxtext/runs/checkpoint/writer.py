"""Saving the checkpoints of a run, and restoring them when it continues."""

import contextlib
import copy
import errno
import functools
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtext.errors import InputError
from jaxtext.runs.agreement import of_first, together
from jaxtext.runs.checkpoint import arrays
from jaxtext.runs.checkpoint.contents import Checkpoint, items_of, state_of
from jaxtext.runs.checkpoint.errors import as_os_error
from jaxtext.runs.storage import SeriesName, storage
from jaxtext.runs.storage.manifest import DamageError
from jaxtext.training.state import TrainState, copied
from jaxtext.types import Params

_NONE = -1  # no step


class Checkpoints:
    """The checkpoints of a run, for the run itself.

    Creating it removes unfinished saves left by a killed process.

    Saving happens in a thread: a save copies the state and returns.

    If several processes train together, all of them save and restore at the same
    steps. Process 0 writes: the devices hand it what it lacks, the carries of the other
    processes' streams. All of them read.

    Args:
      workdir: The run's directory. No other run may use it; see `workdir.claim`.
      keep: How many checkpoints of the series ``latest`` to keep. At least two, since
        one may be damaged.
      warn: Called with a sentence when something goes wrong that does not stop the run,
        such as a save that fails or a checkpoint that is damaged.

    Raises:
      InputError: If the checkpoints are behind a symbolic link, or `keep` is below 2.

    Example:
      >>> import tempfile, optax, jaxtext as jt
      >>> model, optimizer = jt.LanguageModel(jt.gru(8), vocab_size=5), optax.sgd(0.1)
      >>> state = jt.training.create_state(model, optimizer, jax.random.key(0), 2)
      >>> checkpoints = Checkpoints(Path(tempfile.mkdtemp()))
      >>> checkpoints.save_latest(state, {"vocabulary": "abcde"})
      >>> checkpoints.finish()
      >>> checkpoints.restore_latest(like=state).about
      {'vocabulary': 'abcde'}
    """

    def __init__(
        self,
        workdir: Path | str,
        *,
        keep: int = 2,
        warn: Callable[[str], None] = warnings.warn,
    ):
        if keep < 2:
            raise InputError(f"expected to keep at least 2 checkpoints, got {keep}")
        self._run = storage(workdir)
        self._keep = keep
        self._warn = warn
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        # Which takes a while. In this thread it does so while others compile.
        self._writer.submit(import_module, "orbax.checkpoint")
        self._pending: dict[str, Future[None]] = {}  # by series, the newest last
        self._failing: dict[str, str] = {}  # by series, why its last save failed
        if jax.process_index() > 0:
            return
        self._run.prepare()
        for name in ("latest", "best"):
            self._run.series(name).recover()

    def steps(self, name: SeriesName) -> list[int]:
        """Returns the steps of a series' checkpoints, in ascending order."""
        return self._run.series(name).steps()

    def save_latest(self, state: TrainState, about: dict[str, Any]) -> None:
        """Saves the whole training state. The disk has it when `finish` returns.

        Args:
          state: The state, its carry ``[B, …]`` as `DataParallel.collect` returns it.
            It is copied, so you can go on with it at once.
          about: JSON to save with it.
        """
        self._save("latest", int(state.step), items_of(state), about, self._keep)

    def save_best(self, step: int, params: Params, about: dict[str, Any]) -> None:
        """Saves parameters as the best so far, and removes the best before them."""
        self._save("best", step, {"params": params}, about, keep=1)

    def forget_after(self, step: int) -> None:
        """Removes states with more steps than that, when a run goes back."""
        self._settle_all()
        if jax.process_index() == 0:
            series = self._run.series("latest")
            for other in reversed(series.steps()):
                if other > step:
                    series.remove(other)

    def finish(self) -> None:
        """Waits until all saves are on the disk.

        Raises:
          OSError: If the last save failed. Earlier checkpoints are unchanged.
        """
        saves = list(self._pending.values())
        self._pending.clear()
        for save in saves[:-1]:
            _settle(save)
        for save in saves[-1:]:
            save.result()

    def restore_latest(
        self, like: TrainState, *, up_to: int | None = None
    ) -> Checkpoint | None:
        """Restores the newest training state that is undamaged.

        Damaged ones are moved to ``checkpoints/damaged``, with a warning.

        Args:
          like: A state of the same structure, or its shapes (``jax.eval_shape``).
          up_to: If given, states with more steps are ignored.

        Returns:
          The checkpoint, its arrays being a `TrainState`; ``None`` if there is none.

        Raises:
          InputError: If all checkpoints are damaged, or if the newest is of another
            model.
        """
        self._settle_all()
        items, series = items_of(like), self._run.series("latest")
        while True:
            step = _NONE
            with together():
                if jax.process_index() == 0:
                    step = self._newest_undamaged(series, up_to)
            step = int(of_first(step))
            if step == _NONE:
                return None
            try:
                with together(), series.opened(step) as path:
                    found = arrays.restore(path, items)
            except DamageError as damage:  # after process 0 had found none
                raise InputError(f"{series.where(step)}: {damage}") from damage
            except OSError as error:  # the disk failed after the check
                if jax.process_count() > 1 or error.errno != errno.EIO:
                    raise
                self._set_aside(step, error)
                continue
            return found._replace(arrays=state_of(found.arrays))

    def _settle_all(self):
        for save in self._pending.values():
            _settle(save)

    def _newest_undamaged(self, series, up_to):
        for step in reversed(series.steps()):
            if up_to is not None and step > up_to:
                continue
            try:
                with series.opened(step):
                    return step
            except DamageError as damage:
                self._set_aside(step, damage)
        if (damaged := self._run.damaged()) is not None:
            raise InputError(
                f"every checkpoint of this run is damaged; they are in {damaged}. "
                "Restore the directory from a copy, or remove it to start again"
            )
        return _NONE

    def _set_aside(self, step, damage):
        series = self._run.series("latest")
        where, aside = series.where(step), series.set_aside(step)
        self._warn(
            f"the checkpoint {where} is damaged: {damage}; it was moved to {aside}, "
            "and the one before it is used"
        )

    def _save(self, name, step, items, about, keep):
        # The next training step reuses the buffers of the state.
        items, about = _kept(items), copy.deepcopy(about)
        if jax.process_index() > 0:
            return
        if name in self._pending:  # at most one save waits, however slow the disk is
            _settle(self._pending.pop(name))

        def write():
            try:
                self._run.series(name).save(
                    step, lambda path: arrays.save(path, items, about), keep
                )
            except Exception as error:
                if _is_of_devices(error):
                    raise
                error = as_os_error(error)
                self._tell_failure(name, step, str(error.strerror or error))
                raise error from None
            if self._failing.pop(name, None) is not None:
                self._warn(f"step {step} was saved as {name}: saving works again")

        self._pending[name] = self._writer.submit(write)

    def _tell_failure(self, name, step, why):
        """Says that a save failed, unless the one before it failed for the same."""
        if self._failing.get(name) != why:
            self._warn(
                f"step {step} could not be saved as {name} in "
                f"{self._run.place / 'checkpoints'} ({why}); earlier checkpoints are "
                "good, and the next save tries again"
            )
        self._failing[name] = why


def _is_of_devices(error: Exception) -> bool:
    """Whether the arrays never came, since another process was lost."""
    lost = isinstance(error, jax.errors.JaxRuntimeError)
    return lost and jax.process_count() > 1


def _settle(save: Future[None]) -> None:
    """Waits for a save. If it failed, a warning has said so."""
    with contextlib.suppress(OSError):
        save.result()


def _kept(items: dict[str, Any]) -> dict[str, Any]:
    """Copies arrays. Of several processes, each gets all of every array."""
    if jax.process_count() == 1:
        return copied(items)
    (mesh,) = {x.sharding.mesh for x in jax.tree.leaves(items)}
    return _everywhere(mesh)(items)


@functools.cache
def _everywhere(mesh: Mesh) -> Callable[[Any], Any]:
    return jax.jit(copied, out_shardings=NamedSharding(mesh, PartitionSpec()))
