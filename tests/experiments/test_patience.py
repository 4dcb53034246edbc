"""A run that overfits says so, and ends where it is told to have no more patience."""

import json
import os
import signal

import char_gen
import pytest

from charlm import validation
from charlm.run import Run

SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--sample-every", "0"]
# The schedule does not depend on how many steps there will be.
SMALL += ["--eval-every", "10", "--schedule", "constant", "--warmup-steps", "0"]
OVERFITS = {10: 3.0, 20: 2.5, 30: 2.6, 40: 2.7, 50: 2.8, 60: 2.9, 70: 3.0, 80: 3.1}


@pytest.fixture
def gen(tmp_path, capsys, monkeypatch):
    """Runs the script, whose validations find what is given, by step."""
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 20)

    def gen(*words, found=OVERFITS, workdir="run"):
        monkeypatch.setattr(
            Run, "evaluate", lambda run, params, ids: found[run.progress.step]
        )
        of = ["--corpus", tmp_path / "fox", "--workdir", tmp_path / workdir]
        status = char_gen.main(list(map(str, [*of, *SMALL, *words])))
        captured = capsys.readouterr()
        result = json.loads(captured.out) if captured.out else None
        return status, result, captured.err

    return gen


def test_patience_ends_a_run_that_becomes_no_better(gen, tmp_path):
    status, result, said = gen("--steps", 80, "--patience", 3)
    assert status == 0
    assert (result["steps"], result["best_step"]) == (50, 20)
    assert (result["ended_by"], result["patience"]) == ("patience", 3)
    assert result["val_nats_per_char"] == 2.5
    assert "stopped at step 50: no validation since step 20 was better" in said
    assert "ended by --patience 3" in said
    assert "at step 20, whose parameters sample.py uses" in said
    assert json.loads((tmp_path / "run/result.json").read_text()) == result
    # The same command has nothing left to do, another one has.
    for more in (["--patience", 3], ["--patience", 2], []):
        status, again, said = gen("--steps", 80, *more)
        assert (status, again["steps"], again["resumed_from_step"]) == (0, 50, 0)
        assert "this run is finished" in said
    status, more, _ = gen("--steps", 80, "--patience", 4)
    assert (status, more["steps"], more["resumed_from_step"]) == (0, 60, 50)
    assert more["patience"] == 4
    status, end, said = gen("--steps", 80, "--no-patience")
    assert (status, end["steps"], end["ended_by"]) == (0, 80, "steps")
    assert (end["patience"], end["best_step"]) == (None, 20)


@pytest.mark.parametrize("stop", [25, 40, 49])
def test_the_count_is_kept_when_a_run_is_stopped(gen, monkeypatch, stop):
    words = ("--steps", 80, "--patience", 3)
    whole = gen(*words, workdir="whole")[1]
    run_steps = char_gen.run_steps

    def interrupted(*args):
        for progress in run_steps(*args):
            if progress.step == stop:
                os.kill(os.getpid(), signal.SIGTERM)
            yield progress

    with monkeypatch.context() as patch:
        patch.setattr(char_gen, "run_steps", interrupted)
        assert gen(*words)[0] == 128 + signal.SIGTERM
    parts = gen(*words)[1]
    assert parts["resumed_from_step"] == stop
    assert (parts["steps"], parts["ended_by"]) == (50, "patience")
    assert parts["parameters_sha256"] == whole["parameters_sha256"]


def test_a_run_that_improves_is_not_ended(gen):
    found = {10: 3.0, 20: 3.1, 30: 2.9, 40: 3.0, 50: 2.8, 60: 2.7}
    _, result, said = gen("--steps", 60, "--patience", 2, found=found)
    assert (result["steps"], result["ended_by"]) == (60, "steps")
    assert "overfits" not in said


def test_overfitting_is_told_once_with_what_to_try(gen):
    status, _, said = gen("--steps", 80)
    assert status == 0
    [told] = [line for line in said.splitlines() if "overfits" in line]
    assert "best at step 20, with 2.5000 nats per character, now 2.8000" in told
    for flag in ("--dropout", "--weight-drop", "--hidden", "--preset small"):
        assert flag in told
    assert "--patience 3 stops such a run" in told
    _, _, said = gen("--steps", 80, workdir="other", found=dict.fromkeys(OVERFITS, 2.5))
    assert "overfits" not in said  # it only stands still


def test_overfitting_is_not_told_again_by_the_next_process(gen):
    assert "overfits" in gen("--steps", 60)[2]
    assert "overfits" not in gen("--steps", 80)[2]


def test_process_0_says_whether_a_validation_was_better(gen, monkeypatch):
    """Elsewhere the loss may round in another way."""
    found = iter([False, True] + [False, False] * 3)  # not finite? better? worse?
    monkeypatch.setattr(validation, "of_first", lambda own: next(found))
    status, result, _ = gen("--steps", 20, "--patience", 1, found={10: 2.5, 20: 2.4})
    assert (status, result["ended_by"]) == (0, "steps")
    assert result["best_step"] == 10
