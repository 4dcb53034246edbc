"""Every script, where its streams are closed, full, read no more or not there."""

import contextlib
import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import char_gen
import compare_cells
import compile_tpu
import evaluate
import gradient_reach
import look_inside
import memory
import pytest
import sample

from comparison import runs

FOX = "the quick brown fox jumps over the lazy dog. (what a day!)\n"
SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--eval-every", "10"]


class Failing(io.TextIOBase):
    """A stream that fails from the first word on, or at a later one."""

    encoding = "utf-8"

    def __init__(self, error, good=0):
        self._error, self.left = error, good
        self.said = ""

    def write(self, text):
        if self.left <= 0:
            raise self._error
        self.left -= 1
        self.said += text if isinstance(text, str) else text.decode()
        return len(text)

    @property
    def buffer(self):
        return self


ERRORS = {
    "closed": ValueError("I/O operation on closed file."),
    "full": OSError(errno.ENOSPC, "No space left on device"),
    "unread": BrokenPipeError(errno.EPIPE, "Broken pipe"),
}
WAYS = [*ERRORS, "none"]


def stream(way, good=0):
    return None if way == "none" else Failing(ERRORS[way], good)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run to write from and to look into."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "fox").write_text(FOX * 60)
    argv = ["--corpus", str(folder / "fox"), "--workdir", str(folder / "run"), *SMALL]
    assert char_gen.main([*argv, "--steps", "3", "--sample-every", "0"]) == 0
    return folder


def spoken(result):
    """Work that says something and shows a bar, in place of what takes long."""

    def work(config, *rest):
        display = rest[-1]
        display.start("working", total=2)
        display.advance(1, note="half")
        display.say("a line")
        display.stop()
        return result

    return work


@pytest.fixture
def scripts(run, monkeypatch, tmp_path):
    """What each script is called with; what takes long is put in place of."""
    of = ["--workdir", str(run / "run")]
    monkeypatch.setattr(gradient_reach, "look", spoken({"norms": {}}))
    monkeypatch.setattr(compile_tpu, "compile_and_tell", spoken({"fits": True}))
    monkeypatch.setattr(memory, "make_all", lambda *args: spoken({})(*args))
    monkeypatch.setattr(memory, "runs", lambda config: iter(()))
    monkeypatch.setattr(memory, "draw", lambda lines, out: [])
    result = {"val_nats_per_char": 1.0, "chars_per_second": 1.0, "corpus": "fox"}
    result |= {
        "resumed_from_step": 0,
        "parameters": 9,
        "epochs": 1,
        "peak_memory_mb": 1,
        "steps": 100,
        "chars_per_second_of_steps": 100,
        "compile_seconds": 1.0,
    }
    one = runs.Compared("width", "fox", "gru", 0, 8, result)
    monkeypatch.setattr(runs, "compare", lambda *args, **options: iter([one]))
    corpus = ["--corpus", str(run / "fox")]
    new = ["--workdir", str(tmp_path / "run"), "--steps", "3", "--sample-every", "2"]
    return {
        "char_gen": (char_gen, [*corpus, *new, *SMALL, "--val-fraction", "0"]),
        "sample": (sample, [*of, "--length", "20"]),
        "evaluate": (evaluate, [*of, *corpus]),
        "look_inside": (look_inside, [*of, *corpus]),
        "memory": (memory, ["--out", str(tmp_path)]),
        "gradient_reach": (gradient_reach, ["--out", str(tmp_path)]),
        "compare_cells": (compare_cells, ["--out", str(tmp_path)]),
        "compile_tpu": (compile_tpu, []),
    }


NAMES = [
    *("char_gen", "sample", "evaluate", "look_inside", "memory", "gradient_reach"),
    *("compare_cells", "compile_tpu"),
]
KEPT = ("char_gen", "memory")  # what came of it lies in files


