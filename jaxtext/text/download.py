"""Data sets known by name: downloaded once, resumed when cut, checked by SHA-256."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from jaxtext.errors import InputError
from jaxtext.text.cache import writing


class Dataset(NamedTuple):
    """Where a data set lies and what its bytes must be."""

    url: str
    sha256: str
    size: int  # bytes


DATASETS = {
    "tinyshakespeare": Dataset(
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        size=1_115_394,
    ),
}

TIMEOUT = 30.0  # seconds of silence from the server
CHUNK = 1 << 16


def fetch(name: str, cache: Path) -> Path:
    """Return the file of a named data set, downloading it the first time.

    The download grows in ``downloads/NAME.part``, which a cut connection leaves for
    the next call to resume, and takes its final name only once its hash is right.

    Args:
      name: a key of ``DATASETS``.
      cache: root of the cache; the file is ``cache/downloads/NAME.txt``.

    Returns:
      Path of the complete, checked file.

    Raises:
      InputError: the download failed or brought other bytes than expected, the file
        already there is not the data set, or the cache cannot be written.

    Example:
      >>> fetch("tinyshakespeare", Path("cache"))  # doctest: +SKIP
      PosixPath('cache/downloads/tinyshakespeare.txt')
    """
    path = cache / "downloads" / f"{name}.txt"
    if not path.exists():
        # Imported here, not above, to spare everyone who never downloads anything.
        from filelock import FileLock

        # One process at a time: two would append to the same .part.
        with writing(path.parent), FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _download(name, path)
    if (digest := _sha256(path)) != DATASETS[name].sha256:
        raise InputError(
            f"{path} is not the data set {name}: expected SHA-256 "
            f"{DATASETS[name].sha256}, got {digest}; delete it to download it again"
        )
    return path


def _download(name: str, path: Path) -> None:
    part = path.with_suffix(".part")
    resumed = part.exists()
    _transfer(name, path, part)
    if (digest := _sha256(part)) == DATASETS[name].sha256:
        part.replace(path)
        return
    part.unlink()
    if not resumed:
        reason = f"the server sent other content, SHA-256 {digest}"
        raise _failure(name, path, reason)
    # The wrong bytes may be those of the earlier .part, so once more without it.
    _download(name, path)


def _transfer(name: str, path: Path, part: Path) -> None:
    """Bring ``part`` to its full size, from where it ends if it can be resumed."""
    url, _, size = DATASETS[name]
    offset = part.stat().st_size if part.exists() else 0
    if offset == size:
        return
    with _network(name, path):
        response = _open(url, offset if offset < size else 0)
    # A server that does not know Range answers 200 and sends everything.
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        while file.tell() <= size:  # no further, should the server never stop
            with _network(name, path):
                chunk = response.read(CHUNK)
            if not chunk:
                break
            file.write(chunk)
        received = file.tell()
    if received < size:
        reason = f"the connection was cut after {received:,} of {size:,} bytes"
        raise _failure(name, path, reason)


def _open(url: str, offset: int):
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"Range": f"bytes={offset}-"} if offset else {}
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # the server's file ends before our .part
            return _open(url, 0)
        raise


@contextmanager
def _network(name: str, path: Path) -> Iterator[None]:
    """Report what fails on the network; what fails on the disk is not for here."""
    from http.client import HTTPException

    try:
        yield
    except (OSError, HTTPException) as error:
        raise _failure(name, path, str(error) or type(error).__name__) from error


def _failure(name: str, path: Path, reason: str) -> InputError:
    return InputError(
        f"cannot download {name}: {reason}; try again (it resumes), or save "
        f"{DATASETS[name].url} as {path}, or give the path of a text file instead"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
