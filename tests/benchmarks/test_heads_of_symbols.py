"""heads.py: from its flags to its last line."""

import json

import heads


def test_from_flags_to_last_line(capsys):
    flags = "--hidden 6 --heads 3 --batch 2 --time 4 --symbols 5 --seconds 0.01"
    assert heads.main(flags.split()) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out.splitlines()[-1])["rows"]
    assert [(row["cell"], row["heads"]) for row in rows] == [
        *(("lstm", 1), ("lstm", 3), ("gru", 1), ("gru", 3)),
    ]
    one, several, *_ = (row["median_ms"] for row in rows)
    assert f"| lstm | {one:.0f} | {several:.0f} | {one / several:.2f} |" in captured.err
    assert "3 heads, ms" in captured.err
