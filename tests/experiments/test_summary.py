"""Each number that a run ends with, computed again from what it left."""

import json
import math
import re

import char_gen
import jax
import numpy as np
import pytest

import jaxtext as jt
from charlm.build import restore
from charlm.training import Training
from jaxtext.runs import checkpoint
from jaxtext.runs.log import read_metrics
from jaxtext.text import Streams, Vocabulary
from jaxtext.training import evaluate

TEXT = "the quick brown fox jumps over the lazy dog. (what a day!)\n" * 26
SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "16", "--sample-every", "0"]


class Clock:
    """Each reading is half a second after the one before."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.5
        return self.now


@pytest.fixture(params=["carried", "cold-256"])
def run(request, tmp_path, capsys):
    """A run that was stopped and went on: its directory, result and last lines."""
    (tmp_path / "fox").write_text(TEXT)
    workdir = tmp_path / "run"
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(workdir), *SMALL]
    of += ["--eval-every", "7", "--eval-characters", "50", "--val-fraction", "0.2"]
    of += ["--eval-protocol", request.param]
    assert char_gen.main([*of, "--steps", "15"], Clock()) == 0
    capsys.readouterr()
    clock = Clock()
    assert char_gen.main([*of, "--steps", "27"], clock) == 0
    captured = capsys.readouterr()
    told = captured.err.split("what to type next:")[0].splitlines()[-7:]
    lines = dict(line.strip().split(None, 1) for line in told)
    return workdir, json.loads(captured.out), lines, clock


def numbers(line):
    return [float(x.replace(",", "")) for x in re.findall(r"\d[\d,]*\.?\d*", line)]


def test_each_number_of_the_summary(run):
    workdir, result, lines, clock = run
    assert result == json.loads((workdir / "result.json").read_text())
    assert list(lines) == [
        *("run", "model", "trained", "training", "validation", "speed", "time"),
    ]
    latest = checkpoint.read_about(workdir, which="latest")
    about, records = latest.about, read_metrics(workdir / "metrics.jsonl")
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    model, last = restore(workdir, about, which="latest", warn=print)

    # run, model
    assert lines["run"] == str(workdir)
    parameters = sum(x.size for x in jax.tree.leaves(last.arrays))
    assert numbers(lines["model"]) == [parameters, len(set(TEXT))]
    assert lines["model"].startswith("LSTM, ")
    assert (result["parameters"], result["vocabulary"]) == (parameters, len(set(TEXT)))

    # trained
    train, validation = jt.text.split(vocabulary.encode(TEXT), 0.2)
    batches = Streams(train, 8, 16).batches_per_epoch
    assert latest.step == 27
    seconds = numbers(lines["trained"])[2]
    assert numbers(lines["trained"])[:2] == [27, round(27 / batches, 1)]
    assert result["epochs"] == 27 / batches
    assert result["seconds"] >= clock.now  # those of the process before it, too
    assert seconds == round(result["seconds"], 1) < 60

    # training: the records of the last pass, each the mean of ten steps or the rest
    passes = {step: (step - 1) // batches for step in range(1, 28)}
    steps = [step for step in passes if passes[step] == passes[27]]
    assert about["pass_loss"][0] == passes[27]
    assert about["pass_loss"][2] == len(steps) == result["train_nats_of_steps"]
    mean = about["pass_loss"][1] / len(steps)
    assert result["train_nats_per_char"] == pytest.approx(mean)
    assert numbers(lines["training"]) == [round(mean, 4), len(steps)]

    # validation: by the checkpoint that is named, on the whole of what was kept
    _, best = restore(workdir, about, warn=print)
    assert best.step == result["best_step"]
    window = 256 if about["identity"]["eval_protocol"] == "cold-256" else None
    loss = evaluate(model, best.arrays, validation, window=window)
    assert result["val_nats_per_char"] == pytest.approx(loss, rel=1e-6)
    assert result["val_bits_per_char"] == pytest.approx(loss / math.log(2), rel=1e-6)
    told, kept = numbers(lines["validation"]), len(validation)
    assert told == pytest.approx([loss, loss / math.log(2), kept, best.step], abs=6e-5)
    seen = [x for x in records if "val_nats_per_char" in x]
    assert min(seen, key=lambda x: x["val_nats_per_char"])["step"] == best.step

    # speed: that of the last record of this process, which took twelve steps
    losses = [x for x in records if "loss" in x]
    assert [x["step"] for x in losses] == [10, 15, 20, 27]
    assert result["chars_per_second"] == losses[-1]["chars_per_second"]
    assert result["chars_per_second_of_steps"] == 27 - 15
    # The record of step 20 reads the clock once more.
    assert result["chars_per_second"] == pytest.approx(12 * 8 * 16 / (13 * 0.5))
    told = numbers(lines["speed"])
    assert told[0] == round(result["chars_per_second"])
    assert told[1] == result["devices"]
    assert told[2] == round(result["compile_seconds"], 1) > 0
    assert told[3] == round(result["peak_memory_mb"]) > 50

    # time: kinds that add up; the checkpoint has those of both processes
    spent, here = result["spent"], result["spent_in_this_process"]
    share, whole = numbers(lines["time"])[:2]
    assert share == round(100 * result["goodput"], 1)
    assert result["goodput"] == spent["training"] / sum(spent.values())
    assert whole == round(sum(spent.values()), 1)
    assert 0 < here["training"] < spent["training"]
    assert all(here[kind] <= spent[kind] for kind in here)
    assert about["spent"].keys() <= spent.keys()


def test_losses_of_the_log_are_means_of_all_steps(tmp_path, capsys, monkeypatch):
    """And the training loss is the mean of those of the last pass."""
    seen = {}  # the loss of each step
    take_in = Training.take_in

    def spying(self, taken):
        taken = list(taken)
        seen.update((step, float(metrics.loss)) for step, metrics in taken)
        return take_in(self, taken)

    monkeypatch.setattr(Training, "take_in", spying)
    (tmp_path / "fox").write_text("ab cd\n" * 250)
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run"), *SMALL]
    assert char_gen.main([*of, "--val-fraction", "0", "--steps", "23"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] / result["epochs"] == pytest.approx(11)
    assert list(seen) == list(range(1, 24))
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [x["step"] for x in records] == [10, 20, 23]
    for first, record in zip((1, 11, 21), records, strict=True):
        steps = range(first, record["step"] + 1)
        mean = np.mean([seen[step] for step in steps])
        assert record["loss"] == pytest.approx(mean, rel=1e-6)
    assert result["train_nats_of_steps"] == 1  # of the third pass
    assert result["train_nats_per_char"] == pytest.approx(seen[23])


def test_a_single_step_tells_no_speed(tmp_path, capsys):
    (tmp_path / "fox").write_text(TEXT)
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run"), *SMALL]
    assert char_gen.main([*of, "--steps", "1"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["chars_per_second"] is None
    assert "\nspeed       not known, of so few steps on " in captured.err


def test_on_a_terminal_json_is_in_the_file_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(char_gen.sys.stdout, "isatty", lambda: True)
    (tmp_path / "fox").write_text(TEXT)
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run"), *SMALL]
    assert char_gen.main([*of, "--steps", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    *_, first, second, third = captured.err.splitlines()
    assert [x[:9].strip() for x in (first, second, third)] == [
        *("write", "measure", "train on"),
    ]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 3
