"""Where the cache is, and what happens when the disk refuses."""

from pathlib import Path

import platformdirs
import pytest

from jaxtext.errors import InputError
from jaxtext.text.cache import root, writing


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
