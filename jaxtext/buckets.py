"""Object storage: ``gs://bucket/name`` and ``s3://bucket/name``, through fsspec.

This module knows three things for all code that reads or writes a bucket: which library
serves a scheme, what its errors mean, and how long a request is tried again.

- `scheme` tells a URL from a path, and `place` is either.
- `filesystem` opens the fsspec file system of a URL.
- `retried` runs a request. It is tried again while the store does not answer, or
  answers that it is busy. What remains is an ``OSError`` with one line of text.
- `explained` turns such an error into an `InputError`, for a user who gave the URL.

fsspec's libraries find credentials and endpoints where the vendors' own tools do:
``gcloud auth application-default login``, the service account of a VM or of a pod, and
``STORAGE_EMULATOR_HOST`` for ``gs://``; ``aws configure``, the ``AWS_…`` variables and
the role of a VM for ``s3://``.
"""

import contextlib
import errno
import functools
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from jaxtext.errors import InputError

T = TypeVar("T")

PATIENCE = 60.0  # seconds for which a request is tried again
_PAUSES = 0.25, 8.0  # seconds between two tries: the first pause, and the longest
_WHOLE = 5 << 20  # bytes of a file that is sent in one piece
_CONNECT, _READ = 10.0, 20.0  # seconds to wait for a connection, and for the next bytes


class _Kind(NamedTuple):
    """What serves a scheme: a module, the extra that installs it, how to log in."""

    module: str
    extra: str
    login: str


_KINDS = {
    "gs": _Kind("gcsfs", "gcs", "gcloud auth application-default login"),
    "s3": _Kind("s3fs", "s3", "aws configure"),
}
SCHEMES = tuple(_KINDS)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# Answers of a store that is busy or out of order: the same request may succeed later.
_BUSY = {408, 429, *range(500, 505), 509, 520, 521, 522, 524}


def scheme(path: str | PathLike[str]) -> str | None:
    """The scheme of a URL; ``None`` for a path.

    Example:
      >>> scheme("gs://bucket/text"), scheme("runs/first")
      ('gs', None)
    """
    found = _SCHEME.match(fspath(path))
    return found[1] if found else None


def place(word: str | PathLike[str]) -> Path:
    """What a user means: a path, or a URL, as a ``Path`` of etils, which acts like one.

    Raises:
      InputError: If the URL has another scheme than ``gs://`` and ``s3://``.

    Example:
      >>> place("gs://bucket/runs/") / "first"
      PosixGPath('gs://bucket/runs/first')
    """
    if scheme(word) is None:
        return Path(word)
    if scheme(word) not in SCHEMES:
        raise InputError(f"expected a path, gs://… or s3://…, got {fspath(word)}")
    from etils import epath  # takes 0.1 s

    return cast(Path, epath.Path(fspath(word).rstrip("/")))


def absolute(path: Path) -> Path:
    """The same place from any working directory."""
    return path.absolute() if scheme(path) is None else path


def filesystem(url: str | PathLike[str]) -> Any:
    """Opens the fsspec file system that serves a URL. Nothing is requested yet.

    Its listings are not cached: other hosts change a bucket.

    Args:
      url: ``gs://…`` or ``s3://…``.

    Raises:
      InputError: If the scheme is another one, or if its library is not installed. The
        message has the command that installs it.

    Example:
      >>> filesystem("ftp://host/text")
      Traceback (most recent call last):
        ...
      jaxtext.errors.InputError: expected gs:// or s3://, got ftp://host/text
    """
    name = scheme(url)
    if name not in _KINDS:
        raise InputError(f"expected gs:// or s3://, got {fspath(url)}")
    return _open(name)


@functools.cache
def _open(name: str) -> Any:
    kind = _KINDS[name]
    try:
        module = import_module(kind.module)
    except ImportError as error:
        raise InputError(
            f"{name}:// needs {kind.module}, which cannot be imported ({error}); "
            f"install it with pip install 'jaxtext[{kind.extra}]'"
        ) from error
    # They log each error that they raise, with its traceback.
    logging.getLogger(kind.module).addHandler(logging.NullHandler())
    if name == "gs":
        aiohttp = import_module("aiohttp")  # which gcsfs brings along
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT, sock_read=_READ)
        # Not `gcsfs.GCSFileSystem`, which asks first what kind of bucket it is, with
        # credentials and time limits of its own.
        core = import_module("gcsfs.core")
        return core.GCSFileSystem(requests_timeout=timeout, use_listings_cache=False)
    config = {
        "connect_timeout": _CONNECT,
        "read_timeout": _READ,
        "retries": {"total_max_attempts": 1},  # `retried` tries again
    }
    return module.S3FileSystem(config_kwargs=config, use_listings_cache=False)


