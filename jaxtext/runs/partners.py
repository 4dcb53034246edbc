"""The other processes of a run: what becomes of them while this one works.

Each process but 0 has a connection to process 0. When a process ends, however it does,
its system closes the connection, so process 0 knows within a moment, and tells the
others. JAX's runtime finds out by silence, after the heartbeat's limit: that remains
for what closes no connection, such as a host that is down, or frozen.

A process that ends for a reason of its own says so first.
"""

import selectors
import threading

from jaxtext.runs.endings import Ending
from jaxtext.runs.links import Link

GRACE = 5  # seconds; what ends another process may end this one too, in its own words
LINGER = 10  # seconds in which process 0 stays for the others, when it ends


class Partners:
    """The connections of this process to others of the run.

    Args:
      process: Which one this is.
      links: To all others if it is process 0, else to process 0.
    """

    def __init__(self, process: int, links: dict[int, Link]):
        self._process, self._links = process, links
        self._done: set[int] = set()  # those that have come to their end
        self._left: set[int] = set()  # those that ended for a reason of their own
        self._own_end = threading.Lock()  # held by whoever ends this process
        self._leaving = threading.Event()
        self._alone = threading.Event()  # nobody else is there any more
        if not links:
            self._alone.set()

    def watch(self) -> None:
        """Begins to watch for the end of others, in a thread.

        If one ends before all are to end, this process ends, as `Ending.LOST` or
        `Ending.LEFT` say.
        """
        threading.Thread(target=self._watch, name="partners", daemon=True).start()

    def leave_with_others(self) -> None:
        """This process has come to its end, and waits for the others at theirs."""
        self._send({"done": self._process})
        self._leaving.set()

    def claim_end(self) -> None:
        """From now on this process ends as it says itself, whatever others do.

        If it is being ended because of another one, this does not return.
        """
        self._own_end.acquire()

    def tell_left(self, status: int) -> None:
        """Tells the others that this process ends for a reason of its own.

        Process 0 stays until they have ended too, for some seconds: when it ends, the
        runtime ends them at once, whatever they are about to say.
        """
        self._send({"left": self._process, "status": status})
        if self._process == 0:
            self._alone.wait(LINGER)

    def _send(self, message, but=None):
        for number, link in self._links.items():
            if number != but:
                link.send(message)

    def _watch(self):
        with selectors.DefaultSelector() as selector:
            for number, link in self._links.items():
                selector.register(link, selectors.EVENT_READ, number)
            while selector.get_map():
                for key, _ in selector.select():
                    number, link = key.data, self._links[key.data]
                    messages = link.receive()
                    for message in messages or ():
                        self._hear(message)
                    if messages is None:
                        selector.unregister(link)
                        link.close()
                        self._closed(number)
        self._alone.set()

    def _hear(self, message):
        if "done" in message:
            self._done.add(message["done"])
        elif "lost" in message:
            self._end(Ending.LOST, message["lost"])
        elif "left" in message:
            number = message["left"]
            self._left.add(number)
            if self._process == 0:
                self._send(message, but=number)
            self._will_end(number, message["status"])

    def _closed(self, number):
        """The connection to a process was closed, so that has ended."""
        if number in self._left:
            return  # which is told soon
        if number in self._done and self._leaving.is_set():
            return  # the runtime knows whether this process may end
        if self._process == 0:
            self._send({"lost": number}, but=number)
        self._end(Ending.LOST, number)

    def _will_end(self, number, status):
        """Ends this process soon, if it does not end by itself."""
        if self._own_end.locked():
            return
        # The runtime may be sooner.
        Ending.LEFT.leave_words(who=f"process {number}", its_status=status)
        threading.Timer(GRACE, self._end, (Ending.LEFT, number, status)).start()

    def _end(self, ending, number, status=None):
        if self._own_end.acquire(blocking=False):
            ending.end_now(who=f"process {number}", its_status=status)
