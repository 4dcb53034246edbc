"""kernel_errors.py, from flags to its last line."""

import json

import kernel_errors


def test_errors_are_those_of_the_type(capsys):
    flags = ["--backends", "fused", "--cells", "gru", "--draws", "1"]
    assert kernel_errors.main(flags) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    by_type = {row["dtype"]: row for row in rows}
    assert 0 < by_type["float64"]["gradients"] < 1e-12
    assert 1e-9 < by_type["float32"]["values"] < 1e-5
    assert 1e-4 < by_type["bfloat16"]["values"] < 0.1
