"""The page of ``talk.py --serve``, and what it asks for, over HTTP on this machine.

::

    GET  /         the page, /page.css and /page.js
    GET  /about    what the page has to know of the network, as JSON
    POST /write    reads a text, and writes on: lines of JSON, streamed

A request to write has the whole text, so that nothing is lost when the server forgets a
text or is started again. What it still has of the text is not read again.
"""

import dataclasses
import http.server
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import numpy as np

from common.flags import with_flags
from common.pages import name
from common.surprisal import SHADES, STEP, STYLE
from jaxtext.errors import InputError
from jaxtext.generation.steps import Choice
from talking.request import MOST_SYMBOLS, Request
from talking.settings import Settings
from talking.text import Network, Text, key_of, one

HOST = "127.0.0.1"
MOST_TEXTS = (
    16  # that are kept; whoever has the oldest one waits until it is read again
)
_LIKELIEST = 8  # symbols that are told for each place
_AT_ONCE = 0.03  # seconds between two pieces of an answer
_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src "
    "'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered: its status, and one line that says why."""

    def __init__(self, status: HTTPStatus, why: str):
        super().__init__(why)
        self.status = status


class Texts:
    """The texts of the tabs that are open, the latest ones."""

    def __init__(self, network: Network):
        self._network, self._lock = network, threading.Lock()
        self._kept: OrderedDict[str, tuple[Text, threading.Lock]] = OrderedDict()

    def of(self, tab: str) -> tuple[Text, threading.Lock]:
        """The text of a tab, and the lock that whoever changes it has to hold."""
        with self._lock:
            if tab not in self._kept:
                self._kept[tab] = Text(self._network), threading.Lock()
            self._kept.move_to_end(tab)
            while len(self._kept) > MOST_TEXTS:
                self._kept.popitem(last=False)
            return self._kept[tab]


class Server(http.server.ThreadingHTTPServer):
    """Serves the page of a network.

    Args:
      port: 0 takes any that is free.
      network: The network.
      title: What it is called.
      settings: What the page begins with.

    Raises:
      InputError: If the port cannot be used.
    """

    daemon_threads = True  # a tab that is open does not hold the program

    def __init__(self, port: int, network: Network, title: str, settings: Settings):
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(
                f"--serve: expected a port that can be used, got {port} "
                f"({error.strerror}); give another one, or 0 for any that is free"
            ) from error
        self.network, self.texts = network, Texts(network)
        vocabulary = network.vocabulary
        self.about = {
            "title": title,
            # Of documents, with what stands for the end of one.
            "characters": ""
            if vocabulary.kind == "bytes"
            else vocabulary.decode(range(len(vocabulary))),
            "bytes": vocabulary.kind == "bytes",
            "names": [name(vocabulary, symbol) for symbol in range(len(vocabulary))],
            "settings": dataclasses.asdict(settings),
            "step": STEP,
            "shades": SHADES,
        }
        self.hosts = {f"{host}:{self.server_port}" for host in (HOST, "localhost")}
        self.address = f"http://{HOST}:{self.server_port}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which has pieces
    timeout = 60

    @property
    def _own(self) -> Server:
        return cast(Server, self.server)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: standard error is for what a person has to know."""

    def _answer(self, answer):
        try:
            self._check_from_here()
            answer()
        except (InputError, Refused) as error:
            status = getattr(error, "status", HTTPStatus.BAD_REQUEST)
            self.close_connection = True  # what else was sent is not read
            said = json.dumps({"problem": with_flags(str(error))})
            self._send(status, "application/json", said.encode())
        except OSError:
            self.close_connection = True  # the page has gone

    def _check_from_here(self):
        """Refuses other sites, whose names may lead to this machine too."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        if host not in self._own.hosts:
            expected = self._own.address
            raise Refused(HTTPStatus.FORBIDDEN, f"expected {expected}, got {host}")
        if origin is not None and origin != f"http://{host}":
            raise Refused(HTTPStatus.FORBIDDEN, f"expected no other site, got {origin}")

    def _get(self):
        if self.path == "/about":
            about = json.dumps(self._own.about).encode()
            return self._send(HTTPStatus.OK, "application/json", about)
        if self.path not in _FILES:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
        file, kind = _FILES[self.path]
        content = (_PAGE / file).read_bytes()
        if file.endswith(".css"):
            content += STYLE.encode()
        self._send(HTTPStatus.OK, f"{kind}; charset=utf-8", content)

    def _post(self):
        if self.path != "/write":
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
        request = Request.of(self._body(), self._own.network.vocabulary)
        text, lock = self._own.texts.of(request.tab)
        with lock:  # until whoever wrote before has seen that the page has gone
            answer = _write(text, request)
            first = next(answer, [])  # errors have a status of their own
            self.send_response(HTTPStatus.OK)
            self._send_headers("application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in _gathered(first, answer):
                self._send_piece(json.dumps(piece).encode() + b"\n")
            self._send_piece(b"")

    def _body(self) -> Mapping[str, Any]:
        """The JSON object that was sent."""
        if self.headers.get("Content-Type") != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected JSON")
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > 10 * MOST_SYMBOLS:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"expected a text of at most {MOST_SYMBOLS:,} symbols; begin a new one",
            )
        try:
            body = json.loads(self.rfile.read(int(size)))
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise InputError("expected an object of JSON")
        return body

    def _send(self, status, kind, content):
        self.send_response(status)
        self._send_headers(kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _send_headers(self, kind):
        for header, value in {"Content-Type": kind, **_HEADERS}.items():
            self.send_header(header, value)

    def _send_piece(self, content):
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")


def _write(text: Text, request: Request) -> Iterator[list[Any]]:
    """Does what is asked for, and yields what is told of each symbol."""
    text.settings = request.settings
    text.agree(request.ids)
    key = key_of(request.settings, request.turn)
    for symbol in request.given:
        told = _told(text.look(key), symbol)
        text.add(one(symbol))
        yield [*told, True]
    for choice in text.write(key):
        yield [*_told(choice, int(np.asarray(choice.ids)[0])), False]


def _told(choice: Choice, symbol: int) -> list[Any]:
    """A symbol, its surprisal, and the likeliest ones before and after the rules."""
    before, after = np.asarray(choice.before)[0], np.asarray(choice.after)[0]
    most = min(_LIKELIEST, len(before))
    likeliest = np.argpartition(-before, most - 1)[:most]
    likeliest = likeliest[np.argsort(-before[likeliest], kind="stable")]
    nats = -float(np.log(np.maximum(before[symbol], np.finfo(np.float32).tiny)))
    rows = [
        [int(x), round(float(before[x]), 5), round(float(after[x]), 5)]
        for x in likeliest
    ]
    return [symbol, round(nats, 4), rows]


def _gathered(first: list[Any], rest: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """Symbols in pieces, which are sent now and then."""
    piece, sent = [first] if first else [], time.monotonic()
    yield piece
    piece = []
    for told in rest:
        piece.append(told)
        if time.monotonic() - sent >= _AT_ONCE:
            yield piece
            piece, sent = [], time.monotonic()
    if piece:
        yield piece