def retried(
    action: Callable[[], T],
    url: str | PathLike[str],
    patience: float | None = None,
) -> T:
    """Runs a request, again and again while the store is busy or does not answer.

    Pauses grow from 0.25 s to 8 s. (gcsfs also tries each request up to six times by
    itself, within some 30 s.)

    Args:
      action: The request. It has to be one that may be repeated.
      url: What it is about, for messages.
      patience: For how many seconds to try. Default: `PATIENCE`.

    Returns:
      What the action returned.

    Raises:
      FileNotFoundError: If there is no such bucket or object.
      PermissionError: If access is denied, or there are no credentials.
      FileExistsError: If an object was to be created that is there already.
      TimeoutError: If the store was busy or did not answer for all that time.
      OSError: If it refused the request for another reason.
    """
    end = time.monotonic() + (PATIENCE if patience is None else patience)
    pause, longest = _PAUSES
    while True:
        try:
            return action()
        except Exception as error:
            meant = _meaning(error, fspath(url))
            if meant is None:
                raise
            if not isinstance(meant, TimeoutError) or time.monotonic() + pause > end:
                raise meant from error
        time.sleep(pause * random.uniform(0.5, 1))  # hosts must not ask in step
        pause = min(2 * pause, longest)


@contextlib.contextmanager
def explained(url: str | PathLike[str], what: str = "") -> Iterator[None]:
    """Turns an error of `retried` into an `InputError` that names the URL.

    Args:
      url: What the user gave.
      what: Begins the message, such as ``"--corpus: "``.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        advice = {
            errno.ENOENT: "check the name of the bucket and of what is in it",
            errno.EACCES: "check the credentials and what they permit",
            errno.ETIMEDOUT: "check the network, and try again",
        }.get(error.errno or 0, "check the URL")
        raise InputError(
            f"{what}cannot use {fspath(url)} ({error.strerror or error}); {advice}"
        ) from error


def _meaning(error: Exception, url: str) -> OSError | None:
    """What an error of fsspec, its libraries or the network means.

    A ``TimeoutError`` is one that may pass. ``None``: it is no error of a store.
    """
    kind = _KINDS.get(scheme(url) or "")
    name, module = type(error).__name__, type(error).__module__.partition(".")[0]
    text, status = _text(error), _status(error)
    if "Credentials" in name or status == 401:
        login = f"; log in, as with {kind.login}" if kind else ""
        return PermissionError(errno.EACCES, f"no credentials: {text}{login}", url)
    if isinstance(error, FileNotFoundError) or status == 404:
        return FileNotFoundError(errno.ENOENT, "no such bucket or object", url)
    if isinstance(error, FileExistsError) or status == 412:
        return FileExistsError(errno.EEXIST, f"it is there already: {text}", url)
    if isinstance(error, PermissionError) or status == 403 or "Forbidden" in text:
        return PermissionError(errno.EACCES, f"no permission: {text}", url)
    if isinstance(error, OSError) and error.errno in _DISK:
        return None  # of a file on this host
    may_pass = status in _BUSY if status else isinstance(error, _passing())
    if may_pass:
        return TimeoutError(errno.ETIMEDOUT, f"the store did not answer: {text}", url)
    if isinstance(error, OSError) or module in _LIBRARIES:
        return OSError(errno.EIO, f"the store refused: {text}", url)
    return None


_LIBRARIES = {"aiohttp", "botocore", "aiobotocore", "gcsfs", "google", "requests"}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}


@functools.cache
def _passing() -> tuple[type[BaseException], ...]:
    """Errors of a connection, by the libraries that are there."""
    found: list[type[BaseException]] = [ConnectionError, TimeoutError]
    for path in (
        "aiohttp.ClientConnectionError",
        "aiohttp.ClientPayloadError",
        "aiohttp.ServerTimeoutError",
        "botocore.exceptions.HTTPClientError",
        "botocore.exceptions.IncompleteReadError",
        "botocore.parsers.ResponseParserError",
        "fsspec.exceptions.FSTimeoutError",
        "google.auth.exceptions.TransportError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "requests.exceptions.ChunkedEncodingError",
    ):
        module, name = path.rsplit(".", 1)
        with contextlib.suppress(ImportError):
            found.append(getattr(import_module(module), name))
    return tuple(found)


def _status(error: BaseException) -> int:
    """The HTTP status behind an error; 0 if it tells none."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)  # of botocore
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status:
                return status
        for name in ("code", "status"):  # of gcsfs and aiohttp
            code = getattr(each, name, None)
            if str(code).isdecimal():
                return int(str(code))
        if type(each).__name__ == "ProxyError":  # what gcsfs makes of it
            return 502
    return 0


