"""Files from elsewhere, kept in the cache: read once, continued when cut, checked.

A copy in the cache is one file, whose name says what it is a copy of::

    NAME-URL-VERSION-SHA256.text

URL and VERSION are short hashes. The version is the server's own (an ETag, a generation
or a date, and the size), so a file that has changed there is another copy, and is read
again. SHA256 is the hash of the contents, which is checked whenever the copy is used. A
download grows in ``NAME-URL-VERSION.part``. Nothing is ever added to a part that
belongs to another version.
"""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from jaxtext.errors import InputError
from jaxtext.files import rename
from jaxtext.locks import LockedError, lock
from jaxtext.text.cache import writing
from jaxtext.text.names import last_part, slug

CHUNK = 1 << 20  # bytes hashed at a time
ROUNDS = 3  # how often a file is begun again if it changes, or is not what it should be
_POLL = 0.1  # seconds between two looks at a download of another process


class ChangedError(Exception):
    """A file is no longer the one whose first bytes were received."""


class Remote(Protocol):
    """A file on a server, as it was when the server was asked."""

    @property
    def url(self) -> str:
        """Names the file in messages."""
        ...

    @property
    def key(self) -> str:
        """Tells the file from all others."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes; None if the server does not tell."""
        ...

    @property
    def version(self) -> str | None:
        """Changes when the contents do; None if the server does not tell."""
        ...

    @property
    def hashes(self) -> dict[str, str]:
        """What is known of the contents: names of `hashlib` to hexadecimal digests."""
        ...

    def again(self) -> "Remote":
        """Asks the server anew.

        Raises:
          InputError: If the file is not there any more, or the server does not answer.
        """
        ...

    def pieces(self, offset: int) -> Iterator[bytes]:
        """Reads from an offset to the end. Requests that fail are tried again.

        Raises:
          ChangedError: If the file has changed, or cannot be continued there.
          InputError: If it cannot be read. The message names the URL.
        """
        ...


def obtain(
    remote: Remote,
    cache: Path,
    *,
    advance: Callable[[int], None] = lambda size: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Path:
    """Returns the copy of a file in the cache, and downloads it the first time.

    Several processes may call this at once: one downloads, the others wait.

    Args:
      remote: The file.
      cache: The root of the cache. The copy is in ``cache/downloads``.
      advance: Called with the number of bytes that were received, or found and checked;
        with 0 while another process downloads. It may raise, which ends the download;
        the next call continues it.
      warn: Called with a sentence about a damaged copy, which is downloaded again.

    Returns:
      The path of the copy, whose hash has been checked.

    Raises:
      InputError: If the file cannot be read, is not what it should be or keeps
        changing, or if the cache cannot be written.
    """
    folder = cache / "downloads"
    with writing(folder):
        while True:
            found = _copy(folder, remote)
            if found is None:
                with held(folder / f"{_key(remote)}.lock", advance):
                    if _copy(folder, remote) is None:
                        return _download(folder, remote, advance)
            elif _is_whole(found, advance):
                return found
            else:
                warn(
                    f"the copy {found} of {remote.url} is damaged; it is downloaded "
                    "again. If this happens repeatedly, check the disk"
                )
                found.unlink(missing_ok=True)


def sha256(path: Path, advance: Callable[[int], None] = lambda size: None) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Args:
      path: The file.
      advance: Called with the size of each piece.
    """
    return _digests(path, ["sha256"], advance)["sha256"]


def _copy(folder: Path, remote: Remote) -> Path | None:
    """The copy of this version, or the one with the hash that the file should have."""
    if wanted := remote.hashes.get("sha256"):
        found = [*folder.glob(f"{_key(remote)}-*-{wanted}.text")]
    elif remote.version is None:
        return None
    else:
        found = [*folder.glob(f"{_version_key(remote)}-*.text")]
    return found[0] if found else None


def _is_whole(copy: Path, advance: Callable[[int], None]) -> bool:
    try:
        return sha256(copy, advance) == copy.stem.rpartition("-")[2]
    except OSError:  # removed meanwhile, or the disk cannot give it any more
        return False


def _download(folder: Path, remote: Remote, advance: Callable[[int], None]) -> Path:
    """Downloads a file, and removes copies and parts of other versions."""
    for _ in range(ROUNDS):
        part = folder / f"{_version_key(remote)}.part"
        if remote.version is None and not remote.hashes:
            part.unlink(missing_ok=True)  # it may be of another version
        _check_space(folder, remote, part)
        resumed = part.exists()
        try:
            receive(remote, part, advance)
            if remote.size not in (None, part.stat().st_size):
                raise ChangedError
            found = _digests(part, ["sha256", *remote.hashes])
        except ChangedError:
            part.unlink(missing_ok=True)
            remote = remote.again()
            continue
        if remote.hashes.items() <= found.items():
            copy = folder / f"{_version_key(remote)}-{found['sha256']}.text"
            rename(part, copy)
            for other in folder.glob(f"{_key(remote)}-*"):
                if other != copy:
                    other.unlink(missing_ok=True)
            return copy
        part.unlink()
        if not resumed:
            name = next(x for x in remote.hashes if remote.hashes[x] != found[x])
            raise InputError(
                f"cannot use {remote.url}: expected contents with {name} "
                f"{remote.hashes[name]}, got {found[name]}; check what is there, and "
                "try again"
            )
    raise InputError(
        f"{remote.url} changes while it is read; try again when nothing writes to it"
    )


def receive(remote: Remote, part: Path, advance: Callable[[int], None]) -> None:
    """Adds to a file what it lacks of a remote one.

    Args:
      remote: The file on the server.
      part: The file to add to, which need not exist. One that is too long is emptied.
      advance: Called with the size of each piece, and of what is there already.

    Raises:
      ChangedError: If the file on the server has changed.
      InputError: If it cannot be read.
    """
    with part.open("ab") as file:
        if remote.size is not None and file.tell() > remote.size:
            file.truncate(0)
            file.seek(0)
        advance(file.tell())
        if file.tell() == remote.size:
            return
        for piece in remote.pieces(file.tell()):
            file.write(piece)
            advance(len(piece))


def _check_space(folder: Path, remote: Remote, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    missing, free = (remote.size or 0) - have, shutil.disk_usage(folder).free
    if missing > free:
        raise InputError(
            f"cannot download {remote.url}: it has {missing:,} more bytes, but the "
            f"cache directory {folder} has {free:,} bytes free; free some space, or "
            "set JAXTEXT_CACHE to another directory"
        )


@contextlib.contextmanager
def held(path: Path, advance: Callable[[int], None]) -> Iterator[None]:
    """Holds a lock, as `lock`, but calls `advance` with 0 while it waits for it."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock(path, wait=False))
                break
            except LockedError:
                advance(0)
                time.sleep(_POLL)
        yield


def _key(remote: Remote) -> str:
    return f"{slug(last_part(remote.url).stem)}-{_short(remote.key)}"


def _version_key(remote: Remote) -> str:
    return f"{_key(remote)}-{_short(f'{remote.version} {remote.size}')}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digests(
    path: Path, names: list[str], advance: Callable[[int], None] = lambda size: None
) -> dict[str, str]:
    digests = {name: hashlib.new(name) for name in names}
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            for digest in digests.values():
                digest.update(data)
            advance(len(data))
    return {name: digest.hexdigest() for name, digest in digests.items()}
