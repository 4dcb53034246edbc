"""The directory of a run, which one process at a time may write to.

It is on a disk or in a bucket: ``gs://bucket/runs/first``, ``s3://bucket/runs/first``.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxtext.errors import InputError
from jaxtext.files import as_json
from jaxtext.locks import LockedError
from jaxtext.runs.storage import Claim, storage


@contextlib.contextmanager
def claim(workdir: Path | str, identity: Mapping[str, Any]) -> Iterator[Claim]:
    """Holds a directory for one run, and creates it if needed.

    The directory is locked until the block ends. If the process is killed, the
    operating system frees the lock. In a bucket, a lease does this: see
    `jaxtext.runs.storage.lease`.

    A new directory gets the run's `identity` in ``config.json``. For a directory that
    has one, the identity must be the same.

    Args:
      workdir: The run's directory, a path or a URL.
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
    run = storage(workdir)
    with contextlib.ExitStack() as stack:
        with _reporting(run):
            try:
                held = stack.enter_context(run.hold())
            except LockedError as locked:
                raise InputError(
                    f"{run.place} {locked}; wait for it to end, or choose another "
                    "`workdir`"
                ) from None
        try:
            found = read_identity(workdir)
            if found is None:
                run.write("config.json", as_json(identity))
            else:
                check_identity(run.place, found, identity)
            yield held
        except OSError as error:
            raise InputError(
                f"cannot read or write in {run.place} ({error.strerror or error}); "
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
    run = storage(workdir)
    path = run.place / "config.json"
    try:
        data = run.read("config.json")
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error.strerror}); check its permissions, or choose "
            "another `workdir`"
        ) from error
    if data is None:
        return None
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"{path} is not the JSON of a run; if it was one, remove that file (the "
            "checkpoints hold the same), else choose another `workdir`"
        )
    return found


def check_shared(workdir: Path | str) -> None:
    """Checks that all processes of a run see the same directory; all call this.

    Process 0 creates the directory if needed. If the check fails, it removes what it
    created. A bucket is the same for all.

    Args:
      workdir: The run's directory, by the path that this process has for it.

    Raises:
      InputError: In all processes, if one of them finds another directory there, or if
        process 0 cannot create it.
    """
    storage(workdir).check_shared()


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
def _reporting(run):
    """Reports errors of the storage while a directory is created."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{run.place} cannot be used as a workdir ({error.strerror or error}); "
            "choose another `workdir`"
        ) from error
