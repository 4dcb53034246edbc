"""The runs in a directory or in a part of a bucket."""

import os
from collections.abc import Iterable
from pathlib import Path

from jaxtext.buckets import Objects, explained, place, scheme

# What a run writes first. A directory with two of them is a run, damaged or not.
_MARKS = {"config.json", "flags.json", "metrics.jsonl", "checkpoints"}


def runs_below(workdir: Path | str) -> list[Path]:
    """Finds the runs in a place: that itself, or directories at any depth below it.

    Links to directories are not followed, and what lies in a run is not looked at.
    Nothing is locked or changed.

    Args:
      workdir: A path, or a URL that begins with ``gs://`` or ``s3://``.

    Returns:
      Their places, in the order of their names.

    Raises:
      InputError: If it is in a bucket that cannot be listed.

    Example:
      >>> runs_below("no/such/directory")
      []
    """
    if scheme(workdir) is None:
        return sorted(_on_disk(Path(workdir)))
    with explained(workdir):
        names = Objects(workdir).names()
    found = dict[str, set[str]]()
    for name in names:
        parts = name.split("/")
        for depth, part in enumerate(parts):
            found.setdefault("/".join(parts[:depth]), set()).add(part)
    at = place(workdir)
    runs = sorted(below for below, there in found.items() if _is_run(there))
    return [at / below if below else at for below in runs]


def _on_disk(top: Path) -> Iterable[Path]:
    for folder, folders, files in os.walk(top):
        if _is_run((*folders, *files)):
            folders.clear()
            yield Path(folder)


def _is_run(names: Iterable[str]) -> bool:
    return len(_MARKS.intersection(names)) > 1
