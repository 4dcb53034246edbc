"""The directory of a series of checkpoints, each under the number of its step.

``STEP`` is a complete checkpoint. ``saving-STEP`` is being saved, and ``removing-STEP``
is being removed; a killed process may leave either.
"""

import contextlib
import os
import re
import shutil
from pathlib import Path

from jaxtext.files import rename, sync
from jaxtext.runs.storage import manifest
from jaxtext.runs.storage.retention import superseded

_SAVING, _REMOVING = "saving-", "removing-"


def steps(directory: Path) -> list[int]:
    """Returns the steps of all complete checkpoints, in ascending order."""
    return _numbers(directory, "")


def verify(checkpoint: Path) -> None:
    """Raises `manifest.DamageError` if a checkpoint is not what was saved."""
    manifest.verify(checkpoint, _title(checkpoint.parent, checkpoint.name))


def saving(directory: Path, step: int) -> Path:
    """Returns where to save a checkpoint before `commit`, and creates the series."""
    # The run's directory is not created: if somebody removed it, it stays removed.
    for folder in (directory.parent, directory):
        folder.mkdir(exist_ok=True)
    return directory / f"{_SAVING}{step}"


def commit(directory: Path, step: int, keep: int) -> None:
    """Makes what was saved a checkpoint, and removes those that it supersedes.

    Args:
      directory: The series.
      step: Its number. A checkpoint with the same number is replaced.
      keep: How many checkpoints of up to this step to keep, this one included.
    """
    unfinished = directory / f"{_SAVING}{step}"
    manifest.write(unfinished, _title(directory, step))
    _name(unfinished, directory / str(step))
    for other in superseded(steps(directory)[::-1], step, keep):
        with contextlib.suppress(OSError):  # the next save tries again
            remove(directory / str(other))


def discard(directory: Path, step: int) -> None:
    """Removes what is left of a save that failed."""
    for leftover in directory.glob(f"{_SAVING}{step}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def recover(directory: Path) -> None:
    """Completes or removes what a killed process left in the series."""
    for step in _numbers(directory, _SAVING):
        unfinished = directory / f"{_SAVING}{step}"
        with contextlib.suppress(manifest.DamageError):
            # It may have been complete except for its final name.
            manifest.verify(unfinished, _title(directory, step))
            _name(unfinished, directory / str(step))
    for prefix in (_SAVING, _REMOVING):
        for leftover in directory.glob(prefix + "*"):
            with contextlib.suppress(OSError):  # no reason not to start
                remove(leftover)


def remove(path: Path) -> None:
    """Removes a checkpoint, so that a kill leaves nothing that looks like one."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    if not path.name.startswith((_SAVING, _REMOVING)):
        path = path.rename(path.with_name(_REMOVING + path.name))
    shutil.rmtree(path)


def set_aside(path: Path, damaged: Path) -> Path:
    """Moves a damaged checkpoint to the directory `damaged`, and returns its path."""
    damaged.mkdir(exist_ok=True)
    name = f"{path.parent.name}-{path.name}"
    taken = sum(1 for _ in damaged.glob(f"{name}*"))
    aside = damaged / (f"{name}-{taken + 1}" if taken else name)
    return path.rename(aside)


def _name(unfinished: Path, final: Path) -> None:
    """Gives a complete checkpoint its final name, durably."""
    if final.exists():  # a run that went back comes to the same step again
        remove(final)
    rename(unfinished, final)
    for folder in final.parents[1:3]:  # which may be new, too
        sync(folder)


def _title(directory: Path, step: int | str) -> str:
    return f"{directory.name} {step}"


def _numbers(directory: Path, prefix: str) -> list[int]:
    try:
        names = os.listdir(directory)  # glob would hide an error
    except FileNotFoundError:
        return []
    found = [re.fullmatch(f"{prefix}(0|[1-9][0-9]*)", name) for name in names]
    return sorted(int(match[1]) for match in found if match)
