"""Locks: one holder at a time, none that outlives its process."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from jaxtext.locks import LockedError, lock, lock_file

HOLD = """
import sys, time
from pathlib import Path
from jaxtext.locks import lock

with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds a lock, and the lock's path."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process, path
        process.kill()


def test_a_lock_is_held_by_one_process_and_freed_by_its_death(holder):
    process, path = holder
    with pytest.raises(LockedError, match=str(path)), lock(path, wait=False):
        pass
    threading.Timer(0.5, process.kill).start()
    with lock(path):  # waits until it is dead
        pass
    assert process.wait() == -signal.SIGKILL


def test_a_lock_is_free_after_its_block(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lock(tmp_path / "lock", wait=False):
            raise ZeroDivisionError
    # The file stays: a directory of a run is known by it.
    assert os.listdir(tmp_path) == ["lock"]


def test_no_lock_is_not_a_lock_that_is_held(tmp_path, monkeypatch):
    """What the file system lacks is an error of its own, and nothing waits for it."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for wait in (False, True):
        with pytest.raises(OSError, match="No locks"), lock(tmp_path / "l", wait=wait):
            pass
    with (tmp_path / "data").open("wb") as file:
        assert not lock_file(file, wait=True)


def test_a_link_is_not_locked_and_what_it_leads_to_is_unchanged(tmp_path):
    (tmp_path / "file").write_text("kept")
    os.symlink(tmp_path / "file", tmp_path / "lock")
    with pytest.raises(OSError, match="symbolic links"), lock(tmp_path / "lock"):
        pass
    assert (tmp_path / "file").read_text() == "kept"
