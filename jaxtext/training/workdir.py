"""The directory of a run: claimed by one process, for one configuration."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from jaxtext.errors import InputError
from jaxtext.training.files import write_durably


@contextlib.contextmanager
def claim(workdir: Path, identity: Mapping[str, Any]) -> Iterator[None]:
    """Holds a directory for one run, making it if need be.

    The claim is an operating system's lock, which a process that is killed gives up.
    `identity` is what makes a run the run that it is; it is written to ``config.json``
    when the directory is new, and has to be the same when it is not.

    Args:
      workdir: The run's directory.
      identity: JSON: configuration and what else has to stay the same.

    Raises:
      InputError: If the directory cannot be made or written (then or at any time
        within the block, as when the disk is full), if another process has it, or if
        it holds a run with another identity (which fields differ is said).

    Example:
      >>> import tempfile
      >>> run = Path(tempfile.mkdtemp()) / "run"
      >>> with claim(run, {"cell": "lstm"}):
      ...     (run / "config.json").read_text().split()
      ['{', '"cell":', '"lstm"', '}']
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(workdir / ".lock")
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"{workdir} is in use by another process; wait for it to end, or choose "
            "another --workdir"
        ) from None
    except OSError as error:
        raise InputError(
            f"{workdir} cannot be used as a workdir ({error.strerror}); choose "
            "another with --workdir"
        ) from error
    try:
        _check_config(workdir / "config.json", identity)
        yield
    except OSError as error:
        raise InputError(
            f"cannot read or write in {workdir} ({error.strerror or error}); what was "
            "saved is good: mend that, and the same command goes on from there"
        ) from error
    finally:
        lock.release()


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all, a reader never seeing half of it."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_durably(path, text.encode())


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


def _check_config(path, identity):
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        write_json(path, identity)
        return
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"{path} is not the JSON of a run; if it was one, remove that file: the "
            "checkpoints know it too. Else choose another --workdir"
        )
    check_identity(path.parent, found, identity)
