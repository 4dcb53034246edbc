"""What TensorBoard shows of a run that was killed, went back or was resumed."""

import json

import char_gen
import numpy as np
import pytest

from charlm.training import Training
from jaxtext.runs.log import read_metrics

pytest.importorskip("tensorboardX")
accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator"
)

SMALL = [
    *("--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--eval-every", "20"),
    *("--sample-every", "0", "--tensorboard"),
]


@pytest.fixture
def gen(tmp_path, capsys):
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run")]

    def run(*words):
        status = char_gen.main([*of, *SMALL, *map(str, words)])
        return status, json.loads(capsys.readouterr().out or "null")

    return run


def shown(run):
    """What TensorBoard's own reader finds, as it stands in the log: by name."""
    reader = accumulator.EventAccumulator(str(run), size_guidance={"scalars": 0})
    reader.Reload()
    return {
        name: [(event.step, event.value) for event in reader.Scalars(name)]
        for name in reader.Tags()["scalars"]
    }


def logged(run):
    found = {}
    for record in read_metrics(run / "metrics.jsonl"):
        for name, value in record.items():
            if name != "step" and value is not None:
                found.setdefault(name, []).append((record["step"], value))
    return found


def check_that_they_agree(run, steps):
    seen, expected = shown(run), logged(run)
    assert [step for step, _ in expected["loss"]] == steps
    assert seen.keys() == expected.keys()
    for name in expected:
        assert [step for step, _ in seen[name]] == [step for step, _ in expected[name]]
        values = [[value for _, value in of[name]] for of in (seen, expected)]
        np.testing.assert_allclose(*values, rtol=1e-6)


class KilledError(BaseException):
    """Ends a run where it stands, as a kill does: nothing more is saved."""


def killed_at(step, monkeypatch):
    run_steps = char_gen.run_steps

    def stepping(*args):
        for progress in run_steps(*args):
            yield progress
            if progress.step == step:
                raise KilledError

    monkeypatch.setattr(char_gen, "run_steps", stepping)


@pytest.mark.parametrize("save_every", [20, 1000])
def test_a_run_that_was_killed(save_every, gen, tmp_path, monkeypatch):
    """Also one that has saved nothing but its beginning."""
    with monkeypatch.context() as patch:
        killed_at(37, patch)
        with pytest.raises(KilledError):
            gen("--steps", 60, "--save-steps", save_every)
    before = [step for step, _ in shown(tmp_path / "run")["loss"]]
    assert before == [10, 20, 30]
    _, result = gen("--steps", 60, "--save-steps", save_every)
    assert result["resumed_from_step"] == (20 if save_every == 20 else 0)
    check_that_they_agree(tmp_path / "run", [10, 20, 30, 40, 50, 60])


def test_a_run_that_was_resumed_twice(gen, tmp_path):
    for steps in (15, 32, 60):
        assert gen("--steps", steps)[1]["steps"] == steps
    check_that_they_agree(tmp_path / "run", [10, 15, 20, 30, 32, 40, 50, 60])


def test_a_run_that_went_back(gen, tmp_path, monkeypatch):
    """After steps that were skipped, as it thinks."""
    with monkeypatch.context() as patch:
        take_in, undone = Training.take_in, []

        def bad_news(self, arrived):
            take_in(self, arrived)
            step = self.run.progress.step
            if step == 37 and not undone:
                undone.append(step)
                self.skips.in_a_row = self.run.config.max_skips

        patch.setattr(Training, "take_in", bad_news)
        gen("--steps", 60, "--save-steps", 20)
    assert undone
    went_back = shown(tmp_path / "run")["rolled_back_from"]
    assert went_back == [(20, 37)]
    check_that_they_agree(tmp_path / "run", [10, 20, 30, 40, 50, 60])
