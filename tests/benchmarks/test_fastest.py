"""fastest.py: the rows that `auto` goes by, from what cells.py measured."""

import json

import fastest
import pytest

from jaxtext.evidence import Question, Row, ranked

BOTH = "forward", "forward_backward"
QUESTION = Question("gpu", "lstm", "bfloat16", False, 4, 1)


def measured(library, *milliseconds, spread=0.01, **more):
    work = {"cell": "lstm", "batch": 1, "time": 2, "input": 3, "hidden": 4}
    for direction, median in zip(BOTH, milliseconds, strict=True):
        about = {"library": library, "direction": direction, "dtype": "bfloat16"}
        times = {"median_ms": median, "p10_ms": median - spread}
        yield {**work, **about, **times, "p90_ms": median + spread, **more}


def result(*rows):
    hardware = {"device": "NVIDIA H200", "backend": "gpu"}
    return {"rows": [*rows], "ratios": {}, "hardware": hardware}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([("cudnn", 1.0, 3.0), ("fused", 1.5, 2.0)], ["fused", "cudnn"]),
        ([("cudnn", 2.5, 3.0)], ["scan"]),  # slower forward
        ([("cudnn", 1.985, 3.985)], ["scan"]),  # not by more than times vary
        ([("scan+graphs", 0.1, 0.2), ("auto", 0.1, 0.2)], ["scan"]),
    ],
)
def test_rows_have_what_beats_the_scan_both_ways(others, expected, tmp_path):
    rows = [*measured("jaxtext-scan", 2.0, 4.0), *measured("torch", 0.1, 0.1)]
    for name, *milliseconds in others:
        rows += measured(f"jaxtext-{name}", *milliseconds)
    rows += measured("jaxtext-scan", 3.0, 5.0, resets=True)
    lines = fastest.evidence(tmp_path / "speed.json", result(*rows))
    table = eval("".join(lines), {"Row": Row})
    assert [name for name, _ in ranked(QUESTION, table)] == expected
    with_resets = list(ranked(QUESTION._replace(resets=True), table))
    said = f"scan 5.00 ms with the gradient on NVIDIA H200 ({tmp_path / 'speed.json'})"
    assert with_resets == [("scan", said)]


def test_the_table_has_everybody(tmp_path, capsys):
    rows = [*measured("jaxtext-scan", 2.0, 4.0), *measured("torch", 0.1, 0.2)]
    (tmp_path / "speed.json").write_text(json.dumps(result(*rows)))
    (tmp_path / "sampling.json").write_text(json.dumps({"rows": [{"batch": 1}]}))
    assert fastest.main([str(tmp_path)]) == 0
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert head == "| cell, B x T x D x H | type | direction | jaxtext-scan | torch |"
    assert lines[:2] == [
        "| lstm 1x2x3x4 | bfloat16 | forward | 2.000 | 0.100 |",
        "| lstm 1x2x3x4 | bfloat16 | forward_backward | 4.000 | 0.200 |",
    ]
    assert lines[-1].startswith("Row('gpu', ('scan',), 'scan 4.00 ms")


def test_a_broken_file_costs_no_other(tmp_path, capsys):
    rows = [*measured("jaxtext-scan", 2.0, 4.0)]
    (tmp_path / "speed.json").write_text(json.dumps(result(*rows)))
    (tmp_path / "broken.json").write_text('{"rows": [')
    (tmp_path / "bytes.json").write_bytes(b"\xff")
    (tmp_path / "gone.json").symlink_to("nowhere")
    assert fastest.main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "| lstm 1x2x3x4 | bfloat16 | forward | 2.000 |" in said.out
    for name in "broken", "bytes", "gone":
        assert f"left out: {tmp_path / name}.json: " in said.err
