"""start.py: a run that trains nothing is not timed."""

import start


def test_a_run_that_trains_nothing_is_no_start(capsys):
    assert start.main(["--presets", "none"]) == 2
    assert "trained nothing: error: --preset" in capsys.readouterr().err
