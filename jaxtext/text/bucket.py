"""Texts in object storage: an object, those below a prefix, those that match a glob."""

import base64
import contextlib
import glob
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from jaxtext import buckets
from jaxtext.errors import InputError
from jaxtext.text.excluding import Exclusion
from jaxtext.text.folder import MARKS_OF_CACHES, is_named_as_of_a_run
from jaxtext.text.names import last_part
from jaxtext.text.remote import ChangedError

CHUNK = 1 << 23  # bytes read by one request, and held in memory


@dataclass(frozen=True)
class BucketFile:
    """An object of a bucket. It is a `remote.Remote`.

    Args:
      url: Its URL.
      size: Its bytes.
      version: The generation in Google Cloud Storage, the ETag in S3.
      hashes: The digest that the store has of it, where that is of its contents.
    """

    url: str
    size: int
    version: str
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The URL."""
        return self.url

    def again(self) -> "BucketFile":
        """As `remote.Remote.again`."""
        fs = buckets.filesystem(self.url)
        with buckets.explained(self.url):
            return _file(self.url, buckets.retried(lambda: fs.info(self.url), self.url))

    def pieces(self, offset: int) -> Iterator[bytes]:
        """As `remote.Remote.pieces`."""
        with self._opened() as read:
            while offset < self.size:
                piece = self._request(lambda begin=offset: self._whole(read, begin))
                yield piece
                offset += len(piece)
        # Some stores that are compatible with S3 do not know conditions.
        self._check_unchanged()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Callable[[int, int], bytes]]:
        """Yields what reads from a byte to another, of this version and no other."""
        fs = buckets.filesystem(self.url)
        if buckets.scheme(self.url) == "gs":
            yield lambda begin, end: fs.cat_file(
                self.url, start=begin, end=end, generation=self.version
            )
            return
        # Each request has the condition If-Match, with the ETag found here.
        options = {"mode": "rb", "cache_type": "none"}
        with self._request(lambda: fs.open(self.url, **options)) as file:
            if file.details["ETag"] != self.version:
                raise ChangedError

            def read(begin, end):
                file.seek(begin)
                return file.read(end - begin)

            yield read

    def _whole(self, read: Callable[[int, int], bytes], begin: int) -> bytes:
        end = min(begin + CHUNK, self.size)
        data = read(begin, end)
        if len(data) != end - begin:
            self._check_unchanged()
            raise ConnectionError(f"{len(data):,} of {end - begin:,} bytes came")
        return data

    def _request(self, action: Callable[[], Any]) -> Any:
        with buckets.explained(self.url):
            try:
                return buckets.retried(action, self.url)
            except TimeoutError:
                raise
            except OSError:
                # The version may be gone: a condition that fails, or no such object.
                self._check_unchanged()
                raise

    def _check_unchanged(self) -> None:
        if self.again().version != self.version:
            raise ChangedError


class Found(NamedTuple):
    """What a URL stands for.

    Attributes:
      name: What the text may be called.
      files: The objects, sorted as the same files on a disk would be.
      left_out: How many names were left out, by reason.
    """

    name: str
    files: tuple[BucketFile, ...]
    left_out: Counter[str]


def find(url: str, excluded: Exclusion | None = None) -> Found:
    """Finds the objects that a URL stands for.

    Args:
      url: An object; a prefix, for all objects below it; or a glob, in which ``**``
        matches any number of parts. As on a disk, hidden names, runs and caches are
        left out below the part that was named.
      excluded: Tells which names, relative to that part, to leave out as well.

    Raises:
      InputError: If there is no such bucket or object, if it may not be read, or if the
        library for the scheme is not installed.
    """
    fs = buckets.filesystem(url)
    with buckets.explained(url):
        info = None if _is_root(url) else buckets.retried(lambda: _info(fs, url), url)
        if info is not None and info["type"] == "file":
            return Found(last_part(url).stem, (_file(url, info),), Counter())
        if info is None and glob.has_magic(url):
            parts = url.split("/")
            named = next(n for n, part in enumerate(parts) if glob.has_magic(part))
            root, pattern = "/".join(parts[:named]), url
        else:
            root, pattern = url.rstrip("/"), ""
            if info is None and not _is_root(url):
                raise FileNotFoundError(2, "no such bucket or object", url)
        listed = buckets.retried(lambda: fs.find(root, detail=True), url)
    scheme = buckets.scheme(url)
    infos = {f"{scheme}://{name}": info for name, info in listed.items()}
    infos = {
        name: info
        for name, info in infos.items()
        if info["type"] == "file" and not name.endswith("/")  # a directory's marker
    }
    listing = _Listing(root, infos.keys(), excluded or Exclusion(()))
    matches = _matcher(pattern)
    names = [name for name in infos if matches(name) and listing.is_to_read(name)]
    # As `folder` does: those of a directory by their parts.
    names.sort(key=None if pattern else PurePosixPath)
    files = tuple(_file(name, infos[name]) for name in names)
    name = last_part(root).name
    if pattern:
        name = last_part(names[0]).stem if names else "corpus"
    return Found(name, files, listing.left_out)


class _Listing:
    """Decides which of the objects below a prefix are text, as `folder` does."""

    def __init__(self, root: str, names, excluded: Exclusion):
        self._root, self._names, self._excluded = root, names, excluded
        self.left_out = Counter[str]()
        self._told = set[str]()
        self._folders = {
            name[:at] for name in names for at in _slashes(name, len(root) + 1)
        }

    def is_to_read(self, name: str) -> bool:
        """Whether an object is text; counts it, or the folder it is in, if not."""
        begin, below = self._root, name.removeprefix(self._root).strip("/")
        if self._excluded(below):
            self.left_out["excluded"] += 1
            return False
        for part in below.split("/"):
            path = f"{begin}/{part}"
            if why := self._why_not(begin, part, path):
                self.left_out[why] += path not in self._told
                self._told.add(path)
                return False
            begin = path
        return True

    def _why_not(self, parent: str, part: str, path: str) -> str | None:
        if part.startswith("."):
            return "hidden"
        if is_named_as_of_a_run(part) and self._is_run(parent):
            return "files of runs"
        if path in self._folders and self._is_run(path):
            return "runs"
        if part == "__pycache__" or any(
            f"{path}/{mark}" in self._names for mark in MARKS_OF_CACHES
        ):
            return "caches"
        return None

    def _is_run(self, folder: str) -> bool:
        claimed = {f"{folder}/config.json", f"{folder}/flags.json"} <= self._names
        kinds = (f"{folder}/checkpoints/{kind}" for kind in ("latest", "best"))
        return claimed or any(kind in self._folders for kind in kinds)


def _slashes(name: str, begin: int) -> Iterator[int]:
    while (begin := name.find("/", begin)) >= 0:
        yield begin
        begin += 1


def _matcher(pattern: str) -> Callable[[str], object]:
    if not pattern:
        return lambda name: True
    from fsspec.utils import glob_translate

    return re.compile(glob_translate(pattern)).match


def _is_root(url: str) -> bool:
    """Whether a URL can only be a prefix."""
    return url.endswith("/") or "/" not in url.partition("://")[2]


def _info(fs: Any, url: str) -> dict[str, Any] | None:
    try:
        return fs.info(url)
    except FileNotFoundError:
        return None


def _file(url: str, info: dict[str, Any]) -> BucketFile:
    if info.get("contentEncoding") == "gzip":
        raise InputError(
            f"cannot use {url}, which is stored with Content-Encoding: gzip, so the "
            "store unpacks it on the way; store it as a .gz file without that"
        )
    version = info.get("generation") or info.get("ETag")
    digest = info.get("md5Hash")  # of Google Cloud Storage; an ETag need not be one
    hashes = {"md5": base64.b64decode(digest).hex()} if digest else {}
    return BucketFile(url, info["size"], str(version), hashes)
