"""A connection between two processes of a run, which carries JSON, an object a line."""

import contextlib
import json
import socket
from typing import Any

_LONGEST = 1 << 16  # bytes of a line; whoever sends more is no process of a run
_SILENT = 60  # seconds before a keepalive, since firewalls forget silent connections
_ASKED = 120  # keepalives without an answer: the runtime's heartbeat is to notice first


class Link:
    """One end of a connection.

    Args:
      connection: The connection.
    """

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._read = b""
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", _SILENT),
            ("TCP_KEEPINTVL", _SILENT),
            ("TCP_KEEPCNT", _ASKED),
        ):
            if hasattr(socket, name):  # not on every system
                option = getattr(socket, name)
                connection.setsockopt(socket.IPPROTO_TCP, option, value)

    def fileno(self) -> int:
        """The descriptor, for a selector; -1 once it is closed."""
        return self._connection.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message, if the other end is still there."""
        with contextlib.suppress(OSError):  # the reader notices that it is gone
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """Returns the messages that have come; ``None`` if no more can come."""
        try:
            data = self._connection.recv(_LONGEST)
        except BlockingIOError:
            return []
        except OSError:
            return None
        *lines, self._read = (self._read + data).split(b"\n")
        if not data or len(self._read) > _LONGEST:
            return None
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError:
            return None
        return messages if all(isinstance(x, dict) for x in messages) else None

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
