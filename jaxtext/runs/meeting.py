"""How the processes of a run meet, before JAX's runtime starts.

Process 0 listens at the coordinator's address, and all others connect to it. While some
are missing, each process says now and then who is there. When all have come, process 0
lets the address go, and JAX's runtime starts there. It would wait without a word, and
could not tell who is missing.

The connections stay open: see `jaxtext.runs.partners`.
"""

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable

from jaxtext.errors import InputError
from jaxtext.runs.endings import Ending
from jaxtext.runs.links import Link
from jaxtext.runs.partners import Partners

FIRST, EVERY = 5, 30  # seconds until a process says that it waits, and says so again
MORE = 5  # seconds that others wait for process 0 to give up
PORT_SECONDS = 30  # how long an earlier run may take to let the port go


class NotMetError(Exception):
    """Not all processes of a run have met in time."""


def meet(
    coordinator: str,
    count: int,
    process: int,
    *,
    seconds: float,
    say: Callable[[str], None],
) -> Partners:
    """Waits until all processes have come; all call this.

    Args:
      coordinator: ``HOST:PORT`` of process 0.
      count: How many processes there are.
      process: Which one this is.
      seconds: How long to wait.
      say: Takes a line now and then, while others are missing.

    Returns:
      The connections to the others.

    Raises:
      InputError: If processes differ in their number, or two have the same, or if
        process 0 cannot listen there.
      NotMetError: If some have not come in time.
    """
    waiting = _Waiting(coordinator, count, seconds, say)
    host, _, port = coordinator.rpartition(":")
    if process == 0:
        # It listens at another port if that one is forwarded.
        bound = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", port)
        links = _Host(waiting, int(bound.rpartition(":")[2])).wait()
    else:
        links = _join(waiting, host.strip("[]"), int(port), count, process)
    return Partners(process, links)


class _Waiting:
    """How long this process has waited, and what it says of that."""

    def __init__(self, place, count, seconds, say):
        self.place, self.count, self.seconds, self._say = place, count, seconds, say
        self._begun = time.monotonic()
        self._next = FIRST

    def left(self, more: float = 0) -> float:
        """Seconds that are left, with some `more`; at least none."""
        return max(0.0, self._begun + self.seconds + more - time.monotonic())

    def tell(self, why: str) -> None:
        """Says that this process waits, if it is time to say so."""
        if time.monotonic() - self._begun >= self._next:
            self._next += EVERY
            self._say(f"waiting for {self.count} processes at {self.place}, {why}")

    def in_vain(self, why: str) -> NotMetError:
        return NotMetError(
            f"not all {self.count} processes met at {self.place} within "
            f"{self.seconds:g} s: {why}; start the same command on every host, and "
            "check that all can reach that address (a wrong one looks like a process "
            "that is late)"
        )


def _here(count, present):
    """Who is there, in words."""
    missing = [str(i) for i in range(count) if i not in present]
    shown = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
    which = f"process {shown} is" if len(missing) == 1 else f"processes {shown} are"
    return f"{len(present)} here: {which} missing"


