"""A web server on this machine that misbehaves as told."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
FAULTY = 200_000  # bytes that are sent before a fault


class WebServer(ThreadingHTTPServer):
    """Serves a content.

    Attributes:
      content: What is served.
      contents: What is served at some paths instead.
      etag, modified: The headers that tell its version, if any.
      kind: Its media type.
      manner: How it is served. well; busy, missing, forbidden: that status. hangs: no
        answer. resets: the connection ends before one. ignores ranges, 416: as servers
        that do not know ranges. cuts, stalls: after `FAULTY` bytes. endless: without a
        length and an end. bare: without a length. chunked, and chunked and cut. slow.
        changes: the content is another one after `FAULTY` bytes. other part: a range
        that was not asked for. long: the length that is told is too large.
      manners: How the next requests are served, before `manner` counts.
      requests: The headers ``Range`` of all requests.
      conditions: Their headers ``If-Range``.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.etag, self.modified = CONTENT, None, None
        self.contents = dict[str, bytes]()
        self.kind, self.manner, self.manners = "text/plain", "well", []
        self.requests, self.conditions = [], []
        self._versions = itertools.count(1)
        self.released, self.client_left = threading.Event(), threading.Event()

    def url(self, path: str = "numbers.txt") -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def change(self, content: bytes) -> None:
        """Serves something else from now on, and tells so where it tells a version."""
        self.content, n = content, next(self._versions)
        if self.etag:
            self.etag = self.etag.rstrip('0123456789"') + f'{n}"'
        if self.modified:
            self.modified = formatdate(n, usegmt=True)

    def handle_error(self, request, client_address):
        """Clients that are killed break their connections: no reason to say so."""


@contextlib.contextmanager
def serving() -> Iterator[WebServer]:
    """Starts a server; ends it with the block."""
    with WebServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


_STATUS = {"busy": 503, "missing": 404, "forbidden": 403}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_GET(self):
        server, self.close_connection = self.server, True
        manner = server.manners.pop(0) if server.manners else server.manner
        wanted = self.headers["Range"]
        server.requests.append(wanted)
        server.conditions.append(self.headers["If-Range"])
        if manner in _STATUS:
            self.send_error(_STATUS[manner])
        elif manner == "hangs":
            server.released.wait(10)
        elif manner != "resets":
            self._serve(manner, wanted)

    def _serve(self, manner, wanted):
        server = self.server
        path = urlsplit(self.path).path.removeprefix("/")
        whole = server.contents.get(path, server.content)
        condition = self.headers["If-Range"]
        ranged = wanted and manner not in ("ignores ranges", "bare")
        if condition is not None and condition not in (server.etag, server.modified):
            ranged = False
        first, _, last = (wanted or "").removeprefix("bytes=").partition("-")
        start = int(first) if ranged else 0
        end = min(int(last) + 1, len(whole)) if ranged and last else len(whole)
        if ranged and (start >= len(whole) or manner == "416"):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(whole)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = whole[start:end]
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Type", server.kind)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.modified:
            self.send_header("Last-Modified", server.modified)
        if ranged:
            start += manner == "other part"
            part = f"bytes {start}-{start + len(body) - 1}/{len(whole)}"
            self.send_header("Content-Range", part)
        chunked = manner.startswith("chunked")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif manner not in ("endless", "bare"):
            self.send_header("Content-Length", str(len(body) + (manner == "long")))
        self.end_headers()
        # A client may leave at any moment.
        with contextlib.suppress(ConnectionError):
            self._send(manner, body, chunked)

    def _send(self, manner, body, chunked):
        server, write = self.server, self.wfile.write
        if chunked:
            cut = manner == "chunked and cut"
            for at in range(0, FAULTY if cut else len(body), 50_000):
                piece = body[at : at + 50_000]
                write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if not cut:
                write(b"0\r\n\r\n")
        elif manner in ("cuts", "stalls", "changes"):
            write(body[:FAULTY])
            if manner == "stalls":
                self.wfile.flush()
                server.released.wait(10)
            elif manner == "changes":
                server.change(server.content[::-1])
        elif manner == "slow":
            for at in range(0, len(body), 50_000):
                write(body[at : at + 50_000])
                time.sleep(0.02)
        elif manner == "endless":
            try:
                for _ in range(100):
                    write(body)
            except ConnectionError:
                server.client_left.set()
        else:
            write(body)

    def log_message(self, format, *args):
        pass
