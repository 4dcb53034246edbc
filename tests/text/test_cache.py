"""Where the cache is, and what happens when the disk refuses."""

import errno
import fcntl
import os
import platform
import time
from pathlib import Path

import platformdirs
import pytest

from jaxtext.errors import InputError
from jaxtext.text.cache import (
    _create,
    remove_leftovers,
    root,
    unfinished,
    writing,
)


def test_the_environment_chooses_the_directory(monkeypatch):
    monkeypatch.setenv("JAXTEXT_CACHE", "/somewhere/else")
    assert root() == Path("/somewhere/else")


@pytest.mark.parametrize("value", [None, ""])
def test_otherwise_it_is_the_users_cache(monkeypatch, value):
    monkeypatch.delenv("JAXTEXT_CACHE", raising=False)
    if value is not None:
        monkeypatch.setenv("JAXTEXT_CACHE", value)
    assert root() == platformdirs.user_cache_path("jaxtext")


def test_writing_makes_the_directory(tmp_path):
    with writing(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"file/b \(Not a directory\).*JAXTEXT_CACHE"),
        writing(tmp_path / "file" / "b"),
    ):
        pass


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(ZeroDivisionError), writing(tmp_path):
        raise ZeroDivisionError


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
    _create(directory).close()
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
