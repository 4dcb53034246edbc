"""The directory of a run, which one process at a time may write to."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxtext.errors import InputError
from jaxtext.files import write_json
from jaxtext.locks import LockedError, lock
from jaxtext.runs.agreement import together, told_by_all


class Claim:
    """A directory that is held for a run. It can tell whether it is still there."""

    def __init__(self, workdir: Path):
        self._workdir = workdir
        # While this is open, no other directory gets the same inode number.
        self._open = os.open(workdir, os.O_RDONLY)

    def is_there(self) -> bool:
        """Whether the path still leads to it: not removed, moved or replaced."""
        try:
            return os.path.samestat(os.fstat(self._open), self._workdir.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # the disk fails, which says nothing about the directory
            return True

    def close(self) -> None:
        """Lets go of the directory."""
        os.close(self._open)


@contextlib.contextmanager
def claim(workdir: Path | str, identity: Mapping[str, Any]) -> Iterator[Claim]:
    """Holds a directory for one run, and creates it if needed.

    The directory is locked until the block ends. If the process is killed, the
    operating system frees the lock.

    A new directory gets the run's `identity` in ``config.json``. For a directory that
    has one, the identity must be the same.

    Args:
      workdir: The run's directory.
      identity: What must stay the same for as long as the run lives, such as its
        configuration. Any JSON.

    Yields:
      A `Claim`, which tells whether the directory is still there.

    Raises:
      InputError: If the directory cannot be created, read or written, now or at any
        time in the block, as when the disk is full. Also if another process holds it,
        or if it holds a run with another identity; the message names the differences.

    Example:
      >>> import tempfile
      >>> run = Path(tempfile.mkdtemp()) / "run"
      >>> with claim(run, {"cell": "lstm"}) as held:
      ...     (run / "config.json").read_text().split()
      ...     held.is_there(), run.rename(run.with_name("moved")) and held.is_there()
      ['{', '"cell":', '"lstm"', '}']
      (True, False)
    """
    workdir = Path(workdir)
    with contextlib.ExitStack() as stack:
        with _reporting(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(lock(workdir / ".lock", wait=False))
            except LockedError:
                raise InputError(
                    f"{workdir} is in use by another process; wait for it to end, or "
                    "choose another `workdir`"
                ) from None
        try:
            found = read_identity(workdir)
            if found is None:
                write_json(workdir / "config.json", identity)
            else:
                check_identity(workdir, found, identity)
            held = stack.enter_context(contextlib.closing(Claim(workdir)))
            yield held
        except OSError as error:
            raise InputError(
                f"cannot read or write in {workdir} ({error.strerror or error}); "
                "everything saved so far is good: fix the cause, and the same command "
                "continues from there"
            ) from error


def read_identity(workdir: Path | str) -> dict[str, Any] | None:
    """Reads the identity that `claim` wrote to a directory.

    Returns:
      The identity, or ``None`` if the directory has none.

    Raises:
      InputError: If the file cannot be read, or is damaged.
    """
    path = Path(workdir) / "config.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error.strerror}); check its permissions, or choose "
            "another `workdir`"
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"{path} is not the JSON of a run; if it was one, remove that file (the "
            "checkpoints hold the same), else choose another `workdir`"
        )
    return found


def check_shared(workdir: Path) -> None:
    """Checks that all processes of a run see the same directory; all call this.

    Process 0 creates the directory if needed. If the check fails, it removes what it
    created.

    Args:
      workdir: The run's directory, by the path that this process has for it.

    Raises:
      InputError: In all processes, if one of them finds another directory there, or if
        process 0 cannot create it.
    """
    if jax.process_count() == 1:
        return
    mark = workdir / told_by_all(f".shared-{secrets.token_hex(8)}")[0]
    made = []
    try:
        with together():
            if jax.process_index() == 0:
                made = [x for x in (workdir, *workdir.parents) if not x.exists()]
                with _reporting(workdir):
                    workdir.mkdir(parents=True, exist_ok=True)
                    mark.touch()
        with together():
            if not mark.exists():
                raise InputError(
                    f"{workdir.absolute()} is not the directory that process 0 has; "
                    "give all processes the same `workdir`, on a file system that they "
                    "share"
                )
    except InputError:
        with contextlib.suppress(OSError):
            mark.unlink()
        for directory in made:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise
    if jax.process_index() == 0:
        mark.unlink()


def check_identity(
    workdir: Path, found: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    """Checks that the run in a directory is the one that was asked for.

    Args:
      workdir: The run's directory.
      found: The identity of the run there.
      identity: The identity that was asked for.

    Raises:
      InputError: If they differ. The message names every difference.
    """
    identity = json.loads(json.dumps(identity))  # tuples become lists, as when read
    names = sorted(found.keys() | identity.keys())
    differing = [name for name in names if found.get(name) != identity.get(name)]
    if differing == ["corpus"]:
        raise InputError(
            f"the text is not the one that the run in {workdir} was trained on "
            f"(SHA-256 {found['corpus']} there, {identity['corpus']} here); give it "
            "that text again, or choose another `workdir` for a new run"
        )
    if differing:
        said = "; ".join(
            f"{name} is {found.get(name)!r} there and {identity.get(name)!r} here"
            for name in differing
        )
        raise InputError(
            f"{workdir} holds a run with another configuration: {said}; give the same "
            "as there, or choose another `workdir`"
        )


@contextlib.contextmanager
def _reporting(workdir):
    """Reports disk errors while a directory is created."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{workdir} cannot be used as a workdir ({error.strerror}); choose "
            "another `workdir`"
        ) from error
