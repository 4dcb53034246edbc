"""A text at an ``http://`` or ``https://`` URL, read with ranges and conditions."""

import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import HTTPException
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from jaxtext import buckets
from jaxtext.errors import InputError
from jaxtext.text.remote import ChangedError

T = TypeVar("T")

TIMEOUT = 30.0  # seconds without an answer from the server
CHUNK = 1 << 16  # bytes read at a time

_PAGES = ("text/html", "application/xhtml+xml")
_FIRST_BYTE = {"Range": "bytes=0-0"}  # a HEAD request is refused by signed URLs


class WebError(Exception):
    """A file cannot be read. The message is the reason, in a few words."""


@dataclass(frozen=True)
class WebFile:
    """A file on a web server. It is a `remote.Remote`.

    Args:
      address: The URL that is requested.
      size: Its bytes; None if they are not known beforehand.
      version: What the server says of its version, if anything.
      validator: What a request to continue names, so that the server sends the rest of
        this version and of no other (``If-Range``), if there is such a thing.
      hashes: Digests that the contents must have, by name.
    """

    address: str
    size: int | None = None
    version: str | None = None
    validator: str | None = None
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address without what follows ``?``, which may be a signature."""
        return self.address.partition("?")[0]

    @property
    def key(self) -> str:
        """The whole address."""
        return self.address

    def again(self) -> "WebFile":
        """As `remote.Remote.again`. What is known by its hash is the same."""
        return self if self.hashes else ask(self.address)

    def pieces(self, offset: int) -> Iterator[bytes]:
        """As `remote.Remote.pieces`. The cause of its `InputError` is a `WebError`."""
        with _explained(self.url):
            met = not self.hashes  # then the server has answered before
            while self.size is None or offset < self.size:
                begin = partial(self._begin, offset, met)
                response, piece = _retried(begin, self.address)
                met = True
                with response, contextlib.suppress(ConnectionError, TimeoutError):
                    while piece:
                        yield piece
                        offset += len(piece)
                        if self.size is not None and offset > self.size:
                            return  # a server may never stop sending
                        with _network(met):
                            piece = response.read(CHUNK)
                    if self.size is None and not response.length:
                        return
                # The connection was cut.
                if offset != self.size and not (self.validator or self.hashes):
                    raise ChangedError  # perhaps: the server cannot be asked

    def _begin(self, offset: int, met: bool) -> tuple[Any, bytes]:
        """Opens the file at an offset, and reads its first bytes.

        So a connection that brings nothing is a request that failed.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and self.validator:
            headers["If-Range"] = self.validator
        with contextlib.ExitStack() as stack:
            try:
                response = _open(self.address, headers, met)
            except HTTPError as error:
                if error.code not in (412, 416) or not offset:
                    raise
                if not self.hashes:
                    raise ChangedError from None
                # What is there is too short to continue, or the server has no ranges.
                response = _open(self.address, {}, met)
            stack.enter_context(response)
            skipped = self._beginning(response, offset)
            while skipped < offset:
                with _network(met):
                    data = response.read(min(CHUNK, offset - skipped))
                if not data:
                    raise _cut(skipped, self.size)
                skipped += len(data)
            with _network(met):
                piece = response.read(CHUNK)
            if not piece and (self.size or response.length):
                raise _cut(offset, self.size)
            stack.pop_all()
        return response, piece

    def _beginning(self, response: Any, offset: int) -> int:
        """Where a response begins. It must be of the same version."""
        if self.version is not None and _version(response) != self.version:
            raise ChangedError
        if response.status != 206:
            return 0  # a server that does not know ranges
        begin = _content_range(response)[0]
        if begin != offset:
            raise WebError("the server sends another part than it was asked for")
        return offset