@pytest.mark.everyday(name=("char_gen", "sample", "memory"))
@pytest.mark.parametrize("name", NAMES)
def test_no_way_of_being_unwritable_costs_the_work(name, scripts, monkeypatch):
    script, argv = scripts[name]
    monkeypatch.setattr(sys, "stdout", written := Failing(ERRORS["full"], good=10**9))
    for way in WAYS:
        for good in (0, 3):  # at once, or on the way
            monkeypatch.setattr(sys, "stderr", stream(way, good))
            assert script.main(argv) == 0, (way, good)
    assert written.said.strip()
    for way in WAYS:
        monkeypatch.setattr(sys, "stdout", stream(way))
        monkeypatch.setattr(sys, "stderr", said := Failing(ERRORS["full"], good=10**9))
        wanted = way == "full" and name not in KEPT
        assert script.main(argv) == (2 if wanted else 0), way
        told = [x for x in said.said.splitlines() if "standard output cannot" in x]
        assert len(told) == (way == "full"), way
        assert all(x.startswith("error: " if wanted else "note: ") for x in told)
        assert "Traceback" not in said.said
        monkeypatch.setattr(sys, "stderr", stream(way))
        assert script.main(argv) == (2 if wanted else 0), way


@pytest.mark.parametrize("name", NAMES)
def test_help_may_be_cut_off(name, scripts, monkeypatch):
    script, _ = scripts[name]
    for way in WAYS:
        monkeypatch.setattr(sys, "stdout", stream(way))
        with contextlib.suppress(SystemExit):
            assert script.main(["--help"]) == (2 if way == "full" else 0)
    for way in WAYS:
        monkeypatch.setattr(sys, "stderr", stream(way))
        assert script.main(["--no-such-flag"]) == 2


def test_a_script_is_wrapped():
    """Each script, and each benchmark with a main function, has the one rule."""
    root = Path(char_gen.__file__).parents[1]
    paths = [*root.glob("experiments/*.py"), *root.glob("benchmarks/*.py")]
    texts = {path: path.read_text("utf-8") for path in paths}
    mains = {path for path, text in texts.items() if "\ndef main(argv" in text}
    wrapped = {path for path in mains if "@script\ndef main(" in texts[path]}
    assert mains == wrapped >= {root / "experiments" / f"{name}.py" for name in NAMES}


@pytest.mark.everyday("terminal")
@pytest.mark.parametrize(
    ("good", "terminal"), [(5, False), (16, False), (0, True), (16, True)]
)
def test_a_run_that_loses_its_reader_on_the_way(
    good, terminal, run, tmp_path, monkeypatch, capsys
):
    """While it reads, compiles, trains with a bar that moves, or samples."""
    monkeypatch.setattr(sys, "stderr", reader := Failing(ERRORS["unread"], good))
    monkeypatch.setattr(reader, "isatty", lambda: terminal)
    argv = ["--corpus", str(run / "fox"), "--workdir", str(tmp_path), *SMALL]
    assert char_gen.main([*argv, "--steps", "12", "--sample-every", "4"]) == 0
    assert reader.left == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 12


def test_a_run_whose_streams_are_closed_at_exec(run, tmp_path, capsys):
    """Nothing but its own is written into the files that it opens."""
    words = ["--corpus", str(run / "fox"), "--workdir", str(tmp_path / "run"), *SMALL]
    command = [sys.executable, char_gen.__file__, *words, "--steps", "12"]
    shell = 'exec "$@" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", shell, "sh", *command]).returncode == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 12
    records = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert all("step" in json.loads(record) for record in records)
    assert sample.main(["--workdir", str(tmp_path / "run"), "--length", "9"]) == 0
    assert "warning" not in capsys.readouterr().err  # as its manifest says


def test_a_run_that_nobody_listens_to_any_more(run, tmp_path):
    """As under ``2>&1 | head -1``, to the exit status of the interpreter itself."""
    words = ["--corpus", str(run / "fox"), "--workdir", str(tmp_path / "run"), *SMALL]
    with subprocess.Popen(
        [sys.executable, char_gen.__file__, *words, "--steps", "12"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"corpus fox")
        process.stdout.close()
        assert process.wait(120) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 12
