"""Data sets known by name: downloaded once, resumed when cut, checked by SHA-256."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from jaxtext.errors import InputError
from jaxtext.files import rename
from jaxtext.locks import lock
from jaxtext.text.cache import writing


class Dataset(NamedTuple):
    """Where to download a data set, and what it must contain."""

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

TIMEOUT = 30.0  # seconds without an answer from the server
CHUNK = 1 << 16


def fetch(name: str, cache: Path) -> Path:
    """Returns the file of a named data set, and downloads it the first time.

    The download is written to ``downloads/NAME.part``. If the connection is cut, the
    next call continues that file. Once its hash is right, the file is renamed.

    Args:
      name: A key of ``DATASETS``.
      cache: The root of the cache. The file is ``cache/downloads/NAME.txt``.

    Returns:
      The path of the complete file, whose hash has been checked.

    Raises:
      InputError: If the download fails or has another hash, if the file that is there
        already has another hash, or if the cache cannot be written.

    Example:
      >>> fetch("tinyshakespeare", Path("cache"))  # doctest: +SKIP
      PosixPath('cache/downloads/tinyshakespeare.txt')
    """
    path = cache / "downloads" / f"{name}.txt"
    if not path.exists():
        # One process at a time: two would append to the same .part file.
        with writing(path.parent), lock(path.with_suffix(".lock")):
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
        rename(part, path)
        return
    part.unlink()
    if not resumed:
        reason = f"the server sent other content, SHA-256 {digest}"
        raise _failure(name, path, reason)
    # The earlier .part file may be what was wrong, so try once more without it.
    _download(name, path)


def _transfer(name: str, path: Path, part: Path) -> None:
    """Downloads what `part` lacks of its full size."""
    url, _, size = DATASETS[name]
    offset = part.stat().st_size if part.exists() else 0
    if offset == size:
        return
    with _network(name, path):
        response = _open(url, offset if offset < size else 0)
    # A server that does not know Range answers 200 and sends everything.
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        while file.tell() <= size:  # a server may never stop sending
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
    # Imported here, not above, because most runs download nothing.
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"Range": f"bytes={offset}-"} if offset else {}
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # the server's file is shorter than ours
            return _open(url, 0)
        raise


@contextmanager
def _network(name: str, path: Path) -> Iterator[None]:
    """Reports network errors. Disk errors are left to `writing`."""
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
