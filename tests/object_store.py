"""Servers of object storage on this machine, behind a proxy that can make faults.

S3 is served by moto, and Google Cloud Storage by gcp-storage-emulator. Every request
goes through a `Proxy`. It also keeps to ``ifGenerationMatch=0`` (create an object only
if it is not there), which that emulator does not know. Neither server checks
credentials.

    python tests/object_store.py COMMAND

runs a command that finds both, each with an empty bucket of the name ``bucket``.
"""

import contextlib
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

BUCKET = "bucket"
# moto wants requests signed, by any key.
_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
_HOP = {
    "connection",
    "transfer-encoding",
    "content-length",
    "keep-alive",
    "date",
    "server",
}


class Store:
    """A bucket of a server on this machine.

    Attributes:
      scheme: ``gs`` or ``s3``.
      environment: The variables by which a process finds the server.
      fault: ``(method, path) -> kind``, called for each request: what goes wrong with
        it, one of `FAULTS`; ``None``: nothing.
      requests: How many requests came.
    """

    def __init__(self, scheme: str, upstream: tuple[str, int]):
        self.scheme, self._upstream = scheme, upstream
        self.fault: Callable[[str, str], str | None] = lambda method, path: None
        self.requests = 0
        # The servers are for trying things out: asked for several things at once, they
        # now and then answer 500, or with other bytes than were written.
        self.turn = threading.Lock()
        self.proxy = Proxy(self, upstream)
        address = f"http://127.0.0.1:{self.proxy.server_port}"
        self.environment = {
            "gs": {"STORAGE_EMULATOR_HOST": address},
            "s3": {
                "AWS_ENDPOINT_URL": address,
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
        }[scheme]

    def url(self, name: str = "") -> str:
        """The URL of an object."""
        return f"{self.scheme}://{BUCKET}/{name}"

    # What follows goes to the server itself, past the proxy and its faults.

    def names(self, prefix: str = "") -> list[str]:
        """The names of all objects that begin with that, in order."""
        return sorted(self._names(prefix))

    def _names(self, prefix: str) -> Iterator[str]:
        if self.scheme == "gs":
            path = f"/storage/v1/b/{BUCKET}/o?prefix={quote(prefix, safe='')}"
            for item in json.loads(self._ask("GET", path)).get("items", []):
                yield item["name"]
            return
        from xml.etree import ElementTree

        path, token = f"/{BUCKET}?list-type=2&prefix={quote(prefix, safe='')}", ""
        while True:
            answer = ElementTree.fromstring(self._ask("GET", path + token))
            yield from (str(x.text) for x in answer.iterfind("{*}Contents/{*}Key"))
            following = answer.findtext("{*}NextContinuationToken")
            if not following:
                return
            token = f"&continuation-token={quote(following, safe='')}"

    def read(self, name: str) -> bytes:
        """The contents of an object."""
        return self._ask("GET", self._path(name))

    def write(self, name: str, data: bytes) -> None:
        """Writes an object."""
        if self.scheme == "s3":
            self._ask("PUT", self._path(name), data)
            return
        where = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name="
        kind = {"Content-Type": "application/octet-stream"}
        self._ask("POST", where + quote(name, safe=""), data, kind)

    def remove(self, name: str) -> None:
        """Removes an object."""
        path = self._path(name)
        self._ask("DELETE", path.replace("/download", "", 1).partition("?")[0])

    def _path(self, name):
        if self.scheme == "s3":
            return f"/{BUCKET}/{quote(name)}"
        return f"/download/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}?alt=media"

    def _ask(self, method, path, data=None, headers=None):
        headers = dict(headers or {}, Authorization=_SIGNED)
        with self.turn:
            status, _, body = forward(self._upstream, method, path, headers, data)
        if status >= 300:
            raise FileNotFoundError(f"{method} {path}: {status} {body[:200]!r}")
        return body


def forward(upstream, method, path, headers, body):
    """Sends a request on; returns the status, headers and body of the answer."""
    connection = http.client.HTTPConnection(*upstream, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


# 500 … 403: that status is answered. silent: no answer comes until the client gives up.
# slow: the answer comes late. refused: the connection ends before the request is done.
# lost: it ends after that. cut: it ends in the middle of the answer's body.
FAULTS = ("500", "503", "429", "403", "silent", "slow", "refused", "lost", "cut")
SILENCE = 60.0  # seconds at most, of a request that is not answered
SLOW = 0.5  # seconds


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, except as its store's faults say."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, store: Store, upstream: tuple[str, int]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store, self.upstream = store, upstream
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Clients that are killed break their connections: no reason to say so."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_any(self):
        body, store = self._body(), self.server.store
        store.requests += 1
        fault = store.fault(self.command, self.path)
        if fault == "silent":
            self.close_connection = True
            self.connection.settimeout(SILENCE)
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # until the client hangs up
            return
        if fault == "refused":
            self._hang_up()
            return
        if fault == "slow":
            time.sleep(SLOW)
        if fault is not None and fault.isdecimal():
            self._answer(int(fault), [], b'{"error": {"message": "a fault"}}')
            return
        status, headers, answer = self._forward(body)
        if fault == "lost":
            self._hang_up()
        elif fault == "cut":
            self._answer(status, headers, answer, cut=True)
        else:
            self._answer(status, headers, answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = do_any

    def log_message(self, format, *args):
        pass

    def _body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            found = b""
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _forward(self, body):
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        headers.pop("Expect", None)
        headers["Content-Length"] = str(len(body))
        send = self.server.upstream, self.command, self.path, headers, body
        query = parse_qs(urlsplit(self.path).query)
        with self.server.store.turn:
            if query.get("ifGenerationMatch") != ["0"]:
                return forward(*send)
            name = (query.get("name") or [_name_in(body)])[0]
            path = f"/storage/v1/b/{BUCKET}/o/{quote(unquote(name), safe='')}"
            if forward(self.server.upstream, "GET", path, {}, None)[0] == 200:
                return 412, [], b'{"error": {"message": "conditionNotMet"}}'
            return forward(*send)

    def _answer(self, status, headers, body, *, cut=False):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if cut:
            self.wfile.write(body[: len(body) // 2])
            self._hang_up()
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _name_in(body):
    """The name that an upload of several parts is for."""
    return json.loads(body.split(b"\n\n", 1)[1].split(b"\n--", 1)[0])["name"]


@contextlib.contextmanager
def serving(scheme: str) -> Iterator[Store]:
    """Starts a server with an empty bucket; ends it with the block.

    Raises:
      ImportError: If the server is not installed.
    """
    with contextlib.ExitStack() as stack:
        if scheme == "s3":
            from moto.server import ThreadedMotoServer

            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
            server.start()
            stack.callback(server.stop)
            upstream = server.get_host_and_port()
            forward(upstream, "PUT", f"/{BUCKET}", {}, b"")
        else:
            from gcp_storage_emulator.server import create_server

            for name in ("gcp_storage_emulator", "fs"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            server = create_server(
                "127.0.0.1", 0, in_memory=True, default_bucket=BUCKET
            )
            server.start()
            stack.callback(server.stop)
            upstream = server._api._httpd.server_address[:2]
        store = Store(scheme, upstream)
        stack.callback(store.proxy.server_close)
        stack.callback(store.proxy.shutdown)
        yield store


@contextlib.contextmanager
def found_by_this_process(store: Store) -> Iterator[None]:
    """Sets the variables by which this process finds a store."""
    before = {name: os.environ.get(name) for name in store.environment}
    os.environ.update(store.environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def main(command: list[str]) -> int:
    """Runs a command that finds a server of each kind, with an empty bucket."""
    with contextlib.ExitStack() as stack:
        environment = dict(os.environ)
        for scheme in ("s3", "gs"):
            environment |= stack.enter_context(serving(scheme)).environment
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
