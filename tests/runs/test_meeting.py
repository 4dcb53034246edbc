"""Processes that meet, or do not: here they are threads, which say who is missing."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxtext.errors import InputError
from jaxtext.runs import meeting
from jaxtext.runs.meeting import NotMetError, meet
from jaxtext.runs.partners import Partners


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Who waits says so soon."""
    monkeypatch.setattr(meeting, "FIRST", 0.2)
    monkeypatch.setattr(meeting, "EVERY", 0.2)


@pytest.fixture
def port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture
def scene(port):
    """``scene(processes, seconds=…)``: what each came to, and what each said."""

    def come(process, count, seconds, delay, said):
        time.sleep(delay)
        where = f"127.0.0.1:{port}"
        try:
            return meet(where, count, process, seconds=seconds, say=said.append)
        except (InputError, NotMetError) as error:
            return error

    made = []

    def play(*processes, count=3, seconds=60, delays=None, counts=None):
        delays, counts = delays or {}, counts or {}
        with ThreadPoolExecutor(len(processes)) as pool:
            said = [[] for _ in processes]
            found = [
                pool.submit(
                    come, p, counts.get(p, count), seconds, delays.get(p, 0), words
                )
                for p, words in zip(processes, said, strict=True)
            ]
            found = [x.result(90) for x in found]
        made.extend(x for x in found if isinstance(x, Partners))
        return found, said

    yield play
    for partners in made:
        for link in partners._links.values():
            link.close()


def test_who_is_missing_is_told_until_all_have_come(scene, port):
    found, said = scene(0, 1, 2, delays={2: 1.5})
    assert not any(isinstance(x, Exception) for x in found)
    where = f"waiting for 3 processes at 127.0.0.1:{port}, "
    for words in said[:2]:
        assert f"{where}2 here: process 2 is missing" in words
    assert said[2] == []


def test_a_first_process_that_is_late_is_told(scene):
    found, said = scene(1, 0, count=2, delays={0: 1.0})
    assert not any(isinstance(x, Exception) for x in found)
    assert "process 0 does not answer there (Connection refused)" in said[0][0]


def test_one_that_never_comes_is_named_by_all(scene):
    found, _ = scene(0, 1, 3, count=5, seconds=1)
    for error in found:
        assert isinstance(error, NotMetError)
        assert "not all 5 processes met" in str(error)
        assert "within 1 s: 3 here: processes 2, 4 are missing" in str(error)


def test_where_nobody_answers(scene):
    (error,), _ = scene(1, seconds=0.5)
    assert isinstance(error, NotMetError)
    assert "process 0 does not answer there (Connection refused)" in str(error)
    assert "a wrong one looks like a process that is late" in str(error)


def test_a_name_that_nobody_has():
    with pytest.raises(NotMetError, match="not answer there"):
        meet("nobody.invalid:1234", 2, 1, seconds=0, say=print)


def test_other_numbers_of_processes_are_told_to_all_with_both(scene):
    found, _ = scene(0, 1, count=2, counts={1: 3})
    for error in found:
        assert isinstance(error, InputError)
        assert "is 2 in process 0 and 3 in process 1" in str(error)


def test_of_two_that_say_that_they_are_the_same_the_former_ends(scene):
    found, _ = scene(0, 1, 1, 2, delays={2: 1.5})
    (former,) = (x for x in found if isinstance(x, Exception))
    assert isinstance(former, InputError)
    assert "another process has come that also is process 1" in str(former)


def test_strangers_are_not_counted(scene, port):
    """A scanner of ports, a browser, and a connection that says nothing."""
    with contextlib.ExitStack() as stack:

        def disturb():
            for words in (b"GET / HTTP/1.1\r\n\r\n", b'{"process": 1}\n', b"[]\n", b""):
                with contextlib.suppress(OSError):
                    other = socket.create_connection(("127.0.0.1", port), timeout=5)
                    stack.callback(other.close)
                    other.sendall(words)

        timer = threading.Timer(0.5, disturb)
        timer.start()
        found, _ = scene(0, 1, count=2, delays={1: 1.5})
        timer.join()
    assert not any(isinstance(x, Exception) for x in found)


def test_what_does_not_wait_for_others_is_told(scene, port):
    """Something else has the port: it answers, and then closes."""
    with socket.create_server(("127.0.0.1", port)) as server:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        threading.Thread(target=answer, daemon=True).start()
        (error,), _ = scene(1, seconds=1)
    assert isinstance(error, NotMetError)
    assert "what answers there does not wait for others" in str(error)


def test_one_that_has_gone_again_is_missing(scene, port):
    said = []

    def hear(words):
        end = time.monotonic() + 60
        while not any(words in line for line in said):
            assert time.monotonic() < end, said
            time.sleep(0.05)
        said.clear()

    where = f"127.0.0.1:{port}"
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, where, 3, 0, seconds=60, say=said.append)
        hear("1 here: processes 1, 2 are missing")
        with socket.create_connection(("127.0.0.1", port), timeout=5) as other:
            other.sendall(b'{"process": 1, "of": 3}\n')
            hear("2 here: process 2 is missing")
        hear("1 here: processes 1, 2 are missing")
        found, _ = scene(1, 2)
        for link in first.result(60)._links.values():
            link.close()
    assert not any(isinstance(x, Exception) for x in found)


def test_a_port_that_is_taken(monkeypatch, port):
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(InputError, match="cannot be used here"):
            meet(f"127.0.0.1:{port}", 2, 0, seconds=0, say=print)
        monkeypatch.setenv("JAX_COORDINATOR_BIND_ADDRESS", "0.0.0.0:0")
        with pytest.raises(NotMetError):  # it listens at another one
            meet(f"127.0.0.1:{port}", 2, 0, seconds=0, say=print)
