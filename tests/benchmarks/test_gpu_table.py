"""gpu_table.py: the fastest backend that `auto` could choose."""

import json

import gpu_table


def row(library, milliseconds, direction="forward", **more):
    work = {"cell": "lstm", "batch": 1, "time": 2, "input": 3, "hidden": 4}
    about = {"library": library, "direction": direction, "dtype": "bfloat16"}
    return {**work, **about, "median_ms": milliseconds, **more}


def test_the_fastest_backend(tmp_path, capsys):
    rows = [
        row("jaxtext-scan", 2.0),
        row("jaxtext-scan+graphs", 0.5),
        row("jaxtext-cudnn", 1.0),
        row("torch", 0.1),
        row("jaxtext-scan", 3.0, resets=True),
    ]
    (tmp_path / "speed.json").write_text(json.dumps({"rows": rows}))
    (tmp_path / "sampling.json").write_text(json.dumps({"rows": [{"batch": 1}]}))
    (tmp_path / "machine.json").write_text(json.dumps({"versions": {}}))
    assert gpu_table.main([str(tmp_path)]) == 0
    head, _, first, second = capsys.readouterr().out.splitlines()
    assert head.startswith("| cell, B x T x D x H | type | direction | jaxtext-scan | ")
    numbers = "2.000 | 0.500 | 1.000 | 0.100"
    assert first == f"| lstm 1x2x3x4 | bfloat16 | forward | {numbers} | cudnn |"
    assert second.startswith(
        "| lstm 1x2x3x4 with resets | bfloat16 | forward | 3.000 |"
    )
    assert second.endswith("| scan |")
