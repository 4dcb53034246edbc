"""commits.py: one checkout beside itself, from the flags to the last line."""

import json
from pathlib import Path

import commits
import pytest


@pytest.mark.thorough
def test_a_checkout_beside_itself(tmp_path, capsys):
    out, here = tmp_path / "same.json", Path(commits.__file__).parents[1]
    small = "--cells rnn min_gru --shapes 2x3x4 --programs forward symbols"
    flags = f"{small} --rounds 3 --seconds 0.001 --out {out}".split()
    assert commits.main([str(here), *flags]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out.splitlines()[-1])
    assert result == json.loads(out.read_text("utf-8"))
    assert [row["what"].split()[::5] for row in result["rows"]] == [
        ["rnn", "forward"],
        ["rnn", "symbols"],
        ["min_gru", "forward"],
        ["min_gru", "symbols"],
    ]
    for row in result["rows"]:
        assert len(row["rounds_ms"]) == 3
        assert row["ratio"] > 0
        assert row["what"] in printed.err
    assert "jax" in result["versions"]
