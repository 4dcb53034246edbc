"""What lies in a folder of texts and is left out of them."""

import gzip
import os
from pathlib import Path

import pytest

from jaxtext.errors import InputError
from jaxtext.text import load
from jaxtext.text.excluding import Exclusion
from jaxtext.text.folder import is_run
from jaxtext.text.sources import resolve


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory to stand in, with two texts."""
    home = tmp_path / "texts"
    home.mkdir()
    for name in "a.txt", "b.txt":
        (home / name).write_text(name)
    monkeypatch.chdir(home)
    return home


def found(*specs, cache="cache", **how):
    """The paths, as text, and what was said of the others."""
    said = []
    with resolve(specs, cache=Path(cache), warn=said.append, **how) as sources:
        return [str(path) for path in sources.paths], said


def make_run(directory):
    (directory / "checkpoints" / "latest" / "5").mkdir(parents=True)
    for name in "config.json", "metrics.jsonl", "curve.png", ".lock", "checkpoints/x":
        (directory / name).write_text("{}")


TEXTS = ["a.txt", "b.txt"]
SAID = "left out of {}: {}; to read any of it, give its path"


def test_texts_alone_are_read_without_a_word(folder):
    assert found(".") == (TEXTS, [])


@pytest.mark.parametrize("spec", [".", "**"])
@pytest.mark.parametrize("place", ["runs/one", "runs/deep/one", "elsewhere", "c/d"])
def test_runs_are_left_out(folder, spec, place):
    make_run(folder / place)
    assert found(spec) == (TEXTS, [SAID.format(spec, "runs (1)")])


@pytest.mark.parametrize("left", [("config.json", ".lock"), ("checkpoints/best/1",)])
def test_a_run_is_known_by_what_any_has(folder, left):
    for name in left:
        (folder / "run" / name).mkdir(parents=True)
    assert is_run(folder / "run")
    assert not is_run(folder)


def test_a_config_alone_makes_no_run(folder):
    (folder / "c").mkdir()
    (folder / "c" / "config.json").write_text("{}")
    assert found(".") == ([*TEXTS, "c/config.json"], [])


def test_where_runs_go_is_left_out_whatever_they_left_there(folder):
    (folder / "runs").mkdir()
    (folder / "runs" / "compare-cells.png").write_bytes(b"\x89PNG\r\n")
    assert found(".") == (TEXTS, [SAID.format(".", "runs (1)")])
    (folder / "texts").mkdir()
    (folder / "texts" / "runs").mkdir()  # a name like any other
    (folder / "texts" / "runs" / "marathon").write_text("text")
    assert found("texts")[0] == ["texts/runs/marathon"]


def test_a_run_in_the_folder_of_the_texts_itself(folder):
    make_run(folder)
    said = SAID.format(".", "files of runs (4), hidden (1)")
    assert found(".") == (TEXTS, [said])
    assert found("*") == (TEXTS, [SAID.format("*", "files of runs (3)")])


def test_what_a_shell_makes_of_a_star(folder):
    make_run(folder / "mine")
    make_run(folder / "runs" / "one")
    paths, said = found(*sorted(os.listdir()))
    assert paths == TEXTS
    assert len(said) == 2
    with pytest.raises(InputError, match="there are only runs in mine, which are not"):
        found("mine")


def test_hidden_and_caches_are_left_out(folder):
    for name in [
        ".git/config",
        ".venv/bin/python",
        "sub/.hidden",
        "__pycache__/a.pyc",
        "kept/corpora/entry.npy",
        "env/pyvenv.cfg",
        "target/CACHEDIR.TAG",
    ]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no text")
    paths, said = found(".", cache="kept")
    assert (paths, said) == (TEXTS, [SAID.format(".", "caches (4), hidden (3)")])


def test_what_is_named_is_read(folder):
    (folder / ".notes").mkdir()
    (folder / ".notes" / "c.txt").write_text("c")
    make_run(folder / "runs" / "one")
    assert found(".notes") == ([".notes/c.txt"], [])
    assert found("runs/one/metrics.jsonl") == (["runs/one/metrics.jsonl"], [])
    with pytest.raises(InputError, match=r"there are only runs in runs/one/\*"):
        found("runs/one/*")


@pytest.mark.parametrize("spec", [".", "**"])
def test_links_are_read_once(folder, spec):
    other = folder.parent / "other"
    other.mkdir()
    (other / "c.txt").write_text("c")
    (folder / "linked").symlink_to(other)
    (folder / "more").symlink_to(other)
    (folder / "file").symlink_to("a.txt")
    os.link("b.txt", folder / "hard")
    paths, [said] = found(spec)
    assert paths == ["a.txt", "b.txt", "linked/c.txt"]
    assert "links to what is read already (3)" in said


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_links_that_lead_back_end(folder, target):
    (folder.parent / "beside").write_text("no part of it")
    (folder / "sub").mkdir()
    (folder / "sub" / "back").symlink_to(target)
    said = SAID.format(".", "links to what is read already (1)")
    assert found(".") == (TEXTS, [said])


@pytest.mark.parametrize("spec", ["**/*.txt", "**", "./**/*", "sub/../**/**/*.txt"])
def test_a_glob_ends_where_links_lead_back(folder, spec):
    (folder / "sub").mkdir()
    for name in "abc":  # three to choose from, forty times
        (folder / name).symlink_to(".")
        (folder / "sub" / name).symlink_to("..")
    assert [os.path.normpath(path) for path in found(spec)[0]] == TEXTS


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ("{}/**", ["[x]/y/d.txt", "a.txt", "b.txt"]),
        ("{}/**/*.txt", ["[x]/y/d.txt", "a.txt", "b.txt"]),
        ("{}/*/**/d.*", ["[x]/y/d.txt"]),
        ("{}/**/y/**", ["[x]/y/d.txt"]),
        ("{}/[[]x]/**", ["[x]/y/d.txt"]),
        ("{}/**/.h*/*", [".hidden/e.txt", "[x]/.here/f.txt"]),
    ],
)
def test_two_stars_cross_directories(folder, spec, paths):
    for name in "[x]/y/d.txt", ".hidden/e.txt", "[x]/.here/f.txt":
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    home = str(folder)
    assert found(spec.format(home))[0] == [f"{home}/{path}" for path in paths]


def test_links_to_nothing_and_to_themselves(folder):
    (folder / "nothing").symlink_to("nowhere")
    (folder / "self").symlink_to("self")
    assert found(".") == (TEXTS, [SAID.format(".", "links to nothing (2)")])


@pytest.mark.parametrize("spec", [".", "*"])
def test_a_pipe_is_never_waited_for(folder, spec):
    os.mkfifo(folder / "pipe")
    assert found(spec) == (TEXTS, [SAID.format(spec, "pipes and devices (1)")])


def test_a_folder_with_nothing_to_read_says_what_there_is(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / ".hidden").touch()
    with pytest.raises(
        InputError, match=r"sub holds no files; left out of sub: hidden \(1"
    ):
        found("sub")


@pytest.mark.parametrize("spec", ["a.txt", b"a.txt", Path("a.txt")])
def test_one_path_is_no_list_of_letters(folder, spec):
    with resolve(spec, cache=Path("cache")) as (name, paths):
        assert (name, paths) == ("a", (Path("a.txt"),))


NO_TEXT = {
    "photo.png": b"\x89PNG\r\n\x1a\n",
    "sub/scan.png": b"\x89PNG\r\n\x1a\n",
    "paper.pdf": b"%PDF-1.7\n",
    "notes.docx": b"PK\x03\x04 word/document.xml",
    "data.bin": b"\0\1\2\3",
    "photo.gz": gzip.compress(b"\x89PNG\r\n\x1a\n"),
}


def put(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("spec", [".", "**"])
def test_what_is_no_text_is_left_out_and_counted(folder, spec):
    put(folder, NO_TEXT)
    said = (
        f"left out of {spec}, as they are no text: PDF documents (1), PNG images (3), "
        "Word documents (1), binary files (1)"
    )
    assert found(spec, kind="chars") == (TEXTS, [said])
    said = said.replace(", binary files (1)", "")  # any other bytes are bytes
    assert found(spec, kind="bytes") == (["a.txt", "b.txt", "data.bin"], [said])
    every = sorted([*TEXTS, *NO_TEXT], key=Path)
    assert found(".", kind="bytes", any_bytes=True) == (every, [])


def test_a_file_that_is_named_is_not_left_out(folder):
    put(folder, NO_TEXT)
    with pytest.raises(InputError, match=r"photo\.png is a PNG image"):
        load(["a.txt", "photo.png"], cache="cache")


def test_what_is_no_text_alone_is_an_error(folder):
    put(folder, NO_TEXT)
    with pytest.raises(
        InputError, match=r"no text in sub; left out of sub, .*: PNG images \(1\)$"
    ):
        found("sub", kind="chars")


def test_a_text_in_another_encoding_is_not_left_out(folder):
    (folder / "c.txt").write_bytes("café ".encode("latin-1") * 30)
    with pytest.raises(InputError, match=r"c\.txt has byte 0xe9 .* Latin-1"):
        load(".", cache="cache")


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["*.md"], ["a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt"]),
        (["sub"], ["a.txt", "b.txt", "e.md"]),
        (["sub/"], ["a.txt", "b.txt", "e.md"]),
        (["sub/*"], ["a.txt", "b.txt", "e.md"]),
        (["/sub/deep"], ["a.txt", "b.txt", "e.md", "sub/c.txt"]),
        (["deep"], ["a.txt", "b.txt", "e.md", "sub/c.txt"]),
        (["sub/*.txt", "[ab].txt"], ["e.md"]),
    ],
)
def test_what_is_excluded_is_left_out(folder, patterns, left):
    put(folder, {"sub/c.txt": b"c", "e.md": b"e"})
    put(folder, {"sub/deep/d.txt": b"d"})
    n = 5 - len(left)
    for spec in ".", "**":
        paths, said = found(spec, exclude=Exclusion(patterns))
        assert (paths, said) == (left, [f"left out of {spec}: excluded ({n})"])
    assert found("a.txt", exclude=Exclusion(["a.txt"]))[0] == ["a.txt"]  # it was named


def test_a_pattern_that_excludes_nothing_is_told(folder):
    (folder / "a.txt").write_text("a text of some length\n" * 9)
    said = []
    load(".", cache="cache", exclude=["*.html", "b.*"], warn=said.append)
    assert "nothing in texts matches *.html, which was to be excluded" in said
    assert not any("b.*" in x for x in said)


def test_all_excluded_is_an_error(folder):
    with pytest.raises(InputError, match=r"no files; left out of \.: excluded \(2\)"):
        found(".", exclude=Exclusion(["*.txt"]))
