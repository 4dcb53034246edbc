"""Checkpoints: Orbax, told what a run consists of, and held to what it wrote.

A run keeps two series under ``checkpoints/`` in its directory: ``latest``, the whole
training state, and ``best``, the parameters that did best in validation. Each
checkpoint also holds `about`, plain JSON (configuration, vocabulary and whatever else
the script needs to go on), so that it can be used with nothing else at hand.

A checkpoint comes to be in three steps: Orbax saves to ``saving-STEP``; a manifest of
all that lies there is written, when it is on the disk; the directory is renamed to
``STEP``. Whatever is killed, and whenever, a directory with a number for its name is
whole, unless its disk or somebody's hand damages it; and then the manifest tells.
"""

import contextlib
import copy
import errno
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from jaxtext.errors import InputError
from jaxtext.runs import manifest
from jaxtext.runs.agreement import of_first, together
from jaxtext.runs.by_path import arranged
from jaxtext.runs.files import plain, sync
from jaxtext.training.state import TrainState, keeps_average, predicting
from jaxtext.runs.stored import check_shapes, saved_in
from jaxtext.types import Params

_SAVING, _REMOVING = "saving-", "removing-"
_NONE = -1  # no step

Series: TypeAlias = Literal["best", "latest"]
Which: TypeAlias = Series | int


class Checkpoint(NamedTuple):
    """What was restored: the steps taken, `about`, and the arrays asked for."""

    step: int
    about: dict[str, Any]
    arrays: Any


class Checkpoints:
    """The checkpoints of a run, as the run itself has them, which alone writes them.

    Saving goes on behind: a save takes a copy of the state, and returns. What a
    process that was killed left of its saves is removed when this is made.

    Several processes that train together all save and restore, at the same steps, each
    its share of the arrays, on a file system that they share. All else is done by
    process 0.

    Args:
      workdir: The run's directory, which must be the caller's alone.
      keep: How many of the series ``latest`` to keep, at least two: one of them may
        turn out to be damaged.
      warn: Takes a sentence when something went wrong that did not stop the run: a
        save that failed, a checkpoint that is damaged.

    Raises:
      InputError: If the checkpoints lie behind a symbolic link, or `keep` is below 2.

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
        self._root = Path(workdir) / "checkpoints"
        if keep < 2:
            raise InputError(f"expected to keep at least 2 checkpoints, got {keep}")
        self._keep = keep
        self._warn = warn
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: dict[str, Future[None]] = {}  # by series, the latest at its end
        if jax.process_index() > 0:
            return
        Path(workdir).mkdir(parents=True, exist_ok=True)
        for path in (self._root, *self._root.glob("*")):
            # Removing and setting aside are to touch nothing outside the directory.
            if path.is_symlink():
                raise InputError(
                    f"{path} is a symbolic link; expected a directory. Choose a "
                    "--workdir where there is room instead"
                )
        for series in ("latest", "best"):
            directory = self._root / series
            for step in _steps(directory, _SAVING):
                with contextlib.suppress(manifest.DamageError):
                    # All but its last name was there when it was killed.
                    unfinished = directory / f"{_SAVING}{step}"
                    manifest.verify(unfinished, f"{series} {step}")
                    _name(unfinished, directory / str(step))
            for prefix in (_SAVING, _REMOVING):
                for leftover in directory.glob(prefix + "*"):
                    with contextlib.suppress(OSError):  # no reason not to start
                        _remove(leftover)

    def steps(self, series: Series) -> list[int]:
        """After which steps there are checkpoints now, from the first to the last."""
        return sorted(_steps(self._root / series))

    def save_latest(self, state: TrainState, about: dict[str, Any]) -> None:
        """Saves the whole training state; it is written when `finish` returns.

        Args:
          state: With its carry as ``[B, …]``, as `DataParallel.collect` returns it.
            It is copied: the caller may go on with it at once.
          about: JSON to keep with it.
        """
        self._save("latest", int(state.step), _items(state), about, self._keep)

    def save_best(self, step: int, params: Params, about: dict[str, Any]) -> None:
        """Saves parameters as the best so far, in place of those before."""
        self._save("best", step, {"params": params}, about, keep=1)

    def forget_after(self, step: int) -> None:
        """Removes states after more steps than that, of a run that has gone back."""
        self._settle_all()
        if jax.process_index() == 0:
            for other, path in _newest_first(self._root / "latest"):
                if other > step:
                    _remove(path)

    def finish(self) -> None:
        """Waits for the saves that are under way.

        Raises:
          OSError: If the last one failed. The checkpoints before it stay as they were.
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
        """Restores the newest training state that is as it was saved.

        One that is damaged is set aside, under ``checkpoints/damaged``, with a warning.

        Args:
          like: A state of the same structure, or its shapes (``jax.eval_shape``).
          up_to: Pass over states after more steps than that.

        Returns:
          The checkpoint, its arrays a `TrainState`; ``None`` if nothing was ever saved.

        Raises:
          InputError: If something was saved and nothing of it is good.
        """
        self._settle_all()
        items = _items(like)
        while True:
            step = _NONE
            with together():
                if jax.process_index() == 0:
                    step = self._newest_good(up_to)
            step = int(of_first(step))
            if step == _NONE:
                return None
            path = self._root / "latest" / str(step)
            try:
                found = _restore(path, step, items)
            except OSError as error:  # its disk fails meanwhile
                if jax.process_count() > 1 or error.errno != errno.EIO:
                    raise
                self._set_aside(path, error)
                continue
            return found._replace(arrays=_state(found.arrays))

    def _settle_all(self):
        for save in self._pending.values():
            _settle(save)

    def _newest_good(self, up_to):
        for step, path in _newest_first(self._root / "latest"):
            if up_to is not None and step > up_to:
                continue
            try:
                manifest.verify(path, f"latest {step}")
            except manifest.DamageError as damage:
                self._set_aside(path, damage)
            else:
                return step
        damaged = self._root / "damaged"
        if any(damaged.glob("latest-*")):
            raise InputError(
                f"every checkpoint of this run is damaged; they are in {damaged}. "
                "Restore the directory from a copy, or remove it to begin anew"
            )
        return _NONE

    def _set_aside(self, path, damage):
        damaged = self._root / "damaged"
        damaged.mkdir(exist_ok=True)
        name = f"{path.parent.name}-{path.name}"
        taken = sum(1 for _ in damaged.glob(f"{name}*"))
        aside = damaged / (f"{name}-{taken + 1}" if taken else name)
        path.rename(aside)
        self._warn(
            f"the checkpoint {path} is damaged: {damage}; it was moved to {aside}, "
            "and the one before it is used"
        )

    def _save(self, series, step, items, about, keep):
        # The next step takes the buffers of the state for its own.
        items, about = jax.tree.map(lambda x: x.copy(), items), copy.deepcopy(about)
        if series in self._pending:  # however slow the disk is, no more than one waits
            _settle(self._pending.pop(series))

        def write():
            try:
                _write(self._root / series, step, items, about, keep)
            except Exception as error:
                error = _as_os_error(error)
                self._warn(
                    f"step {step} could not be saved as {series} in {self._root} "
                    f"({error.strerror or error}); the checkpoints before it are good, "
                    "and the next save tries again"
                )
                raise error from None

        self._pending[series] = self._writer.submit(write)


