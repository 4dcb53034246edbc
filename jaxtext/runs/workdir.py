"""The directory of a run: claimed by one process, for one configuration."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock, Timeout

from jaxtext.errors import InputError
from jaxtext.runs.agreement import together, told_by_all
from jaxtext.runs.files import write_durably


class Claim:
    """A directory that is held, and can tell whether its path still leads to it."""

    def __init__(self, workdir: Path):
        self._workdir = workdir
        # While this is open, no other directory gets the same number.
        self._open = os.open(workdir, os.O_RDONLY)

    def is_there(self) -> bool:
        """Whether it is where it was: not removed, moved away, or replaced."""
        try:
            return os.path.samestat(os.fstat(self._open), self._workdir.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # of a disk that fails
            return True

    def close(self) -> None:
        """Lets go of the directory."""
        os.close(self._open)


@contextlib.contextmanager
def claim(workdir: Path | str, identity: Mapping[str, Any]) -> Iterator[Claim]:
    """Holds a directory for one run, making it if need be.

    The claim is an operating system's lock, which a process that is killed gives up.
    `identity` is what makes a run the run that it is; it is written to ``config.json``
    when the directory is new, and has to be the same when it is not.

    Args:
      workdir: The run's directory.
      identity: JSON: configuration and what else has to stay the same.

    Yields:
      What tells whether the directory is still there.

    Raises:
      InputError: If the directory cannot be made or written (then or at any time
        within the block, as when the disk is full), if another process has it, or if
        it holds a run with another identity (which fields differ is said).

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
    with _making(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(workdir / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise InputError(
                f"{workdir} is in use by another process; wait for it to end, or "
                "choose another --workdir"
            ) from None
    try:
        found = read_identity(workdir)
        if found is None:
            write_json(workdir / "config.json", identity)
        else:
            check_identity(workdir, found, identity)
        with contextlib.closing(Claim(workdir)) as held:
            yield held
    except OSError as error:
        raise InputError(
            f"cannot read or write in {workdir} ({error.strerror or error}); what was "
            "saved is good: mend that, and the same command goes on from there"
        ) from error
    finally:
        lock.release()


def write_json(path: Path | str, value: Any) -> None:
    """Writes a JSON file whole or not at all, a reader never seeing half of it."""
    text = json.dumps(value, indent=2) + "\n"  # ASCII, which any name can be told in
    write_durably(Path(path), text.encode())


def read_identity(workdir: Path | str) -> dict[str, Any] | None:
    """What `claim` wrote of the run in a directory; ``None`` if there is none.

    Raises:
      InputError: If the file is not what it wrote, or cannot be read.
    """
    path = Path(workdir) / "config.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error.strerror}); allow it, or choose another "
            "--workdir"
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"{path} is not the JSON of a run; if it was one, remove that file: the "
            "checkpoints know it too. Else choose another --workdir"
        )
    return found


def check_shared(workdir: Path) -> None:
    """Raises `InputError` in all processes, which all call this, unless they share it.

    Process 0 makes the directory if need be, and leaves nothing in it. If they do not
    share it, what it made is gone again.

    Args:
      workdir: The run's directory, under the path that this process has it.

    Raises:
      InputError: If another process finds another directory there, or it cannot be
        made.
    """
    if jax.process_count() == 1:
        return
    mark = workdir / told_by_all(f".shared-{secrets.token_hex(8)}")[0]
    made = []
    try:
        with together():
            if jax.process_index() == 0:
                made = [x for x in (workdir, *workdir.parents) if not x.exists()]
                with _making(workdir):
                    workdir.mkdir(parents=True, exist_ok=True)
                    mark.touch()
        with together():
            if not mark.exists():
                raise InputError(
                    f"{workdir.absolute()} is not the directory that process 0 has; "
                    "give all processes one --workdir, on a file system that they share"
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
    """Raises `InputError` if a run that was found is not the one that is asked for.

    Args:
      workdir: Where it was found.
      found: The identity that it has.
      identity: The identity that is asked for.
    """
    identity = json.loads(json.dumps(identity))  # tuples become lists, as when read
    names = sorted(found.keys() | identity.keys())
    differing = [name for name in names if found.get(name) != identity.get(name)]
    if differing == ["corpus"]:
        raise InputError(
            f"the text is not the one that the run in {workdir} was trained on "
            f"(SHA-256 {found['corpus']} there, {identity['corpus']} here); give it "
            "that text again, or choose another --workdir to begin anew"
        )
    if differing:
        said = "; ".join(
            f"{name} is {found.get(name)!r} there and {identity.get(name)!r} here"
            for name in differing
        )
        raise InputError(
            f"{workdir} holds a run with another configuration: {said}; choose "
            "another --workdir, or give what it has"
        )


@contextlib.contextmanager
def _making(workdir):
    """Tells of what the disk refuses while a directory is made."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{workdir} cannot be used as a workdir ({error.strerror}); choose "
            "another with --workdir"
        ) from error
