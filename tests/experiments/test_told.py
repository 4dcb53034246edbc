"""What char_gen.py says of a run is true: its budget, its losses, its samples."""

import json
import os
import re
import signal
import types

import char_gen
import jax
import numpy as np
import pytest

from charlm import samples as char_samples
from charlm import training
from charlm.plan import Plan
from charlm.progress import PassLoss
from charlm.run import Run
from charlm.training import Training
from common import screen as watch

SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--eval-every", "10"]


@pytest.fixture
def gen(tmp_path, capsys):
    """Runs the script on a short text; returns exit status, result and what it said."""
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 20)

    def run(*words, clock=char_gen.since_start):
        of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run")]
        status = char_gen.main([*of, *SMALL, *map(str, words)], clock)
        captured = capsys.readouterr()
        result = json.loads(captured.out) if captured.out else None
        return status, result, captured.err

    return run


class Clock:
    """Each reading is so many seconds after the one before."""

    def __init__(self, tick):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


NEVER = ("--sample-every", 0)
BATCHES = 12  # in a pass over this text


def test_a_pass_begins_at_zero():
    assert PassLoss().mean is None
    first = PassLoss().add(3.0, 0).add(2.0, 0)
    assert (first.mean, first.add(1.0, 1)) == (2.5, PassLoss(1, 1.0, 1))


@pytest.mark.parametrize("steps", [1, 9, 12, 19, 30])
def test_the_training_loss_is_the_mean_of_the_last_pass(steps, gen, monkeypatch):
    """Whatever lies between two records of the log."""
    seen = {}
    take_in = Training.take_in

    def spy(self, arrived):
        seen.update({step: metrics.loss for step, metrics in arrived})
        take_in(self, arrived)

    monkeypatch.setattr(Training, "take_in", spy)
    _, result, _ = gen("--steps", steps, *NEVER)
    assert result["steps"] / result["epochs"] == pytest.approx(BATCHES)
    begin = (steps - 1) // BATCHES * BATCHES
    losses = [seen[step] for step in range(begin + 1, steps + 1)]
    assert result["train_nats_per_char"] == pytest.approx(np.mean(losses), rel=1e-12)
    assert result["train_nats_of_steps"] == len(losses)


@pytest.mark.parametrize("stop", [5, 13])
def test_a_run_in_parts_reports_the_same_training_loss(
    stop, gen, tmp_path, monkeypatch
):
    words = ("--steps", 19, *NEVER)
    whole = gen(*words, "--workdir", tmp_path / "whole")[1]
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
    assert parts["train_nats_per_char"] == whole["train_nats_per_char"]


def test_a_checkpoint_of_before_there_was_a_sum_is_gone_on_with(gen, monkeypatch):
    about = Run.about
    with monkeypatch.context() as patch:
        patch.setattr(
            Run,
            "about",
            lambda run: {k: v for k, v in about(run).items() if k != "pass_loss"},
        )
        gen("--steps", 5, *NEVER)
    status, result, _ = gen("--steps", 9, *NEVER)
    assert (status, result["resumed_from_step"]) == (0, 5)
    assert 0 < result["train_nats_per_char"] < 5  # of the steps since


@pytest.mark.parametrize("preset", ["modern", "tutorial"])
def test_never_is_never(preset, gen, monkeypatch):
    monkeypatch.setattr(char_samples, "generate", None)
    sizes = ("--preset", preset, "--slices", 1)
    status, _, said = gen(*sizes, "--steps", 12, *NEVER)
    assert status == 0
    assert "-----" not in said


@pytest.mark.parametrize("words", [(), ("--val-fraction", 0)])
def test_losses_are_seen_without_a_terminal(words, gen):
    _, _, said = gen("--steps", 12, *NEVER, *words)
    lines = [x for x in said.splitlines() if x.startswith("training lstm: ")]
    assert re.match(r"training lstm: \d+ of 12  loss \d\.\d{3}", lines[0])


def test_lines_about_progress_come_at_a_rate_that_can_be_read(capsys, monkeypatch):
    """One in ten seconds, in a long run fewer."""
    now = iter(range(10**6))
    clock = types.SimpleNamespace(monotonic=lambda: next(now))
    monkeypatch.setattr(watch, "time", clock)
    with watch.screen() as display:
        display.start("training", total=5000)
        for k in range(100):
            display.advance(k, note="loss")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["training: 0 of 5,000  loss", "training: 10 of 5,000  loss"]
    assert len(lines) == 10
    with watch.screen() as display:
        display.start("reading", total=1, slow=True)
        for k in range(25):
            display.advance(k / 5, 5)
    said = ["reading", "reading: 2 of 5", "reading: 4 of 5"]
    assert capsys.readouterr().err.splitlines() == said
    with watch.screen() as display:
        display.start("training", total=5000)
        for k in range(5000):
            display.advance(k, note="loss")
    lines = capsys.readouterr().err.splitlines()
    assert 50 < len(lines) < 200


def test_a_budget_that_is_over_before_it_begins_trains_nothing(gen, tmp_path):
    status, result, said = gen("--minutes", 0.02, *NEVER, clock=Clock(0.2))
    assert (status, result) == (2, None)
    (error,) = [x for x in said.splitlines() if x.startswith("error: ")]
    assert "nothing was trained: --minutes 0.02 (1.2 s) is shorter than start" in error
    assert float(error.split("give --minutes ")[1].split()[0]) > 0.02
    assert not (tmp_path / "run" / "result.json").exists()
    # The corrected command has the directory.
    assert gen("--steps", 3, *NEVER)[1]["steps"] == 3


def warnings(said):
    return [x for x in said.splitlines() if x.startswith("warning: ")]


