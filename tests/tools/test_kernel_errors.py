"""kernel_errors.py, from flags to its last line."""

import json

import kernel_errors
import numpy as np
import pytest


@pytest.mark.thorough
def test_errors_are_those_of_the_type(capsys):
    flags = ["--backends", "fused", "--cells", "gru", "--draws", "1"]
    assert kernel_errors.main(flags) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    by_type = {row["dtype"]: row for row in rows}
    assert 0 < by_type["float64"]["gradients"] < 1e-12
    assert 1e-9 < by_type["float32"]["values"] < 1e-5
    assert 1e-4 < by_type["bfloat16"]["values"] < 0.1


def test_sizes_take_turns_with_masks_and_what_is_lacking_is_told(capsys):
    flags = ["--backends", "fused", "cudnn", "--cells", "gru", "--dtypes", "float32"]
    flags += ["--draws", "0", "--shapes", "2x3x4", "2x4x3", "2x2x3"]
    assert kernel_errors.main([*flags, "--masks", "all", "none"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(r["backend"], r["compared"]) for r in result["rows"]] == [("fused", 3)]
    with_masks = ", lengths and resets"
    assert result["left_out"] == [
        f"cudnn (gru float32 {sizes}): the cell has no backend 'cudnn'"
        for sizes in (f"2x3x4x4{with_masks}", "2x4x3x3", f"2x2x3x3{with_masks}")
    ]


def test_no_numbers_are_no_errors(monkeypatch):
    def outcome(cell, arrays, backend, **masks):
        number = np.nan if backend == "fused" else 1.0
        return np.full(3, number), np.ones(2)

    monkeypatch.setattr(kernel_errors, "outcome", outcome)
    flags = ["--backends", "fused", "--cells", "gru", "--dtypes", "float32"]
    with pytest.raises(ArithmeticError, match="fused computes no numbers"):
        kernel_errors.main([*flags, "--draws", "1"])
