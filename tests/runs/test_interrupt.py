"""Signals: the first is noted, the second ends the process, wherever it is."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from jaxtext.runs import interrupt
from jaxtext.runs.interrupt import Stopped, requests_to_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number):
    before = signal.getsignal(number)
    with requests_to_stop() as request:
        request.check()
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGINT)  # at once: a parent passed it on as well
        with pytest.raises(Stopped, match=str(int(number))):
            request.check("some", "progress")
    assert request.signal == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once_even_within_c_code(second):
    """Python's handlers do not run while the main thread is in a call that is not
    Python's: here one that holds no lock and, interrupted, goes on waiting."""
    program = """
        import ctypes, sys
        from jaxtext.runs.interrupt import requests_to_stop
        libc = ctypes.CDLL(None)
        with requests_to_stop():
            print("ready", flush=True)
            for _ in range(3):
                lock = (ctypes.c_char * 64)()
                libc.pthread_mutex_lock(lock)
                libc.pthread_mutex_lock(lock)  # waits for itself for ever
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            os.kill(process.pid, signal.SIGTERM)
            said = process.stderr.readline() + process.stderr.readline()
            assert "a second signal stops it" in said
            time.sleep(0.4)
            assert process.poll() is None
            os.kill(process.pid, second)
            assert process.wait(timeout=10) == 128 + second
        finally:
            process.kill()  # or a failure would wait for it forever


def test_nothing_is_said_where_standard_error_was_never_open(tmp_path, monkeypatch):
    """Its number may be that of a file of the run."""
    with (tmp_path / "file").open("wb") as file:
        kept = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            monkeypatch.setattr(sys, "__stderr__", None)
            interrupt._say("stopping")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    assert (tmp_path / "file").read_bytes() == b""
