"""Which files a corpus specification stands for."""

import errno
import io
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

from jaxtext.errors import InputError
from jaxtext.text import sources
from jaxtext.text.sources import resolve


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A directory to stand in, with files in several depths."""
    home = tmp_path / "tree"
    for name in ["b.txt", "a.txt", "sub/c.txt", ".hidden", "sub/.git/config", "x.md"]:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(home)
    return home


def found(*specs):
    """The name and the paths, as text, that ``specs`` resolve to."""
    with resolve(specs, cache=Path("cache")) as (name, paths):
        return name, [str(path) for path in paths]


def give_stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("specs", "name", "paths"),
    [
        (["b.txt"], "b", ["b.txt"]),
        (["b.txt", "a.txt"], "b", ["b.txt", "a.txt"]),
        (["*.txt"], "a", ["a.txt", "b.txt"]),
        (["**/*.txt"], "a", ["a.txt", "b.txt", "sub/c.txt"]),
        (["**"], "a", ["a.txt", "b.txt", "sub/c.txt", "x.md"]),
        (["sub"], "sub", ["sub/c.txt"]),
        (["."], "tree", ["a.txt", "b.txt", "sub/c.txt", "x.md"]),
        (["sub", "a.txt"], "sub", ["sub/c.txt", "a.txt"]),
    ],
)
def test_files_directories_and_globs(specs, name, paths):
    assert found(*specs) == (name, paths)


def test_a_file_may_be_called_like_a_data_set_or_a_glob(tree):
    for name in ["stdlib", "tinyshakespeare", "what[1].txt", "-"]:
        (tree / name).touch()
    assert found("./stdlib") == ("stdlib", ["stdlib"])
    assert found("./tinyshakespeare") == ("tinyshakespeare", ["tinyshakespeare"])
    assert found("what[1].txt") == ("what-1", ["what[1].txt"])
    assert found("./-")[1] == ["-"]


def test_the_standard_library_of_this_interpreter():
    name, paths = found("stdlib")
    names = [Path(path).name for path in paths]
    assert name == "stdlib"
    assert {"argparse.py", "textwrap.py"} < set(names)
    assert names == sorted(names)
    assert not [name for name in names if name.startswith("_sysconfigdata")]
    assert all(Path(path).read_bytes().isascii() for path in paths)
    assert {str(Path(path).parent) for path in paths} == {sysconfig.get_path("stdlib")}


def test_the_standard_library_leaves_out_what_differs_between_machines(
    tree, monkeypatch
):
    for name in ["os.py", "abc.py", "_sysconfigdata__linux.py"]:
        (tree / name).write_text("pass\n")
    (tree / "names.py").write_text("# é\n", encoding="utf-8")
    (tree / "link.py").symlink_to("os.py")
    monkeypatch.setattr(sysconfig, "get_path", {"stdlib": str(tree)}.__getitem__)
    assert [Path(path).name for path in found("stdlib")[1]] == ["abc.py", "os.py"]


def test_an_interpreter_without_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "none"))
    with pytest.raises(InputError, match="no library source in"):
        found("stdlib")


def test_a_data_set_is_fetched_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "fetch", lambda name, cache, advance: cache / name)
    (tmp_path / "tinyshakespeare").touch()
    with resolve(["tinyshakespeare"], cache=tmp_path) as files:
        assert files == ("tinyshakespeare", (tmp_path / "tinyshakespeare",))


def test_standard_input_can_be_read_twice_and_is_then_removed(tmp_path, monkeypatch):
    give_stdin(monkeypatch, b"\x00\xffabc\r\n")
    cache = tmp_path / "cache"
    with resolve(["-"], cache=cache) as (name, [path]):
        assert name == "stdin"
        assert path.read_bytes() == path.read_bytes() == b"\x00\xffabc\r\n"
        assert path.is_relative_to(cache)
    assert list(cache.glob("*/*")) == []


def test_standard_input_is_removed_after_an_error_too(tmp_path, monkeypatch):
    give_stdin(monkeypatch, b"abc")
    with (
        pytest.raises(KeyboardInterrupt),
        resolve(["-"], cache=tmp_path),
    ):
        raise KeyboardInterrupt
    assert list(tmp_path.glob("*/*")) == []


def test_waiting_for_standard_input_can_be_ended(tmp_path, monkeypatch):
    give_stdin(monkeypatch, b"abc")

    def stop(done, total):
        assert list(tmp_path.glob("*/*")) != []
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        resolve(["-"], cache=tmp_path, progress=stop),
    ):
        raise AssertionError
    assert list(tmp_path.glob("*/*")) == []


def test_standard_input_that_fails_is_no_fault_of_the_cache(tmp_path, monkeypatch):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Failing()))
    with (
        pytest.raises(InputError, match=r"cannot read standard input \(Input/output"),
        resolve(["-"], cache=tmp_path),
    ):
        pass


def test_standard_input_cannot_be_used_twice():
    with pytest.raises(InputError, match="only once"):
        found("-", "-")


def test_standard_input_needs_a_cache_that_can_be_written(tree, monkeypatch):
    give_stdin(monkeypatch, b"abc")
    with (
        pytest.raises(InputError, match=r"x\.md.*JAXTEXT_CACHE"),
        resolve(["-"], cache=tree / "x.md"),
    ):
        pass


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tinyshakespere", "called tinyshakespere;.*stdlib, tinyshakespeare"),
        ("c.txt", r"called c\.txt"),
        ("*.rst", r"no file matches \*\.rst"),
        ("sub*", r"no file matches sub\*"),  # a directory, which is not a file
        ("a.txt/b", r"called a\.txt/b"),
        ("n" * 300, "cannot read nnn.*name too long"),
        (os.devnull, "/dev/null is neither a file nor a directory"),
    ],
)
def test_what_cannot_be_found_is_named(spec, message):
    with pytest.raises(InputError, match=re.compile(message, re.IGNORECASE)):
        found(spec)


def test_a_directory_without_files(tree):
    (tree / "empty").mkdir()
    (tree / "empty" / ".hidden").touch()
    (tree / "empty" / "dangling").symlink_to("nowhere")
    with pytest.raises(InputError, match="the directory empty holds no files"):
        found("empty")


@pytest.mark.parametrize("specs", [[], [""]])
def test_nothing_at_all(specs):
    with pytest.raises(InputError, match="expected a corpus, got nothing"):
        found(*specs)


@pytest.mark.usefixtures("tree")
def test_an_unreadable_file_is_named(monkeypatch):
    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"cannot read a\.txt \(Permission denied\)"):
        found("a.txt")


@pytest.mark.usefixtures("tree")
def test_an_unreadable_directory_is_not_passed_over(monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"sub.*Permission denied"):
        found(".")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Alice's Adventures.txt", "Alice-s-Adventures"),
        ("--flag.txt", "flag"),
        ("дата.txt", "corpus"),
        ("n" * 100, "n" * 40),
    ],
)
def test_the_name_is_fit_for_a_directory(tree, file, name):
    (tree / file).touch()
    assert found("./" + file)[0] == name


def test_files_are_read_without_what_networks_need():
    program = "import sys, jaxtext.text.encoded; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(found.stdout.split())
    assert "jaxtext.text.sources" in loaded
    assert not {"urllib.request", "ssl", "fsspec", "jax"} & loaded
