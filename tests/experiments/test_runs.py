"""runs.py: which runs there are, what has become of them, and what differs."""

import json
import os
from pathlib import Path

import char_gen
import numpy as np
import pytest
import runs
from matplotlib.figure import Figure

from charlm.curve import TRAINING, VALIDATION
from charlm.skips import Skips
from jaxtext.locks import lock
from overview.picture import draw
from overview.seen import Seen
from overview.table import table

SMALL = [
    *("--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--eval-every", "10"),
    *("--sample-every", "0", "--steps", "30"),
]


def contents(folder):
    """Every file below a directory, its bytes and when it was changed."""
    return {
        path: (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two finished runs, at different depths."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    for name, rate in (("a", "0.01"), ("deep/down/b", "0.02")):
        of = ["--corpus", str(folder / "fox"), "--workdir", str(folder / name), *SMALL]
        assert char_gen.main([*of, "--learning-rate", rate]) == 0
    return folder


@pytest.fixture
def asked(capsys):
    def ask(*words):
        capsys.readouterr()
        status = runs.main([*map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return ask


def test_runs_are_found_and_told_as_they_are(trained, asked):
    before = contents(trained)
    status, out, err = asked(trained, "--json")
    assert (status, err) == (0, "")
    assert contents(trained) == before
    found = json.loads(out)
    assert found["differing"] == ["learning_rate"]
    by_name = {os.path.basename(run["place"]): run for run in found["runs"]}
    assert by_name.keys() == {"a", "b"}
    for name, run in by_name.items():
        workdir = trained / {"a": "a", "b": "deep/down/b"}[name]
        result = json.loads((workdir / "result.json").read_text())
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        best = min((x[VALIDATION], x["step"]) for x in records if VALIDATION in x)
        last = [x for x in records if TRAINING in x][-1]
        assert (run["state"], run["step"], run["seconds"]) == (
            *("finished", 30, result["seconds"]),
        )
        assert (run["best"], run["best_step"]) == best
        assert (run["loss"], run["speed"]) == (last["loss"], last["chars_per_second"])
        assert run["settings"]["learning_rate"] == result["learning_rate"]
        assert run["settings"]["seed"] == 0
    losses = [run["best"] for run in found["runs"]]
    assert losses == sorted(losses)


def test_states(trained, asked, tmp_path, monkeypatch):
    run = tmp_path / "run"
    of = ["--corpus", str(trained / "fox"), "--workdir", str(run), *SMALL]

    def state():
        _, out, _ = asked(tmp_path, "--json")
        (found,) = json.loads(out)["runs"]
        return found["state"], found["step"]

    assert char_gen.main([*of, "--steps", "10"]) == 0
    assert state() == ("finished", 10)
    with lock(run / ".lock"):  # as a run in another process has it
        assert state() == ("running", 10)
    with monkeypatch.context() as patch:
        patch.setattr(Skips, "are_too_many", lambda self: self._run.progress.step > 24)
        assert char_gen.main([*of, "--max-rollbacks", "0"]) == 3
    assert state() == ("diverged", 25)
    assert char_gen.main([*of, "--steps", "20"]) == 0
    assert state() == ("finished", 20)
    (run / "result.json").unlink()
    assert state() == ("stopped", 20)


def test_what_is_damaged_or_empty_is_told(trained, asked, tmp_path):
    for name in ("whole", "config", "log", "result", "flags", "all"):
        (tmp_path / name).mkdir()
        for file in (trained / "a").glob("*.json*"):
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config/config.json").write_text("{")
    (tmp_path / "flags/flags.json").write_bytes(bytes(100))
    (tmp_path / "result/result.json").write_text("[1]")
    (tmp_path / "log/metrics.jsonl").write_bytes(b"\0\xff\n" * 9)
    for file in (tmp_path / "all").iterdir():
        file.write_text("nonsense")
    (tmp_path / "empty").mkdir()
    before = contents(tmp_path)
    status, out, err = asked(tmp_path, tmp_path / "empty", "--sort", "name")
    assert status == 0
    assert contents(tmp_path) == before
    rows = [line.split() for line in out.splitlines()[1:]]
    assert {os.path.basename(row[0]): row[1] for row in rows} == {
        "all": "damaged",
        "config": "finished",
        "flags": "finished",
        "log": "finished",
        "result": "stopped",
        "whole": "finished",
    }
    assert f"there is no run in {tmp_path / 'empty'}, nor below it" in err
    assert f"{tmp_path / 'config' / 'config.json'} is not the JSON of a run" in err
    assert f"{tmp_path / 'flags' / 'flags.json'} is damaged, and is ignored" in err
    assert asked(tmp_path / "empty")[:2] == (0, "")
    assert asked(tmp_path / "nowhere")[0] == 2


def made(count, **settings):
    """Runs with long names, of which each differs in its rate, cell and seed."""
    found = []
    for k in range(count):
        name = f"runs/of/a/sweep/with-a-long-name-{k:03}"
        run = Seen(Path(name), "running", step=1000 * k)
        run.best, run.best_step, run.loss = 2.0 - k / 100, 10 * k, 1.5
        run.speed, run.seconds = 20_000.0, 90.0
        run.settings = {
            "learning_rate": 0.001 * (1 + k // 4),
            "cell": ("lstm", "gru")[k // 2 % 2],
            "seed": k % 2,
            **settings,
        }
        run.curves = {
            TRAINING: [(x, 3 / (1 + x + k)) for x in range(1, 20)],
            VALIDATION: [(x, 4 / (1 + x + k)) for x in range(1, 20, 3)],
        }
        found.append(run)
    return found


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_a_table_fits_into_the_terminal(width):
    found = made(8, corpus=("a text with a name",))
    lines = table(found, width).splitlines()
    assert max(map(len, lines)) <= max(width, 55)
    for k, run in enumerate(found):
        (at,) = [n for n, line in enumerate(lines) if f"-{k:03} " in line]
        row = " ".join(lines[at : at + 4])
        for told in ("running", run.settings["cell"], f"{run.best:.4f}"):
            assert told in row
    assert max(map(len, table(found).splitlines())) > 100


@pytest.mark.parametrize(("count", "names"), [(1, 1), (8, 4), (40, 11)])
def test_a_picture_has_a_colour_for_each_setting_and_a_name(count, names):
    figure = draw(made(count))
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    curves = [line for line in axes.lines if line.get_linewidth() > 0.7]
    shown = [line for line in curves if np.size(line.get_xdata())]
    assert len(shown) == count
    colours = {str(line.get_color()) for line in shown}
    assert len(colours) == min(names, -(-count // 2))
    (legend,) = figure.legends
    assert len(legend.get_texts()) == names
    assert "seed" not in legend.get_title().get_text()
    if count > 1:
        assert legend.get_title().get_text() == "cell, learning-rate; best first"
        best = legend.get_texts()[0].get_text()
        assert best == ("gru, 0.002 (2 runs)" if count == 8 else "gru, 0.01 (2 runs)")


def test_a_picture_is_written(trained, asked, tmp_path):
    picture = tmp_path / "curves.png"
    status, _, err = asked(trained, "--picture", picture)
    assert (status, err) == (0, f"picture: {picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert asked(trained, "--picture", tmp_path / "no" / "x.png")[0] == 2


@pytest.mark.parametrize("by", ["best", "loss", "step", "speed", "time", "state"])
def test_orders(by):
    known, unknown = made(5), Seen(Path("x"))
    found = sorted([unknown, *known], key=runs._order(by))
    if by == "step":
        assert [run.step for run in found] == [4000, 3000, 2000, 1000, 0, 0]
    else:
        assert found[-1] is unknown
    if by == "best":
        assert found[0] is known[-1]


def test_losses_that_are_not_finite_are_drawn_around():
    curves = {TRAINING: [(1, float("inf")), (2, 1.5)], VALIDATION: [(2, float("nan"))]}
    low, high = draw([Seen(Path("a"), curves=curves)]).axes[0].get_ylim()
    assert low < 1.5 < high


def test_a_run_is_listed_once_however_it_is_named(trained, asked, monkeypatch):
    monkeypatch.chdir(trained.parent)
    once = asked(trained.name, "--json")
    assert asked(trained.name, trained, "--json") == once