class _Host:
    """Process 0, which waits for all others to connect."""

    def __init__(self, waiting: _Waiting, port: int):
        self._waiting, self._count = waiting, waiting.count
        self._links: dict[int, Link] = {}  # those that said which process they are
        self._open: set[Link] = set()  # these, and those that have said nothing yet
        self._selector = selectors.DefaultSelector()
        self._server = _listening(port, waiting)
        self._selector.register(self._server, selectors.EVENT_READ)

    def wait(self) -> dict[int, Link]:
        """Returns the connections to all others, once they have come."""
        try:
            while len(self._links) < self._count - 1:
                self._receive(min(1.0, self._waiting.left()))
                if len(self._links) < self._count - 1:
                    why = _here(self._count, [0, *self._links])
                    self._waiting.tell(why)
                    if not self._waiting.left():
                        raise self._waiting.in_vain(why)
        except (InputError, NotMetError) as error:
            status = Ending.INPUT.status if isinstance(error, InputError) else None
            for link in self._open:
                link.send({"ends": str(error), "status": status})
            self._links.clear()
            raise
        finally:
            self._selector.close()
            self._server.close()
            for link in self._open - set(self._links.values()):
                link.close()
        for link in self._links.values():
            link.send({"go": True})
        return self._links

    def _receive(self, seconds):
        """Hears all that there is to hear."""
        before = list(self._links.values())
        for key, _ in self._selector.select(seconds):
            link = key.data
            if link is None:
                link = Link(self._server.accept()[0])
                self._open.add(link)
                self._selector.register(link, selectors.EVENT_READ, link)
            elif link in self._open:  # and was not dropped in this round
                messages = link.receive()
                for message in messages or ():
                    self._hello(link, message)
                if messages is None:  # it was closed, or says what is no message
                    self._drop(link)
        if list(self._links.values()) != before:
            for link in self._links.values():
                link.send({"here": [0, *self._links]})

    def _hello(self, link, message):
        """A process says which one it is."""
        number, of = message.get("process"), message.get("of")
        if not (isinstance(number, int) and isinstance(of, int)):
            return
        if of != self._count:
            raise InputError(
                f"the processes of this run differ: the number of processes is "
                f"{self._count} in process 0 and {of} in process {number}; start all "
                "of them with the same"
            )
        if (former := self._links.get(number)) is not None:
            # The earlier one may be gone: its host was down, and it was started again.
            why = (
                f"another process has come that also is process {number}; give each "
                "its own process id"
            )
            former.send({"ends": why, "status": Ending.INPUT.status})
            self._drop(former)
        self._links[number] = link

    def _drop(self, link):
        for number in [x for x, of in self._links.items() if of is link]:
            del self._links[number]
        self._open.remove(link)
        self._selector.unregister(link)
        link.close()


def _join(waiting, host, port, count, process):
    """Any other process: waits for process 0, and for what it says."""
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=5)
            # A port of this machine may be drawn for this end, which meets itself.
            if connection.getsockname() == connection.getpeername():
                connection.close()
                raise OSError("nobody listens")
            link = Link(connection)
        except OSError as error:
            why = error.strerror or error
            why = f"process 0 does not answer there ({why})"
        else:
            with contextlib.ExitStack() as stack:
                stack.callback(link.close)
                link.send({"process": process, "of": count})
                if _invited(link, waiting, count):
                    stack.pop_all()
                    return {0: link}
            why = (
                "what answers there does not wait for others (is the run under way, or "
                "does another program have that port?)"
            )
        waiting.tell(why)
        if not waiting.left():
            raise waiting.in_vain(why)
        time.sleep(0.2)


def _invited(link, waiting, count):
    """Whether process 0 says that all have come."""
    present, known = [], False
    with selectors.DefaultSelector() as selector:
        selector.register(link, selectors.EVENT_READ)
        while True:
            # Process 0 gives up for all, so that all name the same.
            if selector.select(min(1.0, waiting.left(MORE))):
                messages = link.receive()
                if messages is None:
                    return False
                for message in messages:
                    if message.get("go"):
                        return True
                    if "ends" in message:
                        _raise(message)
                    present, known = message.get("here", present), True
            why = _here(count, present) if known else "process 0 has not answered yet"
            waiting.tell(why)
            if not waiting.left(MORE):
                raise waiting.in_vain(why)


def _raise(message):
    """Raises what process 0 has found."""
    if message.get("status") == Ending.INPUT.status:
        raise InputError(message["ends"])
    raise NotMetError(message["ends"])


def _listening(port: int, waiting: _Waiting) -> socket.socket:
    """A socket that listens at a port, on all addresses of this host."""
    end = time.monotonic() + min(waiting.seconds, PORT_SECONDS)
    while True:
        try:
            if socket.has_dualstack_ipv6():
                with contextlib.suppress(OSError):  # IPv6 may be turned off
                    return socket.create_server(
                        ("", port), family=socket.AF_INET6, dualstack_ipv6=True
                    )
            return socket.create_server(("", port))
        except OSError as error:
            if time.monotonic() >= end:
                raise InputError(
                    f"coordinator: port {port} cannot be used here "
                    f"({os.strerror(error.errno or 0)}); choose another port"
                ) from error
        waiting.tell(f"port {port} here is still in use")
        time.sleep(0.2)
