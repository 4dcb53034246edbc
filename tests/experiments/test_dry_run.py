"""--dry-run: what it tells is what the run then is, and nothing is written."""

import json
import os
from types import SimpleNamespace

import char_gen
import pytest

from charlm import dry
from jaxtext.locks import lock
from jaxtext.runs.storage import disk

SMALL = "--hidden 8 --batch-size 8 --seq-len 8 --sample-every 0 --eval-every 50"


@pytest.fixture
def gen(tmp_path, capsys, monkeypatch):
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 20)
    monkeypatch.setattr(dry, "MEASURED", 0.01)

    def run(*words):
        of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run")]
        status = char_gen.main([*of, *SMALL.split(), *map(str, words)])
        captured = capsys.readouterr()
        return status, json.loads(captured.out or "null"), captured.err

    return run


def contents(folder):
    return {
        path: (path.stat().st_mtime_ns, path.is_dir() or path.read_bytes())
        for path in folder.rglob("*")
    }


def test_it_tells_what_the_run_is_and_writes_nothing(gen, tmp_path):
    before = contents(tmp_path)
    status, told, said = gen("--steps", 5, "--dry-run")
    assert status == 0
    assert contents(tmp_path) == before
    assert "plan    5 steps, 0.4 epochs" in said
    assert told["step_seconds"] > 0
    assert told["step_memory_bytes"] > 4 * told["parameters"]
    _, result, _ = gen("--steps", 5)
    for name in ("steps", "epochs", "parameters", "devices", "vocabulary", "workdir"):
        assert told[name] == result[name]
    kept = [x for x in (tmp_path / "run" / "checkpoints").rglob("*") if x.is_file()]
    assert sum(x.stat().st_size for x in kept) < told["disk_bytes_needed"] + 2**20

    # One that is there is told where it goes on, and is left as it is.
    before = contents(tmp_path)
    status, told, said = gen("--steps", 9, "--dry-run")
    assert (status, told["step"], told["steps"]) == (0, 5, 9)
    assert "goes on from step 5" in said
    assert contents(tmp_path) == before


def test_what_the_run_would_refuse_is_refused(gen, tmp_path, monkeypatch):
    status, told, said = gen("--steps", 5, "--dry-run", "--batch-size", 12)
    assert (status, told) == (2, None)
    assert "batch" in said
    gen("--steps", 3)
    status, _, said = gen("--steps", 5, "--dry-run", "--hidden", 9)
    assert status == 2
    assert "holds a run with another configuration: hidden is 8 there" in said
    with lock(tmp_path / "run" / ".lock"):
        status, _, said = gen("--steps", 5, "--dry-run")
    assert status == 2
    assert "is in use by another process" in said


def test_a_place_that_cannot_be_used_is_refused(gen, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        status, _, said = gen("--steps", 5, "--dry-run")
    assert status == 2
    assert f"({tmp_path} cannot be written); choose another --workdir" in said
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage)
    status, _, said = gen("--steps", 5, "--dry-run")
    assert status == 2
    assert "of disk space for its checkpoints, got 0.0 MB; free some" in said
