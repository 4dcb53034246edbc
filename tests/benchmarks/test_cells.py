"""cells.py: a small run from the flags to the last line, and its parts."""

import json
import os

import cells
import pytest
from contest import report
from measuring import timing
from measuring.workload import Workload, of_row, parse_shape

from jaxtext.errors import InputError

SMALL = [
    *("--shapes", "2x3x5x4", "--seconds", "0.01", "--visit-seconds", "0.001"),
    *("--cells", "lstm", "--backends", "scan,none", "--libraries", "haiku,textbook"),
]


def test_a_run_from_flags_to_last_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "haiku.py").write_text("raise ImportError('there is no haiku')")
    monkeypatch.syspath_prepend(tmp_path)  # which the workers inherit
    out = tmp_path / "results" / "here.json"
    assert cells.main([*SMALL, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    assert result["left_out"] == [
        "jaxtext-none (lstm): jt.lstm has no backend 'none'",
        "haiku (lstm): there is no haiku",
    ]
    assert all(note in captured.err for note in result["left_out"])
    assert result["hardware"].keys() >= {"cpu", "cores", "memory_gib", "device"}
    assert result["xla_flags"] == os.environ["XLA_FLAGS"].strip()
    assert result["versions"].keys() >= {"python", "jaxtext", "jax", "jaxlib", "flax"}

    rows = result["rows"]
    assert [(row["library"], row["direction"]) for row in rows] == [
        (library, direction)
        for library in ("jaxtext-scan", "textbook")
        for direction in ("forward", "forward_backward")
    ]
    for row in rows:
        assert of_row(row) == Workload("lstm", 2, 3, 5, 4, "float32")
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["repetitions"] >= timing.LEAST_ROUNDS
        assert row["compile_ms"] > 0
        assert row["peak_mb"] > 0
        flops = 2 * 2 * 3 * (5 + 4) * 16
        flops *= 3 if row["direction"] == "forward_backward" else 1
        rate = flops / (1e-3 * row["median_ms"])
        expected = rate / (1e9 * result["matmul_gflops"])
        assert row["fraction_of_matmul"] == pytest.approx(expected)

    medians = [row["median_ms"] for row in rows]
    for direction, ours, theirs in (
        ("forward", medians[0], medians[2]),
        ("forward_backward", medians[1], medians[3]),
    ):
        ratio = pytest.approx(theirs / ours)
        assert result["ratios"][direction] == {
            "vs_best_jax": {"geomean": ratio, "per_shape": {"lstm 2x3x5x4": ratio}},
            "vs_torch": {"geomean": None, "per_shape": {}},
        }

    assert json.loads(out.read_text()) == result
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_file_is_added_to(tmp_path):
    works = [Workload("lstm", 1, 2, 3, hidden, "float32") for hidden in (4, 5)]
    rows = [work._asdict() for work in works]
    path = tmp_path / "rows.json"
    here = {"versions": {"jax": "1"}, "hardware": {"cores": 2}}
    assert report.earlier(path, here, works) == ([], [])
    path.write_text(json.dumps({"rows": rows, "left_out": ["keras"], **here}))
    assert report.earlier(path, here, works[:1]) == (rows[1:], ["keras"])
    with pytest.raises(InputError, match="measured with other hardware"):
        report.earlier(path, here | {"hardware": {"cores": 3}}, works)
    report.earlier(path, here | {"xla_flags": ""}, works)  # as before they were noted
    with pytest.raises(InputError, match="measured with other xla_flags"):
        report.earlier(path, here | {"xla_flags": "--xla_dump_to=x"}, works)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--cells", "lstm,ltsm"), "expected of rnn, lstm, gru, layer_norm_rnn"),
        (("--libraries", "Keras"), "got 'Keras'"),
        (("--shapes", "1x2"), "expected BxTxH or BxTxDxH, got '1x2'"),
        (("--shapes", "1x0x2"), "expected BxTxH or BxTxDxH, got '1x0x2'"),
        (("--rounds", 0), "expected > 0"),
    ],
)
def test_bad_flags_are_told(args, message, capsys):
    assert cells.main([str(a) for a in args]) == 2
    assert message in capsys.readouterr().err


def test_shapes():
    assert parse_shape("16x128x256") == (16, 128, 256, 256)
    assert parse_shape("16x128x65x256") == (16, 128, 65, 256)


def test_flops_of_products():
    # A batch of one, one step: [1, 2] @ [2, G·3] and [1, 3] @ [3, G·3].
    for cell, gates in (("rnn", 1), ("gru", 3), ("lstm", 4)):
        work = Workload(cell, 1, 1, 2, 3, "float32")
        assert work.flops("forward") == 2 * (2 * 3 + 3 * 3) * gates
        assert work.flops("forward_backward") == 3 * work.flops("forward")
    # Three heads, each [1, 2] @ [2, G·2].
    work = Workload("lstm", 1, 1, 5, 6, "float32", heads=3)
    assert work.flops("forward") == 2 * (5 * 4 * 6 + 3 * (2 * 4 * 2))


def test_a_visit_repeats_what_is_quick(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: 1e-3 * next(clock))
    assert timing.visit(lambda: None, 5e-3) == pytest.approx([1.0] * 5)
    assert timing.visit(lambda: None, 0.5e-3) == pytest.approx([1.0])


def test_rounds_visit_everybody_in_changing_order(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(timing.time, "monotonic", lambda: next(clock))
    visited = []

    def visits(name):
        return lambda: visited.append(name) or [float(len(visited))]

    names = "abcdef"
    times = timing.interleave({n: visits(n) for n in names}, rounds=20, seconds=1e9)
    rounds = [tuple(visited[k : k + 6]) for k in range(0, 120, 6)]
    assert all(sorted(r) == list(names) for r in rounds)
    assert len(set(rounds)) > 15
    assert times["a"] == [k + 1 for k, name in enumerate(visited) if name == "a"]
    in_a_hurry = timing.interleave({"a": visits("a")}, rounds=20, seconds=1)
    assert len(in_a_hurry["a"]) == timing.LEAST_ROUNDS


def test_each_program_runs_once_before_it_is_timed():
    calls = []
    programs = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = timing.in_turns(programs, visit_seconds=0, seconds=0, rounds=3)
    assert calls[:2] == ["a", "b"]
    assert sorted(calls[2:]) == 3 * ["a"] + 3 * ["b"]
    assert all(found["p10_ms"] <= found["median_ms"] for found in times.values())


def test_ours_is_auto_and_the_best_peer_changes():
    def row(library, hidden, milliseconds):
        work = Workload("gru", 1, 2, 3, hidden, "float32")
        about = {"library": library, "direction": "forward", **work._asdict()}
        return about | {"median_ms": milliseconds}

    rows = [
        *(row("jaxtext-scan", 4, 1), row("jaxtext-auto", 4, 2), row("torch", 4, 1)),
        *(row("keras", 4, 6), row("haiku", 4, 8), row("keras", 5, 3)),
        *(row("jaxtext-auto", 5, 1), row("haiku", 5, 2)),
    ]
    versus = report.ratios(rows)["forward"]
    assert versus["vs_best_jax"]["per_shape"] == {"gru 1x2x3x4": 3, "gru 1x2x3x5": 2}
    assert versus["vs_best_jax"]["geomean"] == pytest.approx(6**0.5)
    assert versus["vs_torch"]["per_shape"] == {"gru 1x2x3x4": 0.5}
