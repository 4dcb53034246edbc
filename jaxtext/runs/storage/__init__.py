"""Where a run lives: a directory on a disk, or a bucket of an object store.

`storage` opens the place of a run. It alone knows which of the two that is; all other
code uses what it returns, a `Storage`.

On a **disk**, a file or a checkpoint gets its name when it is complete (a rename), and
waits for the disk (fsync). A lock keeps a second process out.

A **bucket** has no rename, no lock, no appending and no fsync, but an object appears
whole or not at all. So a checkpoint is saved to a temporary directory on this host, and
uploaded object by object. Its manifest comes last: without one, it is not there. A
*lease* keeps a second process out: see `jaxtext.runs.storage.lease`.
"""

import functools
from os import PathLike, fspath
from pathlib import Path

from jaxtext.buckets import place, scheme
from jaxtext.runs.storage.disk import Disk
from jaxtext.runs.storage.interface import Claim, SeriesName, Storage

__all__ = ["Claim", "SeriesName", "Storage", "storage"]


def storage(workdir: str | PathLike[str]) -> Storage:
    """Opens the place of a run. Nothing is created, nor asked for.

    Args:
      workdir: A path, or a URL that begins with ``gs://`` or ``s3://``.

    Raises:
      InputError: If the URL has another scheme, or if its library is not installed.

    Example:
      >>> storage("runs/first").read("config.json")
    """
    if scheme(workdir) is None:
        return Disk(Path(workdir))
    return _bucket(fspath(workdir).rstrip("/"))


@functools.cache  # it knows the lease of this process
def _bucket(url: str) -> Storage:
    from jaxtext.runs.storage.bucket import BucketStorage

    return BucketStorage(url, place(url))