def ask(url: str) -> WebFile:
    """Asks a server for a file: how long it is, and which version.

    Args:
      url: The address. ``#sha256=…`` at its end is the hash that the file must have.
        Such a file needs no version, and the server is not asked yet.

    Raises:
      InputError: If there is no such file, if it is a web page, or if the server does
        not answer.

    Example:
      >>> ask("https://host/text.txt#sha256=" + "0" * 64).url
      'https://host/text.txt'
    """
    address, _, fragment = url.partition("#")
    _check_address(address)
    address = quote(address, safe="%/:?[]@!$&'()*+,;=~")  # blanks, other alphabets
    file = WebFile(address)
    name, _, digest = fragment.partition("=")
    if name == "sha256":
        if not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise InputError(
                f"expected 64 hexadecimal digits after #sha256=, got {url}; correct "
                "the hash"
            )
        return replace(file, hashes={name: digest.lower()})
    with _explained(file.url), _retried(partial(_first, address), address) as response:
        ranged = response.status != 200
        size = _content_range(response)[1] if ranged else response.length
        if size is None and (ranged or not response.chunked):
            raise WebError(
                "the server does not say how long it is, so a connection that is cut "
                "would look like its end"
            )
        version, validator = _version(response), _validator(response)
    return replace(file, size=size, version=version, validator=validator)


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        fits = parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        fits = False
    if not fits:
        raise InputError(
            "expected a URL such as https://host/text.txt, with no password in it, got "
            f"{address}; correct it, or download the file and give its path"
        )


def _first(address: str) -> Any:
    """Asks for the first byte."""
    try:
        return _open(address, _FIRST_BYTE, met=False)
    except HTTPError as error:
        if error.code == 416 and _content_range(error)[1] == 0:
            return error  # an empty file has no first byte
        raise


def _open(address: str, headers: dict[str, str], met: bool) -> Any:
    """Sends a request, and checks that what comes is not a web page."""
    headers = {"User-Agent": "jaxtext", "Accept-Encoding": "identity", **headers}
    with _network(met):
        response = urlopen(Request(address, headers=headers), timeout=TIMEOUT)
    kind = response.headers.get_content_type()
    path = PurePosixPath(urlsplit(address).path)
    if kind in _PAGES and path.suffix not in (".html", ".htm", ".xhtml"):
        response.close()
        raise WebError(
            f"the server sends a web page, {kind}; the address of the text itself is "
            "wanted, which is behind Raw on GitHub"
        )
    return response


@contextlib.contextmanager
def _network(met: bool) -> Iterator[None]:
    """Makes a `ConnectionError` of what may pass.

    Args:
      met: Whether the server has answered before. If not, an address that leads nowhere
        is an error at once.
    """
    try:
        yield
    except HTTPError:
        raise
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if not isinstance(reason, Exception):
            raise WebError(str(reason)) from None
        if isinstance(reason, TimeoutError):
            raise reason from None
        words = getattr(reason, "strerror", None) or str(reason)
        words = words or type(reason).__name__
        if isinstance(reason, ssl.SSLCertVerificationError) or (
            not met
            and isinstance(reason, OSError)
            and not isinstance(reason, ConnectionResetError | ssl.SSLError)
        ):
            raise WebError(words) from None
        raise ConnectionError(words) from None


def _retried(action: Callable[[], T], address: str) -> T:
    """As `buckets.retried`, with a `WebError` in place of the ``OSError``."""
    try:
        return buckets.retried(action, address)
    except OSError as error:
        cause = error.__cause__ or error
        if isinstance(cause, HTTPError):
            cause.close()
            words = f"the server answers {cause.code}, {cause.reason}"
        else:
            words = str(cause)
        raise WebError(words) from None


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except WebError as error:
        raise InputError(
            f"cannot read {url} ({error}); check the address, or download the file and "
            "give its path"
        ) from error


def _cut(received: int, size: int | None) -> ConnectionError:
    whole = "" if size is None else f" of {size:,}"
    return ConnectionError(f"the connection was cut after {received:,}{whole} bytes")


def _version(response: Any) -> str | None:
    """What a response says of the version of its file, without the length."""
    return response.headers["ETag"] or response.headers["Last-Modified"]


def _validator(response: Any) -> str | None:
    etag = response.headers["ETag"]
    if etag is not None and not etag.startswith("W/"):
        return etag
    # A weak ETag is that of a text with the same meaning, not of the same bytes.
    return response.headers["Last-Modified"]


def _content_range(response: Any) -> tuple[int | None, int | None]:
    """The first byte of a part, and the length of the whole, where they are given."""
    found = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers["Content-Range"] or ""
    )
    begin, whole = found.groups() if found else (None, None)
    return _number(begin), _number(whole)


def _number(digits: str | None) -> int | None:
    return int(digits) if digits and digits.isdecimal() else None
