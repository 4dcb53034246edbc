"""gpu.sh, on the CPU: parts that fail or hang, and what is there meanwhile."""

import contextlib
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


def start(*words, script=GPU, cwd=None, **environment):
    return subprocess.Popen(
        [script, *words],
        cwd=cwd,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def summary(out):
    """The status of each part."""
    lines = (out / "summary.txt").read_text().splitlines()[2:]
    return {line[:16].strip(): line[17:29].strip() for line in lines}


def wait_until(condition, running):
    while not condition():
        assert running.poll() is None
        time.sleep(0.05)


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
        wait_until(
            lambda: (out / "summary.txt").exists() and "errors" in summary(out), running
        )
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
        "table": "ok",
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
    assert summary(tmp_path / "out") == {"machine": "no time", "table": "ok"}


@pytest.mark.thorough
def test_any_path_will_do_and_other_parts_are_kept(tmp_path):
    """Names with spaces; once with a slash behind, and once as ``.``."""
    checkout, out = tmp_path / "a checkout", tmp_path / "the results"
    checkout.symlink_to(BENCHMARKS.parent)
    running = start(
        *("--dry", "--parts", "machine,profile", f"{out}/"),
        script=checkout / "benchmarks" / "gpu.sh",
        JAX_NUM_CPU_DEVICES="1",
        COMMIT="first",
    )
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 0, said
    parts = tmp_path / "the results.parts"
    assert json.loads((parts / "machine.json").read_text())["versions"]["jax"]
    flags = json.loads((parts / "profile.json").read_text())["flags"]
    assert f"--corpus '{checkout}/" in flags
    (parts / "half.json").write_text('{"rows": [')

    again = "--dry", "--parts", "machine", "."
    running = start(*again, cwd=out, COMMIT="second", FAIL="machine")
    running.communicate(timeout=60)
    assert running.returncode == 1
    failed = {"machine": "failed (1)", "profile": "ok", "table": "failed (1)"}
    assert summary(out) == failed
    assert not (parts / "machine.json").exists()
    assert {"profile.json", "profile.trace"} <= packed(out)
    _, profile, _ = (
        line.split()[-1] for line in (out / "summary.txt").read_text().splitlines()[2:]
    )
    assert profile == "first"


@pytest.mark.everyday(part=("errors",))
@pytest.mark.parametrize("part", ["errors", "resume"])
def test_a_run_that_is_stopped_leaves_nothing_running(part, tmp_path):
    """Also of errors, which runs in a shell beside."""
    out = tmp_path / "out"
    mark = f"mark_{os.getpid()}_{part}"
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nsleep 300\n")
    sleeper.chmod(0o755)
    running = start("--dry", "--parts", part, out, PYTHON=str(sleeper), MARK=mark)

    def hangs():
        return any(mark in told for told in environments())

    wait_until(lambda: (out.parent / "out.parts" / f"{part}.out").exists(), running)
    assert hangs()
    running.terminate()
    running.communicate(timeout=20)
    assert running.returncode == 130
    assert not hangs()
    assert {path.name for path in out.iterdir()} == {"summary.txt"}


def environments():
    """Those of all processes that there are."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (process / "environ").read_text(errors="replace")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--parts", "speed", "out"), "expected of machine errors resume"),
        (("--parts",), "expected of machine errors resume"),
        (("--parts", "", "out"), "expected of machine errors resume"),
        (("--dry",), "usage: "),
        (("--wet", "out"), "usage: "),
    ],
)
def test_bad_words_are_told(words, message):
    running = start(*words)
    said, _ = running.communicate(timeout=60)
    assert (running.returncode, message in said) == (2, True)
