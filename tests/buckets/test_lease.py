"""The lease of a run in a bucket: one process holds it, and a successor can take it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxtext.buckets import Objects
from jaxtext.errors import InputError
from jaxtext.locks import LockedError
from jaxtext.runs.storage import lease, storage
from jaxtext.runs.storage.lease import Lease, LostLeaseError
from jaxtext.runs.workdir import claim

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def quick(monkeypatch):
    """A lease is renewed often, and taken over soon."""
    for name, seconds in {"RENEW": 0.2, "SURE": 0.6, "DEAD": 1.5, "_LOOK": 0.1}.items():
        monkeypatch.setattr(lease, name, seconds)


@pytest.fixture
def elsewhere(monkeypatch):
    """``elsewhere()``: what follows seems to happen on another host."""

    def move():
        monkeypatch.setattr(lease, "_is_dead_here", lambda owner: None)

    return move


@pytest.fixture
def lease_of(store, folder):
    """``lease_of()``: a lease of a process that is yet to take it."""
    said, made = [], []

    def make():
        made.append(Lease(Objects(store.url(folder)), said.append))
        return made[-1]

    make.said = said
    yield make
    for each in made:
        each._over.set()
        each._let_go()


def test_a_second_process_is_refused_at_once_on_the_same_host(store, folder):
    url = store.url(folder)
    with claim(url, {}):
        told = rf"{url} is in use by another process: process {os.getpid()} on "
        with pytest.raises(InputError, match=told), claim(url, {}):
            pass
    with claim(url, {}):  # it was given back
        pass
    assert len(store.names(f"{folder}/lease/")) == 1


def test_a_lease_that_is_renewed_is_alive(quick, lease_of, elsewhere):
    lease_of().take()
    elsewhere()
    with pytest.raises(LockedError, match="in use by another process"):
        lease_of().take()
    assert "had this run last" in lease_of.said[0]


def test_a_lease_that_is_not_renewed_is_taken_over(quick, lease_of, elsewhere):
    first, second = lease_of(), lease_of()
    first.take()
    first._over.set()  # it stops renewing, as a process does that is stopped
    elsewhere()
    begin = time.monotonic()
    second.take()
    assert time.monotonic() - begin >= lease.DEAD
    second.confirm()
    first._over.clear()
    time.sleep(lease.SURE)
    with pytest.raises(LostLeaseError, match=f"process {os.getpid()}"):
        first.confirm()
    assert first.lost is not None
    second._renew()
    assert second.lost is None


def test_a_killed_process_is_followed_at_once_on_the_same_host(store, folder):
    url = store.url(folder)
    code = (
        "import sys, time\nfrom jaxtext.runs.storage import storage\n"
        f"with storage({url!r}).hold():\n    print('held', flush=True)\n"
        "    time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {process.pid} on "):
            claim(url, {}).__enter__()
        process.send_signal(signal.SIGKILL)
    begin = time.monotonic()
    with claim(url, {}):
        assert time.monotonic() - begin < lease.DEAD / 2


def test_of_many_that_want_it_one_gets_it(quick, store, folder, lease_of):
    taken, together = [], threading.Barrier(6)

    def take(each):
        together.wait()
        with contextlib.suppress(LockedError):
            each.take()
            taken.append(each)

    threads = [threading.Thread(target=take, args=(lease_of(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


def test_an_answer_that_is_lost_does_not_lose_the_lease(store, lease_of):
    left = ["lost"]

    def lose(method, path):
        created = "ifGenerationMatch" in path or method == "PUT"
        return left.pop() if created and left else None

    store.fault = lose
    lease_of().take()
    assert not left


def test_a_store_that_is_away_loses_no_lease(quick, store, lease_of):
    held = lease_of()
    held.take()
    store.fault = lambda method, path: "403"
    time.sleep(2 * lease.SURE)
    assert held.lost is None
    with pytest.raises(PermissionError):
        held.confirm()
    store.fault = lambda method, path: None
    held.confirm()


def test_a_damaged_lease_is_taken_over_if_nobody_renews_it(
    quick, store, folder, lease_of
):
    store.write(f"{folder}/lease/7", b"\xff no JSON")
    lease_of().take()
    (name,) = store.names(f"{folder}/lease/")
    assert name.endswith("/8")
    assert json.loads(store.read(name))["pid"] == os.getpid()


def test_a_run_that_lost_its_lease_writes_nothing(quick, store, folder, elsewhere):
    url = store.url(folder)
    with contextlib.suppress(LostLeaseError), storage(url).hold() as held:
        of = storage(url)._lease
        of._over.set()
        store.write(f"{folder}/lease/9", b'{"host": "other", "pid": 5}')
        time.sleep(lease.SURE)
        of._over.clear()
        with pytest.raises(LostLeaseError, match="process 5 on other"):
            storage(url).write("result.json", b"{}")
        assert not held.is_there()
        assert "process 5 on other has taken over" in held.gone
        log = storage(url).log("metrics.jsonl")
        with pytest.raises(OSError, match="taken over"):
            log.rewind(0)
    assert store.names(f"{folder}/") == [f"{folder}/lease/9"]


def test_who_looks_on_sees_whether_a_run_is_held(store, folder):
    url = store.url(folder)
    assert not storage(url).in_use()
    with storage(url).hold():
        before = store.names(f"{folder}/")
        assert storage(url).in_use()
        assert store.names(f"{folder}/") == before
    assert not storage(url).in_use()
    old = b'{"free": false, "renewed": "2001-01-01T00:00:00Z"}'
    for lease_ in (old, b'{"free": false}', b"damaged"):
        store.write(f"{folder}/lease/99", lease_)
        assert not storage(url).in_use()
