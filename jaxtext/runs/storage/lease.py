"""A lease on a run in a bucket, which has no locks: one process at a time holds it.

The lease is the object with the highest number in ``lease/``. Its owner writes it again
every 10 s. To take it, a process creates the next number, which only one of several can
do (``If-None-Match: *`` in S3, ``ifGenerationMatch=0`` in GCS).

A process that was killed leaves its lease behind. Its successor **takes over** when it
has seen the lease unchanged for 60 s, by its own clock: the clocks of hosts may differ.
On the host of the killed process it need not wait: the owner of a lease also holds a
lock there, which the operating system frees. A lease that changes meanwhile is alive,
and the successor gives up.

An owner that could not renew its lease for 40 s makes sure that it still has it before
it commits a checkpoint. When it finds a higher number, it has **lost** the lease, and
writes nothing any more. What this does not protect from: a request that the owner sent
before it lost the lease, and that the store carries out later than 20 s after.
"""

import calendar
import contextlib
import json
import os
import platform
import re
import secrets
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from jaxtext.buckets import Objects
from jaxtext.locks import LockedError, lock_file

RENEW = 10.0  # seconds between two renewals
SURE = 40.0  # seconds after a renewal for which nobody can have taken over
DEAD = 60.0  # seconds without a renewal after which a successor takes over
_LOOK = 2.0  # seconds between two looks of a successor
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class LostLeaseError(OSError):
    """Another process has taken over."""


class Lease:
    """A lease that this process takes, renews in a thread, and gives back.

    Args:
      objects: The run's.
      say: Called with a sentence when this process has to wait.
    """

    def __init__(self, objects: Objects, say: Any):
        self._leases = objects.below("lease")
        self._say = say
        self._owner = secrets.token_hex(16)
        self._number = 0
        self._renewed = 0.0  # when the last renewal that succeeded began
        self._lost: str | None = None  # to whom
        self._renewing = threading.Lock()
        self._over = threading.Event()
        self._local = None  # the file of the lock on this host

    @property
    def lost(self) -> str | None:
        """Who has the lease now, if this process has lost it."""
        return self._lost

    def take(self) -> None:
        """Takes the lease, and keeps it renewed from now on.

        Raises:
          LockedError: If another process holds it.
          OSError: If the store fails.
        """
        number, found = self._newest()
        if not _is_free(found):
            self._await_death(number, found)
        self._local = _path(self._owner).open("xb")
        lock_file(self._local, wait=True)
        self._number = number + 1
        self._renewed = time.monotonic()
        try:
            self._leases.create(str(self._number), self._contents())
        except FileExistsError:
            # Also if the answer to a request of this process was lost.
            if _owner(self._leases.read(str(self._number))) != self._owner:
                self._let_go()
                raise LockedError("has just been taken by another process") from None
        except BaseException:
            self._let_go()
            raise
        if found is not None:
            _path(_owner(found)).unlink(missing_ok=True)
        for name in self._leases.names():
            if name.isdecimal() and int(name) < self._number:
                self._leases.remove(name)
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def confirm(self) -> None:
        """Makes sure that this process holds the lease.

        Raises:
          LostLeaseError: If another process has taken over.
          OSError: If the store fails, so that this cannot be known.
        """
        if self._lost is None and time.monotonic() - self._renewed > SURE / 2:
            self._renew()
        if self._lost is not None:
            raise LostLeaseError(f"another process has taken over: {self._lost}")

    def give_back(self) -> None:
        """Lets others take the lease at once."""
        self._over.set()
        with self._renewing:
            if self._lost is None:
                data = self._contents(free=True)
                with contextlib.suppress(OSError):  # then they have to wait
                    self._leases.write(str(self._number), data, patience=RENEW)
        self._let_go()

    def _keep(self):
        wait = RENEW
        while not self._over.wait(wait) and self._lost is None:
            wait = RENEW
            try:
                self._renew()
            except Exception:  # the store is away, for others too
                wait = _LOOK

    def _renew(self):
        with self._renewing:
            if self._over.is_set():
                return
            begin = time.monotonic()
            self._leases.write(str(self._number), self._contents(), patience=RENEW)
            number, found = self._newest()
            if number > self._number:
                self._lost = _told(found)
                with contextlib.suppress(OSError):
                    self._leases.remove(str(self._number))
            else:
                self._renewed = begin

    def _await_death(self, number, found):
        """Returns when the owner of a lease is dead."""
        if (dead := _is_dead_here(_owner(found))) is not None:
            if dead:
                return
            raise LockedError(f"is in use by another process: {_told(found)}")
        self._say(
            f"{_told(found)} had this run last, and may still be alive; taking over if "
            f"it does not renew its lease within {DEAD:.0f} s"
        )
        end = time.monotonic() + DEAD
        while time.monotonic() < end:
            time.sleep(_LOOK)
            if (now := self._newest()) != (number, found):
                if _is_free(now[1]) and now[0] == number:
                    return
                raise LockedError(f"is in use by another process: {_told(now[1])}")

    def _newest(self):
        return _newest(self._leases)

    def _contents(self, *, free=False):
        return json.dumps(
            {
                "owner": self._owner,
                "host": platform.node(),
                "pid": os.getpid(),
                "free": free,
                "renewed": time.strftime(_TIME, time.gmtime()),
                "once": secrets.token_hex(4),  # no two renewals are the same
            }
        ).encode()

    def _let_go(self):
        if self._local is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._local.name)
            self._local.close()
            self._local = None


def is_held(objects: Objects) -> bool:
    """Whether a process holds the lease of a run, by the clocks of both hosts.

    Args:
      objects: The run's.
    """
    _, found = _newest(objects.below("lease"))
    if _is_free(found):
        return False
    try:
        renewed = time.strptime(_read(found).get("renewed", ""), _TIME)
    except (TypeError, ValueError):
        return False
    return time.time() - calendar.timegm(renewed) < DEAD


def _newest(leases: Objects) -> tuple[int, bytes | None]:
    """The number of the lease, and what it says; 0 and ``None`` without one."""
    while True:
        numbers = [int(x) for x in leases.names() if x.isdecimal()]
        if not numbers:
            return 0, None
        found = leases.read(str(max(numbers)))
        if found is not None:  # a successor removed it meanwhile
            return max(numbers), found


def _read(found: bytes | None) -> dict[str, Any]:
    try:
        lease: Any = json.loads(found or b"{}")
    except ValueError:  # damaged: it is alive if it changes
        lease = {}
    return lease if isinstance(lease, dict) else {}


def _is_free(found: bytes | None) -> bool:
    return found is None or _read(found).get("free") is True


def _owner(found: bytes | None) -> str:
    owner = str(_read(found).get("owner"))
    return owner if re.fullmatch("[0-9a-f]{32}", owner) else "unknown"


def _told(found: bytes | None) -> str:
    lease = _read(found)
    return f"process {lease.get('pid', '?')} on {lease.get('host', 'another host')}"


def _path(owner: str) -> Path:
    """The file that an owner has locked on its host, as long as it lives."""
    return Path(tempfile.gettempdir(), f"jaxtext-lease-{owner}")


def _is_dead_here(owner: str) -> bool | None:
    """Whether an owner is dead; ``None`` if it is not known to be of this host."""
    try:
        with _path(owner).open("rb+") as file:
            return lock_file(file, wait=False)
    except OSError:
        return None
