"""How the processes of a run meet, before JAX's runtime starts.

Process 0 listens at the coordinator's address, and all others connect to it. While some
are missing, each process says now and then who is there. When all have come, process 0
lets the address go, and JAX's runtime starts there. It would wait without a word, and
could not tell who is missing.

The connections stay open: see `jaxtext.runs.partners`.
"""

import os
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from jaxtext.errors import InputError
from jaxtext.runs.endings import Ending
from jaxtext.runs.links import Link
from jaxtext.runs.partners import Partners

FIRST, EVERY = 5, 30  # seconds until a process says that it waits, and says so again
PORT_SECONDS = 10  # how long an earlier run may take to let the port go


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
        links = _host(waiting, int(bound.rpartition(":")[2]), count)
    else:
        links = _join(waiting, host.strip("[]"), int(port), count, process)
    return Partners(process, links)


class _Waiting:
    """How long this process has waited, and what it says of that."""

    def __init__(self, place, count, seconds, say):
        self.place, self.count, self.seconds, self._say = place, count, seconds, say
        self._begun = time.monotonic()
        self._next = FIRST

    def left(self) -> float:
        """Seconds that are left; at least none."""
        return max(0.0, self._begun + self.seconds - time.monotonic())

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


def _host(waiting, port, count):
    """Process 0: waits for all others to connect."""
    links: dict[int, Link] = {}
    with selectors.DefaultSelector() as selector, _listening(port, waiting) as server:
        selector.register(server, selectors.EVENT_READ)

        def drop(link):
            selector.unregister(link)
            link.close()

        def give_up(error, **message):
            for link in list(selector.get_map().values()):
                if link.data is not None:
                    link.data.send({"ends": str(error), **message})
            raise error

        def hello(link, message):
            """A process says which one it is."""
            number, of = message.get("process"), message.get("of")
            if not (isinstance(number, int) and isinstance(of, int)):
                return
            if of != count:
                give_up(
                    InputError(
                        f"the processes of this run differ: the number of processes is "
                        f"{count} in process 0 and {of} in process {number}; start all "
                        "of them with the same"
                    ),
                    status=Ending.INPUT.status,
                )
            if (former := links.pop(number, None)) is not None:
                # Of a process that was started again, the system may not know yet
                # that its former connection is dead.
                former.send(
                    {
                        "ends": f"another process has come that also is process "
                        f"{number}; give each its own process id",
                        "status": Ending.INPUT.status,
                    }
                )
                drop(former)
            link.number = number
            links[number] = link

        while len(links) < count - 1:
            before = sorted(links)
            for key, _ in selector.select(min(1.0, waiting.left())):
                link = key.data
                if link is None:
                    link = Link(server.accept()[0])
                    selector.register(link, selectors.EVENT_READ, link)
                    continue
                if link.fileno() < 0:
                    continue  # it was dropped in this round
                messages = link.receive()
                for message in messages or ():
                    hello(link, message)
                if messages is None:  # it was closed, or says what is no message
                    if links.get(link.number) is link:
                        del links[link.number]
                    drop(link)
            present = [0, *sorted(links)]
            if sorted(links) != before:
                for link in links.values():
                    link.send({"here": present})
            if len(links) == count - 1:
                break
            waiting.tell(_here(count, present))
            if not waiting.left():
                give_up(waiting.in_vain(_here(count, present)))
        for key in list(selector.get_map().values()):
            if key.data is not None and links.get(key.data.number) is not key.data:
                key.data.close()  # of somebody else
    for link in links.values():
        link.send({"go": True})
    return links


def _join(waiting, host, port, count, process):
    """Any other process: waits for process 0, and for what it says."""
    while True:
        try:
            link = Link(socket.create_connection((host, port), timeout=5))
        except OSError as error:
            why = error.strerror or error
            why = f"process 0 does not answer there ({why})"
        else:
            link.send({"process": process, "of": count})
            if _invited(link, waiting, count):
                return {0: link}
            link.close()
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
            if selector.select(min(1.0, waiting.left())):
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
            if not waiting.left():
                raise waiting.in_vain(why)


def _raise(message):
    """Raises what process 0 has found."""
    if message.get("status") == Ending.INPUT.status:
        raise InputError(message["ends"])
    raise NotMetError(message["ends"])


def _listening(port: int, waiting: Any) -> socket.socket:
    """A socket that listens at a port, on all addresses of this host."""
    end = time.monotonic() + min(waiting.seconds, PORT_SECONDS)
    while True:
        try:
            if socket.has_dualstack_ipv6():
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
