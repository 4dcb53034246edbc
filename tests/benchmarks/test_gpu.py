"""gpu.sh, on the CPU: parts that fail or hang, and what is there meanwhile."""

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GPU = BENCHMARKS / "gpu.sh"


def start(*words, **environment):
    return subprocess.Popen(
        [GPU, *words],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def summary(out):
    """The status of each part."""
    lines = (out / "summary.txt").read_text().splitlines()[2:]
    return {line[:16].strip(): line[17:29].strip() for line in lines}


def packed(out):
    with tarfile.open(out / "results.tar.gz") as archive:
        return {name.removeprefix("./") for name in archive.getnames()}


def test_a_part_that_fails_or_hangs_stops_no_other(tmp_path):
    out = tmp_path / "results"
    running = start(
        *("--dry", "--parts", "machine,errors,resume,sampling", out),
        FAIL="errors",
        HANG="resume",
    )
    parts = tmp_path / "results.parts"
    try:
        while not (out / "summary.txt").exists() or "errors" not in summary(out):
            assert running.poll() is None
            time.sleep(0.05)
        # What was found is there while a later part hangs.
        assert running.poll() is None
        assert json.loads((parts / "machine.json").read_text())["versions"]["jax"]
        assert "machine.json" in packed(out)
        said, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 1
    assert summary(out) == {
        "machine": "ok",
        "errors": "failed (1)",
        "resume": "timed out",
        "sampling": "ok",
    }
    assert said.endswith((out / "summary.txt").read_text())
    rows = json.loads((parts / "sampling.json").read_text())["rows"]
    assert [row["batch"] for row in rows] == [1, 4]
    assert {"sampling.json", "summary.txt", "table.md"} <= packed(out)
    assert {path.name for path in out.iterdir()} == {
        *("results.tar.gz", "summary.txt", "table.md"),
    }


def test_nothing_begins_when_the_time_is_over(tmp_path):
    running = start("--dry", "--parts", "machine", tmp_path / "out", BUDGET="0")
    running.communicate(timeout=60)
    assert running.returncode == 1
    assert summary(tmp_path / "out") == {"machine": "no time"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--parts", "speed", "out"), "expected of machine errors resume"),
        (("--dry",), "usage: "),
        (("--wet", "out"), "usage: "),
    ],
)
def test_bad_words_are_told(words, message):
    running = start(*words)
    said, _ = running.communicate(timeout=60)
    assert (running.returncode, message in said) == (2, True)
