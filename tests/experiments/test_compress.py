"""compress.py: as long as what evaluate.py reports, and back to the byte."""

import json
import os
import subprocess
import sys
from pathlib import Path

import char_gen
import compress
import evaluate
import pytest

from jaxtext.compression import coding, machine

pytest.importorskip("constriction", reason="without constriction, the extra compress")

SCRIPT = Path(compress.__file__)
TEXT = 'if a < b & "c" > d:\n\tsay("hello world, \u00e9 \U0001f600")\n' * 60
SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--eval-every", "10"]
SMALL += ["--save-steps", "10"]
OTHER = ("say hello, world: \u00e9\n" * 90).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run and its text, and a file that the run knows all characters of."""
    folder = tmp_path_factory.mktemp("compress")
    (folder / "own.txt").write_text(TEXT)
    (folder / "other.txt").write_bytes(OTHER)
    argv = ["--corpus", folder / "own.txt", "--workdir", folder / "run", "--steps", 30]
    assert char_gen.main([*map(str, argv), *SMALL]) == 0
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """Calls a script, in an empty directory; returns its result."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def run(*args, script=compress):
        argv = ["--workdir", folder / "run", *args]
        status = script.main([str(a) for a in argv])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return json.loads(captured.out.splitlines()[-1])

    return run


@pytest.fixture
def refused(folder, tmp_path, monkeypatch, capsys):
    """Calls compress.py; returns the one line that says why not."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def refused(*args, workdir=folder / "run"):
        argv = ["--workdir", workdir, *args]
        assert compress.main([str(a) for a in argv]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        line = captured.err.splitlines()[-1]
        assert line.startswith("error: ")
        return line

    return refused


@pytest.mark.parametrize("dynamic", [[], ["--dynamic", "--segment", 9]])
def test_the_file_is_as_long_as_the_evaluation_says(folder, run, dynamic):
    result = run(folder / "other.txt", "--out", "small.jtz", *dynamic)
    # Of a run that was trained on something else, evaluate.py wants to be told on what.
    where = ["--statistics", folder / "own.txt"] if dynamic else []
    reported = run(
        *("--corpus", folder / "other.txt", "--page-characters", 0),
        *("--protocol", "carried", *dynamic, *where),
        script=evaluate,
    )
    nats = "dynamic_bits_per_char" if dynamic else "bits_per_char"
    bits = reported[nats] * reported["characters"]
    assert abs(8 * result["code_bytes"] - bits) < 0.001 * bits + 64
    assert result["compressed_bytes"] == Path("small.jtz").stat().st_size
    assert result["header_bytes"] < 700
    assert result["bytes"] == len(OTHER)
    assert result["symbols"] == len(OTHER.decode())
    assert (result["dynamic"] or {}).get("segment") == (9 if dynamic else None)
    back = run("--decompress", "small.jtz", "--out", "back.txt")
    assert Path("back.txt").read_bytes() == OTHER
    assert (back["bytes"], back["step"]) == (len(OTHER), result["step"])


@pytest.mark.parametrize("data", [b"", b"s", b"\0\xff" * 300, OTHER[:200] + b"\xc3"])
def test_any_file_gets_the_ending_and_comes_back_without_it(run, data):
    Path("a.bin").write_bytes(data)
    assert run("a.bin", "--streams", 5)["out"] == "a.bin.jtz"
    Path("a.bin").unlink()
    assert run("--decompress", "a.bin.jtz")["out"] == "a.bin"
    assert Path("a.bin").read_bytes() == data
    assert sorted(os.listdir()) == ["a.bin", "a.bin.jtz"]


def test_another_process_brings_it_back(folder, run):
    run(folder / "other.txt", "--out", "small.jtz", "--streams", 3)
    argv = ["--workdir", folder / "run", "--decompress", "small.jtz", "--out", "back"]
    subprocess.run([sys.executable, SCRIPT, *argv], check=True, capture_output=True)
    assert Path("back").read_bytes() == OTHER


def test_the_step_of_the_file_is_the_one_that_decompresses(folder, run, refused):
    made = run(folder / "other.txt", "--out", "small.jtz", "--checkpoint", "20")
    assert made["step"] == 20
    assert run("--decompress", "small.jtz", "--out", "back")["step"] == 20
    assert "holds no checkpoint of step 7" in refused(
        folder / "other.txt", "--out", "b.jtz", "--checkpoint", 7
    )


def test_an_existing_file_stays_unless_it_is_named(folder, run, refused):
    Path("a").write_bytes(b"say")
    run("a")
    assert "a.jtz is there already" in refused("a")
    assert "a is there already" in refused("--decompress", "a.jtz")
    run("a", "--out", "a.jtz")
    run("--decompress", "a.jtz", "--out", "a")
    assert Path("a").read_bytes() == b"say"


def test_nothing_is_written_of_what_does_not_come_out_right(run, refused, monkeypatch):
    Path("a").write_bytes(OTHER)
    run("a")
    damaged = bytearray(Path("a.jtz").read_bytes())
    damaged[-100] ^= 1
    Path("b.jtz").write_bytes(damaged)
    assert "damaged" in refused("--decompress", "b.jtz")
    with monkeypatch.context() as patched:
        patched.setattr(coding, "decode", lambda *_: [0] * len(OTHER.decode()))
        said = refused("--decompress", "a.jtz", "--out", "c")
        assert "what came out is not the original" in said
    here = machine.here()
    monkeypatch.setattr(machine, "here", lambda: here | {"jax": "0.9.0"})
    said = refused("--decompress", "a.jtz", "--out", "c")
    assert f"expected jax {here['jax']}, with which" in said
    assert sorted(os.listdir()) == ["a", "a.jtz", "b.jtz"]


def test_another_run_is_refused(folder, run, refused, tmp_path):
    other = tmp_path / "run"
    argv = ["--corpus", folder / "own.txt", "--workdir", other, "--steps", 30]
    assert char_gen.main([*map(str, argv), *SMALL, "--seed", "1"]) == 0
    run(folder / "other.txt", "--out", "small.jtz", "--checkpoint", "latest")
    said = refused("--decompress", "small.jtz", "--out", "c", workdir=other)
    assert "expected the model" in said
