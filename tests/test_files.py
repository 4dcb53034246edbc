"""Files that appear whole or not at all, and what killed processes leave of them."""

import errno
import fcntl
import os
import platform
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jaxtext import files
from jaxtext.files import remove_leftovers, rename, unfinished, write_durably


def test_an_unfinished_file_is_gone_unless_it_was_renamed(tmp_path):
    with unfinished(tmp_path) as file:
        file.write(b"kept")
        os.replace(file.name, tmp_path / "kept")
    with pytest.raises(ZeroDivisionError), unfinished(tmp_path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["kept"]


def leave(directory, monkeypatch, host="here"):
    """Leave an unfinished file as a process does that is killed."""
    monkeypatch.setattr(platform, "node", lambda: host)
    files._create(directory).close()
    monkeypatch.setattr(platform, "node", lambda: "here")
    [path] = directory.iterdir()
    return path


def test_leftovers_are_removed_and_nothing_else(tmp_path, monkeypatch):
    leave(tmp_path, monkeypatch)
    (tmp_path / "entry").touch()
    (tmp_path / ".hidden").touch()
    os.utime(tmp_path / "entry", (0, 0))
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "entry"]


def test_a_file_that_is_being_written_is_not_a_leftover(tmp_path):
    with unfinished(tmp_path) as file:
        os.utime(file.name, (0, 0))
        remove_leftovers(tmp_path)
        assert Path(file.name).exists()


@pytest.mark.parametrize(("hours", "stays"), [(0, True), (23, True), (25, False)])
def test_another_hosts_leftovers_stay_for_a_day(tmp_path, monkeypatch, hours, stays):
    path = leave(tmp_path, monkeypatch, "elsewhere")
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    remove_leftovers(tmp_path)
    assert path.exists() == stays


def test_a_file_removed_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    flock, removed = fcntl.flock, []

    def too_late(file, operation):
        if not removed:
            removed.append(file.name)
            os.unlink(file.name)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with unfinished(tmp_path) as file:
        assert Path(file.name).exists()
        assert file.name != removed[0]


def test_without_locks_files_are_written_and_never_taken_for_leftovers(
    tmp_path, monkeypatch
):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with unfinished(tmp_path) as file:
        remove_leftovers(tmp_path)
        assert Path(file.name).exists()


def test_a_link_with_the_name_of_a_leftover_is_left_alone(tmp_path):
    """It is not ours, and what it leads to least of all."""
    (tmp_path / "elsewhere").write_text("kept")
    leftover = tmp_path / f"{files._of_this_host()}0"
    leftover.symlink_to(tmp_path / "elsewhere")
    remove_leftovers(tmp_path)
    assert leftover.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "kept"


def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_was_there_stays_if_writing_fails(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    write_durably(path, b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(OSError, match="No space left"):
            write_durably(path, b"after")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_the_disk_has_the_data_before_the_name_and_the_name_at_the_end(
    tmp_path, monkeypatch
):
    calls, fsync, replace = [], os.fsync, os.replace

    def noted_fsync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        calls.append("directory" if path.is_dir() else "data")
        fsync(descriptor)

    def noted_replace(source, target):
        calls.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_durably(tmp_path / "file", b"data")
    assert calls == ["data", "name", "directory"]


def test_writers_at_once_never_show_half_a_file(tmp_path):
    """Each has a file of its own to write to, until that is renamed."""
    path, whole = tmp_path / "file", [bytes([n]) * 100_000 for n in range(4)]
    write_durably(path, whole[0])

    def write(data):
        for _ in range(20):
            write_durably(path, data)

    with ThreadPoolExecutor() as pool:
        writing = [pool.submit(write, data) for data in whole]
        seen = set()
        while not all(writer.done() for writer in writing):
            seen.add(path.read_bytes())
        for writer in writing:
            writer.result()
    assert seen <= set(whole)
    assert os.listdir(tmp_path) == ["file"]


KILLED = """
import os, signal, sys
from pathlib import Path
from jaxtext.files import unfinished, write_durably

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

os.{call} = kill
write_durably(Path(sys.argv[1]), b"after")
"""


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_writer_that_is_killed_changes_nothing_and_the_next_tidies(tmp_path, call):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    command = [sys.executable, "-c", KILLED.format(call=call), str(path)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
    assert len(os.listdir(tmp_path)) == 2
    write_durably(path, b"next")
    assert path.read_bytes() == b"next"
    assert os.listdir(tmp_path) == ["file"]


def test_a_directory_is_renamed(tmp_path):
    (tmp_path / "from").mkdir()
    rename(tmp_path / "from", tmp_path / "to")
    assert os.listdir(tmp_path) == ["to"]