def _text(error: BaseException) -> str:
    """An error's own words, in one line of bounded length."""
    words = " ".join(str(error).split())
    return (words[:200] if words else type(error).__name__).rstrip(".")


def _resembles_boundary(data: bytes) -> bool:
    """Whether a server may cut these contents in an upload of several parts.

    gcsfs sends a small object as the second part of one request, which ends with a line
    feed and a fixed boundary. A carriage return before them reads as a part of the
    boundary (RFC 2046, 5.1.1), and the server drops it.
    """
    return data.endswith(b"\r") or b"\n--==0==" in data


class Objects:
    """The objects of a bucket whose names begin alike. Each request is `retried`.

    All methods raise the errors of `retried`.

    Args:
      url: How their names begin, without the slash at its end.
    """

    def __init__(self, url: str | PathLike[str]):
        self.url: str = fspath(url).rstrip("/")
        self._fs = filesystem(self.url)

    def at(self, name: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{name}"

    def below(self, name: str) -> "Objects":
        """Those whose names go on with that."""
        return Objects(self.at(name))

    def names(self) -> list[str]:
        """The names of all of them, in order, as `read` takes them."""
        found = self._try(lambda: self._fs.find(self.url), self.url)
        start = len(self.url.partition("://")[2]) + 1
        return sorted(name[start:] for name in found if len(name) > start)

    def read(self, name: str) -> bytes | None:
        """The contents of an object; ``None`` if there is none of that name."""
        try:
            return self._try(lambda: self._fs.cat_file(self.at(name)), self.at(name))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, patience: float | None = None) -> None:
        """Writes an object: others see all of it or what was there before."""
        self._send(name, data, patience)

    def create(self, name: str, data: bytes) -> None:
        """Writes an object unless there is one: of several processes one succeeds.

        Raises:
          FileExistsError: If there is one. It may be that very one, written by a
            request whose answer was lost.
        """
        self._send(name, data, mode="create")

    def upload(self, name: str, path: Path, patience: float | None = None) -> None:
        """Writes an object with the contents of a file."""
        if path.stat().st_size < _WHOLE:
            self._send(name, path.read_bytes(), patience)
            return
        url = self.at(name)
        self._try(lambda: self._fs.put_file(str(path), url), url, patience)

    def _send(self, name, data, patience=None, **how):
        url = self.at(name)
        if scheme(url) == "gs" and len(data) < _WHOLE and _resembles_boundary(data):
            how["chunksize"] = len(data)  # sends the contents in a request of their own
        self._try(lambda: self._fs.pipe_file(url, data, **how), url, patience)

    def download(self, name: str, path: Path) -> None:
        """Writes a file with the contents of an object, all of them."""

        def get():
            size = self._fs.info(url)["size"]
            self._fs.get_file(url, str(path))
            if path.stat().st_size != size:  # a connection that ended too soon
                raise ConnectionError(f"{path.stat().st_size} bytes came, of {size}")

        url = self.at(name)
        self._try(get, url)

    def copy(self, name: str, other: str) -> None:
        """Copies an object within the store."""
        url = self.at(name)
        self._try(lambda: self._fs.cp_file(url, self.at(other)), url)

    def remove(self, name: str) -> None:
        """Removes an object, if there is one."""
        url = self.at(name)
        with contextlib.suppress(FileNotFoundError):
            self._try(lambda: self._fs.rm_file(url), url)

    def _try(self, action: Callable[[], T], url: str, patience=None) -> T:
        return retried(action, url, patience)