def read_about(
    workdir: Path | str,
    *,
    which: Which = "best",
    warn: Callable[[str], None] = warnings.warn,
) -> Checkpoint:
    """Reads step and `about` of the best checkpoint, or of the latest if none is best.

    Args:
      workdir: A run's directory, which another process may be writing to.
      which: ``"latest"`` reads the latest one, whatever is best; a number, the one of
        that step.
      warn: Takes a sentence about a checkpoint that is damaged, and passed over.

    Raises:
      InputError: If the run has no such checkpoint that is good. Of which steps there
        are any is said.
    """
    return _read(workdir, {}, which, warn)


def restore_params(
    workdir: Path | str,
    like: Params,
    *,
    which: Which = "best",
    warn: Callable[[str], None] = warnings.warn,
) -> Checkpoint:
    """Restores the parameters of the checkpoint that `read_about` reads.

    Args:
      workdir: A run's directory, which another process may be writing to.
      like: Parameters of the same structure, or their shapes.
      which: As in `read_about`.
      warn: Takes a sentence about a checkpoint that is damaged, and passed over.

    Raises:
      InputError: If the run has no such checkpoint that is good.
    """
    found = _read(workdir, {"params": like}, which, warn)
    return found._replace(arrays=found.arrays["params"])


def _read(workdir, items, which, warn):
    seen, kept, workdir = [], set[int](), Path(workdir)
    for name in ("latest",) if which == "latest" else ("best", "latest"):
        for step, path in _newest_first(workdir / "checkpoints" / name):
            kept.add(step)
            if isinstance(which, int) and step != which:
                continue
            try:
                manifest.verify(path, f"{name} {step}")
                return _restore(path, step, items)
            except (manifest.DamageError, OSError, ValueError) as damage:
                seen.append(path)
                if path.exists():
                    warn(f"the checkpoint {path} is damaged: {damage}; trying another")
    if any(not path.exists() for path in seen):
        # Whoever trains replaced them by newer ones while they were read.
        return _read(workdir, items, which, warn)
    if isinstance(which, int) and kept and not seen:
        steps = ", ".join(map(str, sorted(kept)))
        raise InputError(
            f"{workdir} holds no checkpoint of step {which}; those that it holds are "
            f"of step {steps}"
        )
    raise InputError(
        f"{workdir} holds no checkpoint{' that is good' if seen else ''}; expected the "
        "directory of a run that has saved one"
    )


def _items(state: TrainState) -> dict[str, Any]:
    """What a state is saved as.

    The parameters to predict with are an item of their own, so that they can be read
    alone, by who need not know whether they are an average.
    """
    rest = state._asdict()
    del rest["average"]
    if not keeps_average(state):
        rest["params"] = ()
    return {"params": predicting(state), "training": rest}


