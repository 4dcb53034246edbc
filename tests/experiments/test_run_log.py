"""Which steps a run records, and that a resumed run writes the same log."""

import json
import os
import signal

import char_gen
import numpy as np
import pytest

from charlm import record
from charlm.progress import Progress
from charlm.record import interval
from charlm.training import Training
from jaxtext.runs.log import read_metrics

SMALL = [
    *("--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--eval-every", "20"),
    *("--sample-every", "0", "--steps", "90"),
]
STEPS = [5, 10, 15, 20, 30, 40, 60, 80, 90]  # with a record of 5 steps up to step 20


@pytest.fixture
def gen(tmp_path, capsys, monkeypatch):
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    monkeypatch.setattr(record, "LOG_EVERY", 5)
    monkeypatch.setattr(record, "EVENLY", 20)

    def run(name, *words):
        of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / name)]
        status = char_gen.main([*of, *SMALL, *map(str, words)])
        return status, json.loads(capsys.readouterr().out or "null")

    return run


def logged(run):
    """All records, without what is measured in seconds."""
    records = read_metrics(run / "metrics.jsonl")
    measured = "chars_per_second", "seconds"
    return [{k: x for k, x in r.items() if k not in measured} for r in records]


def test_records_become_rarer_as_a_run_becomes_longer():
    steps = [s for s in range(10, 1_000_001, 10) if s % interval(s, None) == 0]
    assert steps[:10_000] == list(range(10, 100_001, 10))  # a short run has them all
    gaps = np.diff(steps)
    assert all(step % gap == 0 for step, gap in zip(steps[1:], gaps, strict=True))
    for begin in (100_000, 200_000, 400_000):
        of = [s for s in steps if begin < s <= 2 * begin]
        assert len(of) == 5000
    week = 220 * 60 * 60 * 24 * 7  # steps of a small model
    doublings = np.log2(week / 100_000)
    assert (10_000 + 5000 * (doublings + 1)) * 200 < 100e6 / 5  # bytes
    assert {interval(s, 7) for s in (1, 10**6, week)} == {7}


def test_records_are_means_of_the_steps_between_them(gen, tmp_path, monkeypatch):
    seen, take_in = {}, Training.take_in

    def spying(self, taken):
        taken = list(taken)
        seen.update((step, metrics) for step, metrics in taken)
        return take_in(self, taken)

    monkeypatch.setattr(Training, "take_in", spying)
    assert gen("run")[0] == 0
    records = [x for x in logged(tmp_path / "run") if "loss" in x]
    assert [x["step"] for x in records] == STEPS
    for before, one in zip([0, *STEPS], records, strict=False):
        of = [seen[step] for step in range(before + 1, one["step"] + 1)]
        for name in ("loss", "gradient_norm"):
            mean = np.mean([float(getattr(x, name)) for x in of])
            assert one[name] == pytest.approx(mean, rel=1e-12)


def stopping(at, how):
    run_steps = char_gen.run_steps

    def stepping(*args):
        for progress in run_steps(*args):
            yield progress
            if progress.step == at:
                how()

    return stepping


class KilledError(BaseException):
    """Ends a run where it stands, as a kill does: nothing more is saved."""


def killed():
    raise KilledError


def stopped():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("how", [killed, stopped])
def test_a_run_that_goes_on_writes_the_same_log(how, gen, tmp_path, monkeypatch):
    """It was killed some steps after it saved, or stopped amid those of a record."""
    gen("whole", "--save-steps", 25)
    for at in (7, 33, 77):
        with monkeypatch.context() as patch:
            patch.setattr(char_gen, "run_steps", stopping(at, how))
            if how is killed:
                with pytest.raises(KilledError):
                    gen("parts", "--save-steps", 25)
            else:
                assert gen("parts", "--save-steps", 25)[0] == 128 + signal.SIGTERM
    status, result = gen("parts", "--save-steps", 25)
    assert (status, result["resumed_from_step"]) == (0, 75 if how is killed else 78)
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    pictures = [(tmp_path / x / "curve.png").read_bytes() for x in ("parts", "whole")]
    assert all(x.startswith(b"\x89PNG") for x in pictures)


def test_an_older_checkpoint_counts_records(gen, tmp_path, monkeypatch):
    """And it has the loss of each step since the last one."""
    gen("whole")
    workdir = tmp_path / "parts"
    with monkeypatch.context() as patch:
        about = Progress.about

        def older(self):
            kept = about(self)
            losses, _ = kept.pop("since_record")
            del kept["log_size"]
            recorded = len(read_metrics(workdir / "metrics.jsonl"))
            return kept | {
                "recorded": recorded,
                "losses": [losses.value] * losses.terms,
            }

        patch.setattr(Progress, "about", older)
        patch.setattr(char_gen, "run_steps", stopping(33, stopped))
        assert gen("parts")[0] == 128 + signal.SIGTERM
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 34, "loss": 9}\n')  # from after the checkpoint
    status, result = gen("parts")
    assert (status, result["resumed_from_step"]) == (0, 34)
    logs = [logged(tmp_path / name) for name in ("parts", "whole")]
    assert [x["step"] for x in logs[0]] == [x["step"] for x in logs[1]]
    losses = [[x["loss"] for x in log if "loss" in x] for log in logs]
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_the_steps_between_records_can_be_chosen(gen, tmp_path):
    assert gen("run", "--log-every", 40)[0] == 0
    steps = [x["step"] for x in logged(tmp_path / "run") if "loss" in x]
    assert steps == [40, 80, 90]
