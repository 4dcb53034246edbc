"""Cells that take all steps at once, in the scripts."""

import json

import char_gen
import look_inside
import pytest
import sample

TEXT = "the quick brown fox jumps over the lazy dog. (what a day!)\n" * 20
FLAGS = "--layers 2 --residual --hidden 8 --batch-size 8 --seq-len 8 --steps 12"


@pytest.mark.parametrize(
    ("cell", "backend"),
    [
        ("min_gru", "parallel"),
        ("min_lstm", "parallel"),
        ("para_gru", "newton"),
        ("para_lstm", "newton"),
    ],
)
@pytest.mark.everyday("backend")
def test_a_run_is_that_of_a_scan(tmp_path, capsys, cell, backend):
    (tmp_path / "fox.txt").write_text(TEXT)
    flags = ["--corpus", str(tmp_path / "fox.txt"), "--cell", cell, *FLAGS.split()]
    losses = []
    for way in backend, "scan":
        workdir = str(tmp_path / way)
        assert char_gen.main([*flags, "--backend", way, "--workdir", workdir]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        losses.append(result["val_nats_per_char"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert sample.main(["--workdir", workdir, "--length", "10"]) == 0
    assert look_inside.main(["--workdir", workdir]) == 0