def _state(items: dict[str, Any]) -> TrainState:
    """The state of such items."""
    params, rest = items["params"], items["training"]
    if jax.tree.leaves(rest["params"]):
        return TrainState(**rest, average=params)
    return TrainState(**rest | {"params": params})


def _settle(save: Future[None]) -> None:
    """Waits for a save; if it failed, that was said."""
    with contextlib.suppress(OSError):
        save.result()


def _newest_first(directory: Path) -> Iterator[tuple[int, Path]]:
    for step in sorted(_steps(directory), reverse=True):
        yield step, directory / str(step)


def _steps(directory: Path, prefix: str = "") -> list[int]:
    try:
        names = os.listdir(directory)  # which says so if it may not look; glob does not
    except FileNotFoundError:
        return []
    found = [re.fullmatch(f"{prefix}(0|[1-9][0-9]*)", name) for name in names]
    return [int(match[1]) for match in found if match]


def _write(directory, step, items, about, keep):
    """Saves a checkpoint and removes those that it supersedes."""
    unfinished, final = directory / f"{_SAVING}{step}", directory / str(step)
    args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    args = ocp.args.Composite(**args, about=ocp.args.JsonSave(about))
    try:
        # Not the run's own: if somebody has removed that, it is to stay removed.
        for folder in (directory.parent, directory):
            folder.mkdir(exist_ok=True)
        with _checkpointer() as checkpointer, plain(unfinished) as path:
            checkpointer.save(path, args)
        if jax.process_index() == 0:
            _commit(unfinished, final, step, keep)
    finally:
        if jax.process_index() == 0:
            for leftover in directory.glob(f"{_SAVING}{step}*"):
                shutil.rmtree(leftover, ignore_errors=True)


def _commit(unfinished, final, step, keep):
    directory = final.parent
    manifest.write(unfinished, f"{directory.name} {step}")
    _name(unfinished, final)
    kept = [s for s, _ in _newest_first(directory) if s <= step][:keep]
    for other, path in _newest_first(directory):
        # A later one of the best is of a run that was killed, and comes by there again.
        if other not in kept and (other < step or keep == 1):
            with contextlib.suppress(OSError):  # the next save tries again
                _remove(path)


def _name(unfinished, final):
    """Gives a checkpoint that is on the disk its name, for good."""
    if final.exists():  # a run that went on from an earlier step comes by again
        _remove(final)
    unfinished.rename(final)
    for folder in (final.parent, *final.parents[1:3]):
        sync(folder)


def _restore(path, step, items):
    # One device, whatever the number of devices that saved it.
    device = SingleDeviceSharding(jax.local_devices()[0])

    def abstract(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device)

    items = jax.tree.map(abstract, items)
    try:
        with _checkpointer() as checkpointer, plain(path) as there:
            saved = {name: saved_in(there / name) for name in items}
            for name, tree in items.items():
                check_shapes(saved[name], tree)
            # In the containers that it was saved in: parameters of layers were tuples
            # once.
            args = {
                name: ocp.args.StandardRestore(tree)
                for name, tree in arranged(items, saved).items()
            }
            args = ocp.args.Composite(**args, about=ocp.args.JsonRestore())
            found = checkpointer.restore(there, args)
        arrays = arranged({name: found[name] for name in items}, items)
    except InputError as error:
        raise InputError(f"the checkpoint {path} is of another run: {error}") from error
    except Exception as error:
        if (code := _os_error_code(error)) is not None:
            raise OSError(code, os.strerror(code)) from error
        if "RESOURCE_EXHAUSTED" in str(error):  # of memory; nothing is wrong with it
            raise
        raise InputError(
            f"the checkpoint {path} is as it was saved, but cannot be restored "
            f"({type(error).__name__}: {error}); was it saved by another program?"
        ) from error
    return Checkpoint(step, found["about"], arrays)


def _checkpointer():
    if jax.process_count() == 1:
        return ocp.Checkpointer(ocp.CompositeCheckpointHandler())
    # Said which they are, the processes wait for one another by messages, not by a
    # collective, which would come between those of the training step.
    processes = ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes=set(range(jax.process_count()))
    )
    options = ocp.CompositeOptions(multiprocessing_options=processes)
    handler = ocp.CompositeCheckpointHandler(composite_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=processes)


def _remove(path):
    """Removes a checkpoint; killed midway, it leaves none that looks like one."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    if not path.name.startswith((_SAVING, _REMOVING)):
        path = path.rename(path.with_name(_REMOVING + path.name))
    shutil.rmtree(path)


def _os_error_code(error: Exception) -> int | None:
    """The `errno` of an error, which TensorStore wraps into a `ValueError`."""
    if isinstance(error, OSError):
        return error.errno
    number = re.search(r"os_error_code='(\d+)'|OS error (\d+)", str(error))
    return int(number[1] or number[2]) if number else None


def _as_os_error(error: Exception) -> OSError:
    """Why a save failed, whatever it was: a disk, another process, no memory."""
    code = _os_error_code(error)
    if code is not None:
        return OSError(code, os.strerror(code))
    if "No space left" in str(error):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return OSError(f"{type(error).__name__}: {error}")
