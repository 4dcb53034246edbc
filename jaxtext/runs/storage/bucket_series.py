"""A series of checkpoints in a bucket, each under the number of its step.

The objects of a checkpoint are below ``STEP/``, and the last one of them to be written
is the manifest. While they are written, there is an object ``saving-STEP``; while they
are removed, ``removing-STEP``. A killed process may leave either. So a checkpoint of
which somebody else removed the manifest is told from one that was never complete.
"""

import atexit
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from jaxtext.buckets import Objects
from jaxtext.runs.storage import manifest
from jaxtext.runs.storage.interface import SeriesName
from jaxtext.runs.storage.lease import LostLeaseError
from jaxtext.runs.storage.retention import superseded
from jaxtext.runs.storage.scratch import scratch

_SAVING, _REMOVING = "saving-", "removing-"
_AT_ONCE = 8  # requests


class _Kept(NamedTuple):
    """A checkpoint that was downloaded and found undamaged."""

    step: int
    text: bytes  # its manifest
    path: Path
    stack: contextlib.ExitStack  # which removes it


class BucketSeries:
    """A series of checkpoints. Its methods are told in `SeriesStorage`.

    Args:
      objects: The run's.
      name: The series.
      before_commit: Called before a manifest is written; it may raise ``OSError``.
    """

    def __init__(
        self, objects: Objects, name: SeriesName, before_commit: Callable[[], None]
    ):
        self._name, self._before_commit = name, before_commit
        self._checkpoints = objects.below("checkpoints")
        self._objects = self._checkpoints.below(name)
        self._kept: _Kept | None = None
        atexit.register(self._forget)

    def steps(self) -> list[int]:
        return _steps(self._objects.names())

    def where(self, step: int) -> str:
        return self._objects.at(str(step))

    def save(self, step: int, write: Callable[[Path], None], keep: int) -> None:
        self._forget()
        with scratch() as folder:
            local = folder / str(step)
            write(local)
            text = manifest.render(local, self._title(step))
            try:
                self.recover()  # a save that failed may have left something
                if step in self.steps():
                    self.remove(step)  # a run that went back comes to it again
                self._objects.write(f"{_SAVING}{step}", b"")
                self._upload(step, local)
                self._before_commit()
                self._objects.write(f"{step}/{manifest.NAME}", text)
            except LostLeaseError:
                raise  # what is there now is another process's
            except BaseException:
                # Also if the answer to the last request was lost: it may exist.
                with contextlib.suppress(OSError):  # a later process removes it
                    self._discard(step)
                raise
        with contextlib.suppress(OSError):  # the next save tries again
            self._objects.remove(f"{_SAVING}{step}")
            for other in superseded(self.steps(), step, keep):
                self.remove(other)

    @contextlib.contextmanager
    def opened(self, step: int) -> Iterator[Path]:
        text = self._objects.read(f"{step}/{manifest.NAME}")
        if text is None:
            raise manifest.DamageError(f"it has no {manifest.NAME}")
        kept = self._kept
        if kept is None or (kept.step, kept.text) != (step, text):
            self._forget()
            with contextlib.ExitStack() as stack:
                path = stack.enter_context(scratch()) / str(step)
                self._download(step, path)
                manifest.verify(path, self._title(step))
                # A program asks for a checkpoint's JSON first, then for its arrays.
                self._kept = kept = _Kept(step, text, path, stack.pop_all())
        yield kept.path

    def recover(self) -> None:
        names = self._objects.names()
        for step in _marked(names, _SAVING):
            if f"{step}/{manifest.NAME}" in names:  # it was complete
                self._objects.remove(f"{_SAVING}{step}")
            else:
                self._discard(step)
        for step in _marked(names, _REMOVING):
            self._discard(step, _REMOVING)

    def remove(self, step: int) -> None:
        self._objects.write(f"{_REMOVING}{step}", b"")
        self._discard(step, _REMOVING)

    def set_aside(self, step: int) -> str:
        name = f"{self._name}-{step}"
        damaged = self._checkpoints.below("damaged")
        taken = {x.partition("/")[0] for x in damaged.names()}
        count = sum(1 for x in taken if re.fullmatch(f"{name}(-[0-9]+)?", x))
        aside = f"{name}-{count + 1}" if count else name
        for below in _below(step, self._objects.names()):
            there = f"damaged/{aside}/{below.partition('/')[2]}"
            self._checkpoints.copy(f"{self._name}/{below}", there)
        self.remove(step)
        return damaged.at(aside)

    def _forget(self):
        """Removes the checkpoint that was downloaded last."""
        if self._kept is not None:
            self._kept.stack.close()
            self._kept = None

    def _upload(self, step, local):
        paths = [path for path in local.rglob("*") if path.is_file()]

        def put(path):
            self._objects.upload(f"{step}/{path.relative_to(local).as_posix()}", path)

        _each(put, paths)

    def _download(self, step, local):
        def get(name):
            path = local.parent / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._objects.download(name, path)
            except FileNotFoundError:
                below = name.partition("/")[2]
                raise manifest.DamageError(f"{below} is missing") from None

        _each(get, _below(step, self._objects.names()))

    def _discard(self, step, mark=_SAVING):
        """Removes a checkpoint: the manifest first, the mark last."""
        self._objects.remove(f"{step}/{manifest.NAME}")
        _each(self._objects.remove, _below(step, self._objects.names()))
        self._objects.remove(f"{mark}{step}")

    def _title(self, step):
        return f"{self._name} {step}"


def _each(action: Callable[..., None], things: Iterable[object]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for done in [threads.submit(action, thing) for thing in things]:
            done.result()


def _below(step: int, names: list[str]) -> list[str]:
    """The objects of a checkpoint."""
    return [name for name in names if name.startswith(f"{step}/")]


def _marked(names: list[str], prefix: str) -> list[int]:
    return _numbers(name.removeprefix(prefix) for name in names if prefix in name)


def _steps(names: list[str]) -> list[int]:
    """The steps of which all has been written, and nothing is being removed."""
    there = _numbers(name.partition("/")[0] for name in names if "/" in name)
    incomplete = {
        step
        for step in _marked(names, _SAVING)
        if f"{step}/{manifest.NAME}" not in names
    }
    return [x for x in there if x not in incomplete | set(_marked(names, _REMOVING))]


def _numbers(words: Iterable[str]) -> list[int]:
    return sorted({int(x) for x in words if re.fullmatch("0|[1-9][0-9]*", x)})