def test_few_steps_are_told_once_and_before_training(gen, tmp_path):
    _, result, said = gen("--minutes", 0.2, *NEVER, clock=Clock(0.1))
    assert 1 < result["steps"] < 100
    (warning,) = warnings(said)
    assert "fewer than 100 steps will be trained: --minutes 0.2 (12.0 s) l" in warning
    assert said.index(warning) < said.index("planned: ")
    words = ("--minutes", 0.2, *NEVER, "--workdir", tmp_path / "3")
    _, result, said = gen(*words, clock=Clock(0.01))
    assert result["steps"] >= 100
    assert not warnings(said)
    said = gen("--epochs", 0.5, *NEVER, "--workdir", tmp_path / "4")[2]
    (warning,) = warnings(said)
    assert "--epochs 0.5 is no more of this text; give --epochs 8.34 or more" in warning
    assert said.index(warning) < said.index("planned: ")
    said = gen("--steps", 3, *NEVER, "--workdir", tmp_path / "5")[2]
    assert not warnings(said)  # as it was asked for


def test_minutes_to_go_on_with_are_for_one_more_start():
    """The first one has used up its own, and a second one is to come."""
    assert Plan(enough_minutes=0.74, start_seconds=10).minutes_for_more() == 0.91


def test_a_run_that_has_no_time_left_ends_and_says_so(gen):
    assert gen("--steps", 3, *NEVER)[1]["steps"] == 3
    status, result, said = gen("--minutes", 0.01, *NEVER, clock=Clock(0.1))
    assert (status, result["steps"]) == (0, 3)
    (warning,) = warnings(said)
    assert "no more step will be trained: --minutes 0.01 (0.6 s)" in warning


class Slower(Clock):
    """From some time on, each reading takes many times as long."""

    def __init__(self, tick, after, times):
        super().__init__(tick)
        self.after, self.times = after, times

    def __call__(self):
        slow = self.now > self.after
        self.now += self.tick * (self.times if slow else 1)
        return self.now


def test_a_plan_that_changes_is_told_with_the_reason(gen):
    clock = Slower(0.001, after=3, times=20)
    _, result, said = gen("--minutes", 0.3, *NEVER, clock=clock)
    planned = int(re.findall(r"^planned: (\d+) steps", said, re.MULTILINE)[0])
    changes = re.findall(
        r"^the plan is (\d+) steps now, not (\d+): so far a step took ([\d.]+) ms, "
        r"validation, samples and saving included; ([\d.]+) ms were measured",
        said,
        re.MULTILINE,
    )
    assert int(changes[0][1]) == planned
    for now, before, took, measured in changes:
        assert abs(int(now) - int(before)) > int(before) / 10
        assert float(took) > float(measured)
    assert result["steps"] < 0.9 * planned


def test_that_few_steps_came_of_it_is_told_if_nobody_knew(gen):
    clock = Slower(0.001, after=0.15, times=1000)
    _, result, said = gen("--minutes", 0.3, "--steps", 1000, *NEVER, clock=clock)
    assert result["steps"] < 100
    assert f"--minutes 0.3 was used up at step {result['steps']}; 1000 had" in said
    (warning,) = warnings(said)
    assert f"only {result['steps']} step" in warning


def test_of_several_budgets_the_first_that_is_over_ends_it(gen, tmp_path):
    for name, words, steps in (
        ("a", ("--steps", 5, "--epochs", 1), 5),
        ("b", ("--steps", 50, "--epochs", 1), BATCHES),
        ("c", ("--minutes", 9, "--epochs", 0.5), 6),
    ):
        words = *words, *NEVER, "--workdir", tmp_path / name
        assert gen(*words, clock=Clock(0.001))[1]["steps"] == steps


def test_minutes_that_were_not_used_up_are_there_still(gen, tmp_path):
    for steps in (3, 6, 6):
        words = "--minutes", 9, "--steps", steps, *NEVER, "--workdir", tmp_path / "run"
        assert gen(*words, clock=Clock(0.001))[1]["steps"] == steps


def test_memory_that_runs_out_is_told_in_a_line(gen, monkeypatch):
    def short(*args):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore")

    monkeypatch.setattr("charlm.planning.measure", short)
    status, _, said = gen("--steps", 3)
    assert status == 2
    assert "error: out of memory (RESOURCE_EXHAUSTED: Out of memory); give" in said
    assert "Traceback" not in said


def test_a_bug_is_told_with_what_to_report(gen, monkeypatch):
    def broken(*args):
        raise KeyError("what is this")

    monkeypatch.setattr("charlm.planning.measure", broken)
    status, _, said = gen("--steps", 3)
    assert status == 1
    assert "Traceback" in said
    last = said.splitlines()[-1]
    assert last.startswith("error: this is a bug in jaxtext")
    assert f"jax {jax.__version__}" in last


def test_who_got_the_signal_is_told(gen, monkeypatch):
    """Process 3 of several got it: all see its wish, the largest of any."""
    with monkeypatch.context() as there:
        there.setattr(jax, "process_index", lambda: 3)
        wish = training._as_wish(signal.SIGTERM)
    calls = []

    def agree(values):
        calls.append(values)
        return [wish if len(calls) == 2 else 0, *map(int, values[1:])]

    monkeypatch.setattr(training, "agreement", lambda: agree)
    status, _, said = gen("--steps", 5, *NEVER)
    assert status == 128 + signal.SIGTERM
    assert "stopped by signal 15, which process 3 got; the same command" in said


def test_unusual_settings_are_told(gen):
    with jax.default_matmul_precision("float32"):
        _, _, said = gen("--corpus", "gone.txt")
    assert "note: jax_default_matmul_precision is float32: parameters and" in said
    _, _, said = gen("--corpus", "gone.txt")
    assert "note: jax_" not in said
