"""compare_cells.py: equal widths, equal numbers of parameters, a picture of both."""

import itertools
import json
import subprocess

import compare_cells
import pytest

from comparison import picture, report, runs


@pytest.mark.parametrize(
    ("cell", "gates", "extra"), [("rnn", 1, 0), ("gru", 3, 1), ("lstm", 4, 0)]
)
def test_the_widest_network_that_is_no_larger(cell, gates, extra):
    def size(hidden, vocabulary=7):
        of_cell = gates * hidden * (vocabulary + hidden + 1) + extra * hidden
        return of_cell + (hidden + 1) * vocabulary

    assert runs.size(cell, 7, 33) == size(33)
    for hidden in (1, 33):
        assert runs.widest(cell, 7, size(hidden)) == hidden
        assert runs.widest(cell, 7, size(hidden) - 1) == max(1, hidden - 1)


@pytest.mark.thorough
def test_cells_are_compared_and_runs_not_made_again(tmp_path, capsys, monkeypatch):
    class Popen(subprocess.Popen):
        """A run of three steps, however long they take here."""

        def __init__(self, command, **options):
            at = command.index("--minutes")
            steps = [*command[:at], "--steps", "3", *command[at + 2 :]]
            super().__init__(steps, **options)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(compare_cells, "FEW", 3)
    (tmp_path / "text").write_text("(a brown fox) [and {a lazy} dog]\n" * 100)
    command = ["--corpus", str(tmp_path / "text"), "--seeds", "4", "--hidden", "8"]
    command += ["--minutes", "0.5", "--out", str(tmp_path / "out")]
    assert compare_cells.main(command) == 0
    said = json.loads(capsys.readouterr().out)
    width, equal = (
        said["compared"]["text"][f"equal {what}"] for what in ("width", "parameters")
    )
    sizes = [width[cell]["parameters"] for cell in ("rnn", "gru", "lstm")]
    assert sizes == sorted(sizes)
    assert {width[cell]["hidden"] for cell in width} == {8}
    assert width["lstm"] == equal["lstm"]
    sizes = [equal[cell]["parameters"] for cell in ("lstm", "gru", "rnn")]
    assert 0.8 * sizes[0] < min(sizes) <= max(sizes) == sizes[0]
    assert (tmp_path / "out" / "compare-cells.png").stat().st_size > 10_000
    assert len(list(tmp_path.glob("out/*/result.json"))) == 5


def test_speeds_of_resumed_runs_are_left_out():
    def run(seed, speed, resumed):
        result = {
            "val_nats_per_char": 2.0 + seed,
            "chars_per_second": speed,
            "resumed_from_step": resumed,
            "parameters": 9,
            "epochs": 1.0,
            "steps": 500,
            "chars_per_second_of_steps": 500 - resumed,
            "compile_seconds": 2.0,
            "peak_memory_mb": speed,
        }
        return runs.Compared("width", "T", "gru", seed, 3, result)

    made = [run(0, 100, 0), run(1, 300, 0), run(2, 1, 77), run(1, None, 0)]
    found = report.summary(made)["T"]["equal width"]["gru"]
    assert found["nats_per_char"] == 3.0
    assert found["chars_per_second"] == 200
    assert found["chars_per_second_of_steps"] == 500
    assert (found["steps"], found["compile_seconds"]) == (500, 2.0)
    said = report.table(report.summary(made))
    assert "nats after 500 steps; 200 characters/s over 500 steps; compiling" in said
    found = report.summary(made[2:])["T"]["equal width"]["gru"]
    assert found["chars_per_second"] is None
    assert "speed not known" in report.table(report.summary(made[2:]))
    assert len(picture.draw(made).axes) == 2


def test_what_trained_too_little_is_not_compared(tmp_path, capsys, monkeypatch):
    trained = []

    def train(corpus, cell, *rest):
        trained.append(cell)
        return {"steps": 99, "corpus": "text"}

    monkeypatch.setattr(runs, "train", train)
    (tmp_path / "text").write_text("(a brown fox) [and {a lazy} dog]\n" * 100)
    command = ["--corpus", str(tmp_path / "text"), "--out", str(tmp_path / "out")]
    assert compare_cells.main([*command, "--minutes", "3"]) == 2
    said = capsys.readouterr().err
    assert "expected 100 steps or more of each cell, got 99 of lstm in 3 min" in said
    assert "give --minutes 6.1" in said
    assert len(trained) == 1
    assert not list(tmp_path.glob("out/*.png"))


def test_a_seed_that_is_there_twice_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "train", lambda *which: {"corpus": "text"})
    (tmp_path / "text").write_text("(a brown fox)\n" * 100)
    texts = (str(tmp_path / "text"),)
    of = {"seeds": (7, 7, 3, 7), "minutes": 1, "hidden": 8, "out": tmp_path}
    made = [one.seed for one in runs.compare(texts, **of)]
    assert sorted(made) == sorted([7, 3] * (len(made) // 2))
    assert made[0] == 7
    assert made == sorted(made, reverse=True)


def test_labels_do_not_overlap():
    """Of the axis, of panels, and of legends with dots."""

    def run(what, cell, seed, speed):
        result = {
            "val_nats_per_char": 1.4 + seed / 100,
            "chars_per_second": speed,
            "resumed_from_step": 0,
            "parameters": 712_345,
            "steps": 123_456,
            "peak_memory_mb": 1234.5,
        }
        return runs.Compared(what, "tinyshakespeare", cell, seed, 256, result)

    cells = {"lstm": 101_000, "gru": 184_538, "rnn": 1_025_304}
    made = [
        run(what, cell, seed, speed + 1000 * seed)
        for what in ("width", "parameters")
        for cell, speed in cells.items()
        for seed in range(3)
    ]
    figure = picture.draw(made)
    figure.draw_without_rendering()
    boxes = [axes.get_legend().get_window_extent() for axes in figure.axes]
    for axes in figure.axes:
        ticks = [
            label.get_window_extent()
            for label in axes.get_xticklabels()
            if label.get_text()
        ]
        assert len(ticks) > 2
        for one, two in itertools.pairwise(ticks):
            assert not one.overlaps(two)
        assert not axes.get_legend().get_window_extent().overlaps(axes.bbox)
    assert not boxes[0].overlaps(boxes[1])
    assert all(figure.bbox.x1 >= box.x1 and box.y0 >= 0 for box in boxes)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--minutes", "0"], "--minutes: expected a finite number above 0"),
        (["--corpus", "-"], "--corpus: expected what can be read again"),
        (["--corpus", "a/x.txt", "b/x"], "expected different names, got x twice"),
        (["--seeds"], "--seeds: expected at least one"),
        (["--corpus", "no-such-file"], "no-such-file"),
    ],
)
def test_what_cannot_be_compared(tmp_path, capsys, flags, said):
    assert compare_cells.main([*flags, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
