"""compare_cells.py: equal widths, equal numbers of parameters, a picture of both."""

import json

import compare_cells
import pytest


@pytest.mark.parametrize(
    ("cell", "gates", "extra"), [("rnn", 1, 0), ("gru", 3, 1), ("lstm", 4, 0)]
)
def test_the_widest_network_that_is_no_larger(cell, gates, extra):
    def size(hidden, vocabulary=7):
        of_cell = gates * hidden * (vocabulary + hidden + 1) + extra * hidden
        return of_cell + (hidden + 1) * vocabulary

    assert compare_cells.size(cell, 7, 33) == size(33)
    for hidden in (1, 33):
        assert compare_cells.widest(cell, 7, size(hidden)) == hidden
        assert compare_cells.widest(cell, 7, size(hidden) - 1) == max(1, hidden - 1)


def test_cells_are_compared_and_runs_not_made_again(tmp_path, capsys):
    (tmp_path / "text").write_text("(a brown fox) [and {a lazy} dog]\n" * 100)
    command = ["--corpus", str(tmp_path / "text"), "--seeds", "4", "--hidden", "8"]
    command += ["--minutes", "0.03", "--out", str(tmp_path / "out")]
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
            "peak_memory_mb": speed,
        }
        return compare_cells.Compared("width", "T", "gru", seed, 3, result)

    runs = [run(0, 100, 0), run(1, 300, 0), run(2, 1, 77)]
    found = compare_cells.summary(runs)["T"]["equal width"]["gru"]
    assert found["nats_per_char"] == 3.0
    assert found["chars_per_second"] == 200
    found = compare_cells.summary(runs[2:])["T"]["equal width"]["gru"]
    assert found["chars_per_second"] is None
    assert len(compare_cells.draw(runs).axes) == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--minutes", "0"], "--minutes: expected more than 0, got 0"),
        (["--corpus", "-"], "--corpus: expected what can be read again"),
        (["--corpus", "a/x.txt", "b/x"], "expected different names, got x twice"),
        (["--seeds"], "--seeds: expected at least one"),
        (["--corpus", "no-such-file"], "no-such-file"),
    ],
)
def test_what_cannot_be_compared(tmp_path, capsys, flags, said):
    assert compare_cells.main([*flags, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
