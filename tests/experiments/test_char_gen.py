"""char_gen.py: a run from the first step to the result, bad input, and going on."""

import json
import os
import pkgutil
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import char_gen
import evaluate
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import sample

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.runs import checkpoint
from jaxtext.runs.log import read_metrics

TEXT = "the quick brown fox jumps over the lazy dog. (what a day!)\n" * 60
SMALL = [
    *("--hidden", 8, "--batch-size", 8, "--seq-len", 8),
    *("--eval-every", 10, "--sample-every", 0, "--dropout", 0.2),
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "fox.txt"
    path.write_text(TEXT)
    return path


class Clock:
    """Moves on by a hundredth of a second at each reading, however fast the machine."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.01
        return self.now


def gen(*args, clock=char_gen.since_start):
    """Runs the script in this process; returns its exit status."""
    return char_gen.main([str(a) for a in args], clock)


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_run_leaves_what_it_says(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    status = gen(
        "--corpus", corpus, "--workdir", workdir, "--steps", 30, "--sample-every", 10,
        *SMALL[:-4], "--learning-rate", 0.01, "--eval-every", 10,
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0
    assert captured.err.count("sample at step 20") == 1
    assert captured.err.count("sample at step 30") == 1
    assert len(captured.out.splitlines()) == 1
    result = json.loads(captured.out)
    assert result["steps"] == result["best_step"] == 30
    assert result["cell"] == "lstm"
    assert result["devices"] == 8
    assert result["resumed_from_step"] == 0
    assert result["val_nats_per_char"] < 3.2  # knowing nothing: ln 32 = 3.47
    bits = result["val_bits_per_char"]
    assert bits == pytest.approx(result["val_nats_per_char"] / np.log(2))
    vocabulary = len(set(TEXT))
    assert result["vocabulary"] == vocabulary
    assert result["parameters"] == (
        4 * 8 * (vocabulary + 8 + 1) + 8 * vocabulary + vocabulary
    )
    assert (workdir / "curve.png").read_bytes().startswith(b"\x89PNG")
    records = read_metrics(workdir / "metrics.jsonl")
    assert [r["step"] for r in records if "loss" in r] == [10, 20, 30]
    assert [r["step"] for r in records if "val_nats_per_char" in r] == [10, 20, 30]


@pytest.mark.parametrize(
    ("specs", "workdir"),
    [(["."], None), (["."], "."), (["**"], "mine")],
)
def test_a_folder_of_texts_is_the_same_with_its_runs_in_it(
    tmp_path, capsys, monkeypatch, specs, workdir
):
    for name in "a.txt", "b.txt", ".git/config":
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    elsewhere = [] if workdir is None else ["--workdir", workdir]
    command = ["--corpus", *specs, *SMALL, *elsewhere, "--steps"]
    assert gen(*command, 5) == 0
    capsys.readouterr()
    assert gen(*command, 10) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["resumed_from_step"], result["steps"]) == (5, 10)
    (told,) = [x for x in captured.err.splitlines() if x.startswith("left out of")]
    assert "runs (" in told
    status = evaluate.main(["--workdir", result["workdir"], "--corpus", *specs])
    captured = capsys.readouterr()
    assert status == 0
    assert json.loads(captured.out)["own_corpus"]
    assert told in captured.err
    assert gen(*command, 10) == 0  # with the page that was written there
    assert last_json(capsys) == result


@pytest.mark.everyday(cell=("gru",))
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_stopped_and_continued_is_as_if_never_stopped(cell, corpus, tmp_path, capsys):
    common = ["--corpus", corpus, "--cell", cell, "--steps", 30, *SMALL]
    gen(*common, "--workdir", tmp_path / "whole")
    whole = last_json(capsys)

    run_steps = char_gen.run_steps

    def interrupted(*args):
        for progress in run_steps(*args):
            if progress.step == 13:
                os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C sends
            yield progress

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(char_gen, "run_steps", interrupted)
        assert gen(*common, "--workdir", tmp_path / "parts") == 130
    capsys.readouterr()
    assert gen(*common, "--workdir", tmp_path / "parts") == 0
    parts = last_json(capsys)
    assert parts["resumed_from_step"] == 13
    assert parts["parameters_sha256"] == whole["parameters_sha256"]
    assert parts["val_nats_per_char"] == whole["val_nats_per_char"]

    def steps(name):
        return [r["step"] for r in read_metrics(tmp_path / name / "metrics.jsonl")]

    assert steps("parts") == steps("whole")


def test_a_signal_in_any_phase_loses_nothing(corpus, tmp_path, capsys, monkeypatch):
    common = ["--corpus", corpus, "--cell", "rnn", "--steps", 30, *SMALL]
    common += ["--sample-every", 10]
    common += ["--eval-characters", 100]  # so that the end reads more
    gen(*common, "--workdir", tmp_path / "whole")
    captured = capsys.readouterr()
    whole = json.loads(captured.out)
    assert captured.err.count(" nats per character (first 100 characters), ") == 3
    assert f"bits per character (all {len(TEXT) // 10}), at step" in captured.err
    phases = [
        "jaxtext.text.load",
        "charlm.planning.measure",
        "charlm.samples.generate",
        "charlm.run.evaluate",
        "jaxtext.runs.checkpoint.arrays.save",
        "char_gen.result_of",
        "char_gen.print_samples",
    ]
    for name in phases:
        original, sent = pkgutil.resolve_name(name), []

        def interrupted(*args, original=original, sent=sent, **options):
            if not sent:  # a second one would end the process
                sent.append(os.kill(os.getpid(), signal.SIGTERM))
            return original(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(name, interrupted)
            command = [*common, "--workdir", tmp_path / "parts"]
            assert gen(*command) == 128 + signal.SIGTERM, name
        assert "stopped by signal 15" in capsys.readouterr().err
    assert gen(*command) == 0
    parts = last_json(capsys)
    assert parts["resumed_from_step"] == 30
    for name in ("parameters_sha256", "val_nats_per_char", "best_step"):
        assert parts[name] == whole[name]
    logs = [read_metrics(tmp_path / n / "metrics.jsonl") for n in ("parts", "whole")]
    for log in logs:
        for record in log:
            record.pop("chars_per_second", None)
            record.pop("seconds", None)
    assert logs[0] == logs[1]


@pytest.mark.thorough
def test_the_way_of_computing_changes_no_result(corpus, tmp_path, capsys, monkeypatch):
    seen = []

    def spy(*args, **options):
        seen.append((options["backend"], options["remat"]))
        return jt.unroll(*args, **options)

    monkeypatch.setattr("jaxtext.model.unroll", spy)
    command = ["--corpus", corpus, "--steps", 20, *SMALL]
    ways = {
        "auto": [],
        "scan": ["--backend", "scan"],
        "chunks": ["--remat", 3],
        "sharded": ["--data-parallel", "sharded"],
    }
    found = {}
    for name, flags in ways.items():
        assert gen(*command, *flags, "--workdir", tmp_path / name) == 0
        backend = "scan" if name == "scan" else "auto"
        assert seen[-1] == (backend, 3 if name == "chunks" else None)
        found[name] = last_json(capsys)["val_nats_per_char"]
    assert found == pytest.approx(dict.fromkeys(ways, found["auto"]), rel=1e-5)
    # And a run can go on in another way.
    other = ["--remat", "gates", "--data-parallel", "sharded", "--steps", 25]
    assert gen(*command, *other, "--workdir", tmp_path / "auto") == 0
    assert last_json(capsys)["resumed_from_step"] == 20


def test_a_finished_run_says_its_result_again(corpus, tmp_path, capsys):
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", *SMALL, "--steps"]
    assert gen(*command, 10) == 0
    first = last_json(capsys)
    assert gen(*command, 10) == 0
    assert last_json(capsys) == first
    assert gen(*command, 20) == 0
    captured = capsys.readouterr()
    assert "planned anew: 20 steps, not 10" in captured.err
    assert "nats per character, " in captured.err  # all of the text: no part is named
    more = json.loads(captured.out)
    assert (more["resumed_from_step"], more["steps"]) == (10, 20)


def test_a_result_of_before_it_told_the_number_of_steps(corpus, tmp_path, capsys):
    command = ["--corpus", corpus, "--steps", 3, *SMALL, "--workdir", tmp_path / "run"]
    assert gen(*command) == 0
    result, path = last_json(capsys), tmp_path / "run" / "result.json"
    for name in ("train_nats_of_steps", "chars_per_second_of_steps"):
        del result[name]
    path.write_text(json.dumps(result))
    assert gen(*command) == 0
    said = capsys.readouterr().err
    assert f"{result['train_nats_per_char']:.4f} nats per character, mean of" in said


def test_default_workdir_names_the_run(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = set()
    for extra in ([], ["--steps", "6", "--sample-every", "3"], ["--seed", "1"]):
        assert gen("--corpus", corpus, "--steps", 5, *SMALL, *extra) == 0
        names.add(last_json(capsys)["workdir"])
    assert len(names) == 2  # the budget is no part of a run's identity, the seed is
    assert all(name.startswith("runs/fox-lstm-") for name in names)


def test_minutes_are_a_budget(corpus, tmp_path, capsys):
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", *SMALL]
    assert gen(*command, "--minutes", 0.2, clock=Clock()) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["steps"] >= 100
    assert result["minutes"] == 0.2
    assert 0.2 * 60 - 3 < result["seconds"] < 0.2 * 60
    assert f"step {result['steps']}" in captured.err
    # The budget is spent: the same command has nothing left to do.
    assert gen(*command, "--minutes", 0.2) == 0
    assert last_json(capsys) == result


def test_a_plan_follows_the_speed(corpus, tmp_path, capsys, monkeypatch):
    """The speed was measured wrong: the schedule ends with the budget all the same."""

    def measured(run, *rest):
        run.plan.step_seconds = 1e-5

    monkeypatch.setattr("charlm.planning.measure", measured)
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", *SMALL]
    assert gen(*command, "--minutes", 0.2, clock=Clock()) == 0
    captured = capsys.readouterr()
    planned = int(re.search(r"planned: (\d+) steps", captured.err)[1])
    result = json.loads(captured.out)
    assert 1 < result["steps"] < planned / 10
    found = checkpoint.read_about(tmp_path / "run", which="latest")
    assert found.step == result["steps"]
    assert found.about["plan"]["steps"] < 2 * result["steps"] + 2


@pytest.mark.parametrize(("takes", "times"), [(1.0, 8), (12.0, 3), (100.0, 1)])
def test_validating_takes_a_tenth_of_the_minutes_at_most(
    takes, times, corpus, tmp_path, monkeypatch
):
    def validation_seconds(run, state):
        return takes, takes

    monkeypatch.setattr("charlm.planning.validation_seconds", validation_seconds)
    sizes = [x for x in SMALL if x not in ("--eval-every", 10)]
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", *sizes]
    assert gen(*command, "--steps", 48, "--minutes", 5, clock=Clock()) == 0
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    validated = [x["step"] for x in records if "val_nats_per_char" in x]
    assert validated == [48 // times * k for k in range(1, times + 1)]


def test_a_text_of_its_own_to_validate_on(corpus, tmp_path, capsys):
    other, workdir = tmp_path / "other.txt", tmp_path / "run"
    other.write_text("what a lazy dog!\n" * 9)
    command = ["--corpus", corpus, "--steps", 5, *SMALL, "--val-corpus", other]
    assert gen(*command, "--workdir", workdir) == 0
    result = last_json(capsys)
    assert evaluate.main(["--workdir", str(workdir), "--corpus", str(other)]) == 0
    evaluated = last_json(capsys)
    assert evaluated["nats_per_char"] == result["val_nats_per_char"]
    assert evaluated["characters"] == len(other.read_text()) - 1
    # All of the corpus is trained on, so none of it is the validation part.
    assert evaluate.main(["--workdir", str(workdir), "--corpus", str(corpus)]) == 0
    assert last_json(capsys)["part"] == "all"

    assert evaluate.main(["--workdir", str(workdir)]) == 0
    assert last_json(capsys)["nats_per_char"] == result["val_nats_per_char"]
    other.write_text("the lazy dog!\n" * 9)
    assert evaluate.main(["--workdir", str(workdir)]) == 2
    said = "expected the text other as the run was validated on it, but it has changed"
    assert said in capsys.readouterr().err

    other.write_text("Zebra")
    assert gen(*command, "--workdir", tmp_path / "another") == 2
    assert "does not know the character 'Z'" in capsys.readouterr().err


def test_what_is_validated_is_chosen_and_kept(corpus, tmp_path, capsys, monkeypatch):
    """By the protocol that was asked for, with the averaged weights; no time again."""
    workdir, read = tmp_path / "run", []

    def spy(*args, **options):
        read.append(len(args[2]))
        return jt.training.evaluate(*args, **options)

    monkeypatch.setattr("charlm.run.evaluate", spy)
    gen(
        "--corpus", corpus, "--workdir", workdir, "--steps", 30, *SMALL,
        "--seq-len", 8, 4, "--reset-probability", 0.5, "--average-decay", 0.9,
        "--eval-protocol", "cold-256", "--label-smoothing", 0.1, "--weight-drop", 0.2,
    )  # fmt: skip
    result = last_json(capsys)
    assert read == [len(TEXT) // 10] * 3
    assert 0 < result["epochs"] < 30
    of = ["--workdir", str(workdir), "--corpus", str(corpus)]
    for series in ("best", "latest"):
        for protocol in ("cold-256", "carried"):
            evaluate.main([*of, "--checkpoint", series, "--protocol", protocol])
            nats = last_json(capsys)["nats_per_char"]
            same = nats == pytest.approx(result["val_nats_per_char"], abs=1e-6)
            assert same == (protocol == "cold-256"), (series, protocol)


def test_tutorial_preset(corpus, tmp_path, capsys):
    status = gen(
        "--preset", "tutorial", "--corpus", corpus, "--workdir", tmp_path / "run",
        "--hidden", 8, "--batch-size", 64, "--seq-len", 40, "--epochs", 1,
        "--sample-every", 10,
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0
    result = json.loads(captured.out)
    windows = len(range(0, len(TEXT) - 40, 3))
    assert result["steps"] == -(-windows // 64)
    assert result["val_nats_per_char"] is None
    assert 0 < result["train_nats_per_char"] < 4
    assert "----- diversity: 0.5" in captured.err
    assert "----- diversity: 1.2" in captured.err
    assert '----- Generating with seed: "' in captured.err


@pytest.mark.parametrize(
    ("text", "args", "said"),
    [
        (None, [], "no file, directory or data set is called"),
        (b"", [], "empty"),
        (b"a" * 500, [], "nothing to predict"),
        (b"ab" * 49, [], "at least 100"),
        (b"hello\xff" * 50, [], "offset 5"),
        (
            TEXT.encode(),
            ["--hidden", 0],
            "--hidden: expected a whole number of 1 or more",
        ),
        (TEXT.encode(), ["--dropout", 1], "--dropout: expected a number of at least 0"),
        (TEXT.encode(), ["--batch-size", 12], "multiple of 8"),
        (TEXT.encode(), ["--seed", -1], "--seed"),
        (TEXT.encode(), ["--seed", 10**20], "number of 0 or more, below 2**32"),
        (TEXT.encode(), ["--minutes", "inf"], "finite number above 0, got inf"),
        (
            TEXT.encode(),
            ["--weight-decay", "nan"],
            "--weight-decay: expected a finite number of 0 or more",
        ),
        (
            TEXT.encode(),
            ["--remat", 0],
            "--remat: expected one of gates, or a whole num",
        ),
        (TEXT.encode(), ["--remat", -3], "1 or more, got -3"),
        (TEXT.encode(), ["--eval-characters", 1], "a whole number of 2 or more, got 1"),
        (TEXT.encode(), ["--batch-size", 8, "--slices", 3], "--slices"),
        (TEXT.encode(), ["--preset", "tutorial", "--seq-len", 10**6], "window"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(text, args, said, tmp_path, capsys):
    corpus = tmp_path / "text"
    if text is not None:
        corpus.write_bytes(text)
    before = sorted(tmp_path.iterdir())
    workdir = tmp_path / "run"
    status = gen("--corpus", corpus, "--workdir", workdir, "--steps", 3, *args)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    errors = [x for x in captured.err.splitlines() if x.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in captured.err
    assert sorted(tmp_path.iterdir()) == before


def test_bytes_take_what_is_not_utf8(tmp_path, capsys):
    corpus = tmp_path / "binary"
    corpus.write_bytes(bytes(range(256)) * 20)
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", "--steps", 3]
    assert gen(*command, "--vocab", "bytes", *SMALL) == 0
    assert last_json(capsys)["vocabulary"] == 256


def test_a_short_text_shrinks_the_batch(tmp_path, capsys):
    corpus = tmp_path / "short"
    corpus.write_text(TEXT[:100])
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", "--steps", 3]
    assert gen(*command, "--hidden", 4, "--batch-size", 16, "--seq-len", 32) == 0
    captured = capsys.readouterr()
    assert "using 8 of 10" in captured.err  # eight devices, one stream each
    assert json.loads(captured.out)["val_nats_per_char"] > 0


def test_a_workdir_belongs_to_one_configuration(corpus, tmp_path, capsys):
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", "--steps", 3, *SMALL]
    assert gen(*command) == 0
    assert gen(*command, "--cell", "gru", "--seed", 3) == 2
    error = capsys.readouterr().err
    assert "cell is 'lstm' there and 'gru' here" in error
    assert "seed is 0 there and 3 here" in error
    corpus.write_text(TEXT + "more")
    assert gen(*command) == 2
    assert "the text is not the one that the run in" in capsys.readouterr().err


def test_checkpoints_know_their_run(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    command = ["--corpus", corpus, "--workdir", workdir, "--steps", 3, *SMALL]
    assert gen(*command) == 0
    (workdir / "result.json").write_text("{}")
    (workdir / "config.json").unlink()
    assert gen(*command, "--seed", 7) == 2
    assert "seed is 0 there and 7 here" in capsys.readouterr().err
    assert not (workdir / "config.json").exists()  # what is refused writes nothing
    assert gen(*command) == 0


def test_a_workdir_that_cannot_be_made(corpus, capsys):
    assert gen("--corpus", corpus, "--workdir", corpus / "under-a-file", *SMALL) == 2
    assert "--workdir: expected a directory, got" in capsys.readouterr().err


def test_training_that_diverges_goes_back_then_stops_with_the_evidence(
    corpus, tmp_path, capsys
):
    workdir = tmp_path / "run"
    command = ["--corpus", corpus, "--workdir", workdir, "--learning-rate", 1e38]
    command += ["--steps", 100, "--max-skips", 3, "--max-rollbacks", 2, *SMALL]
    assert gen(*command) == 3
    error = capsys.readouterr().err
    assert (
        "step 1 skipped: it would make parameters that are not finite; its loss is "
        in error
    )
    assert error.count("going back to step 0, with half the learning rate") == 2
    assert (
        "4 steps in a row, up to step 4, were skipped (it would make parameters"
        in error
    )
    assert "the checkpoint of step 0 is good; try a lower --learning-rate" in error
    assert "Traceback" not in error
    params = restored_params(workdir, "latest", 0)
    assert all(np.isfinite(x).all() for x in params)


def test_going_back_helps_where_it_can(corpus, tmp_path, capsys, monkeypatch):
    """What is not finite here is the batches of some steps, the first time around."""
    workdir, bad = tmp_path / "run", np.arange(14, 18)
    make = jt.training.make_train_step

    def breaking(*args, **options):
        step = make(*args, **options)

        def broken(state, batch):
            slow = state.opt_state.hyperparams["slowdown"] < 1
            poison = jax.numpy.isin(state.step, bad) & ~slow
            poisoned = jax.tree.map(
                lambda x: jax.numpy.where(poison, np.nan, x), state.params
            )
            after, metrics = step(state._replace(params=poisoned), batch)
            kept = jax.tree.map(
                lambda new, old: jax.numpy.where(poison, old, new),
                after.params,
                state.params,
            )
            return after._replace(params=kept), metrics

        return broken

    monkeypatch.setattr("jaxtext.training.parallel.make_train_step", breaking)
    command = ["--corpus", corpus, "--workdir", workdir, "--save-steps", 5]
    assert gen(*command, "--steps", 30, "--max-skips", 3, *SMALL) == 0
    captured = capsys.readouterr()
    assert "going back to step 10, with half the learning rate" in captured.err
    result = json.loads(captured.out)
    # The third was known when the fourth was under way.
    assert (result["rollbacks"], result["skipped_steps"]) == (1, 4)
    records = read_metrics(workdir / "metrics.jsonl")
    assert [r["step"] for r in records if "loss" in r] == [10, 20, 30]
    assert [r["rolled_back_from"] for r in records if "rolled_back_from" in r] == [18]


def test_some_skipped_steps_are_counted_and_no_more(corpus, tmp_path, capsys):
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", "--steps", 4]
    command += ["--learning-rate", 1e38, "--max-skips", 10, *SMALL]
    assert gen(*command) == 0
    result = last_json(capsys)
    assert (result["skipped_steps"], result["rollbacks"]) == (4, 0)
    assert gen(*command, "--steps", 6) == 0
    assert last_json(capsys)["skipped_steps"] == 6


def test_an_adaptive_softmax_goes_on_is_evaluated_and_writes(corpus, tmp_path, capsys):
    flags = [
        *("--corpus", corpus, "--frequent", 5, "--tied", "--eval-protocol", "cold-256"),
        *("--schedule", "constant", "--warmup-steps", 0, *SMALL),
    ]
    assert gen(*flags, "--workdir", tmp_path / "whole", "--steps", 20) == 0
    whole = last_json(capsys)
    for steps in (10, 20):
        assert gen(*flags, "--workdir", tmp_path / "parts", "--steps", steps) == 0
    parts = last_json(capsys)
    assert parts["resumed_from_step"] == 10
    assert parts["parameters_sha256"] == whole["parameters_sha256"]

    workdir = ["--workdir", str(tmp_path / "parts")]
    about = checkpoint.read_about(tmp_path / "parts", warn=print).about
    vocabulary = jt.text.Vocabulary.from_json(about["vocabulary"])
    assert set(vocabulary.decode(about["model"]["frequent"])) == set(" aoeh")
    assert evaluate.main([*workdir, "--protocol", "cold-256"]) == 0
    found = last_json(capsys)["nats_per_char"]
    assert found == pytest.approx(parts["val_nats_per_char"], abs=1e-5)
    assert sample.main([*workdir, "--length", "7", "--prompt", "the"]) == 0
    assert len(capsys.readouterr().out.rstrip("\n")) <= 7


def test_frequent_symbols_are_fewer_than_there_are(corpus, tmp_path, capsys):
    distinct = len(set(TEXT))
    flags = "--corpus", corpus, "--workdir", tmp_path / "run", "--frequent", distinct
    assert gen(*flags) == 2
    assert f"expected fewer than the {distinct} distinct" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def restored_params(workdir, name, step):
    with ocp.StandardCheckpointer() as checkpointer:
        path = workdir / "checkpoints" / name / str(step) / "params"
        return jax.tree.leaves(checkpointer.restore(path))


def test_a_full_disk_is_said_and_mended(corpus, tmp_path, capsys, monkeypatch):
    def full(*args, **options):
        raise ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device")

    workdir = tmp_path / "run"
    command = ["--corpus", corpus, "--workdir", workdir, "--save-steps", 2, *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr("orbax.checkpoint.Checkpointer.save", full)
        assert gen(*command, "--steps", 3) == 2
    captured = capsys.readouterr()
    assert captured.err.count("could not be saved as latest in") == 1
    assert f"error: cannot read or write in {workdir} (No space left" in captured.err
    assert gen(*command, "--steps", 3) == 0


def test_a_corpus_that_cannot_be_read_any_more(corpus, tmp_path, capsys, monkeypatch):
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", "--steps", 30, *SMALL]
    batch = jt.text.Streams.batch

    def unreadable(self, seed, k, **options):
        if k == 14:
            raise InputError("cannot read the ids (Input/output error)")
        return batch(self, seed, k, **options)

    with monkeypatch.context() as patch:
        patch.setattr(jt.text.Streams, "batch", unreadable)
        assert gen(*command) == 2
    assert "error: cannot read the ids" in capsys.readouterr().err
    assert gen(*command) == 0
    assert last_json(capsys)["resumed_from_step"] == 14


def test_a_workdir_may_have_any_name_and_a_damaged_result(corpus, tmp_path, capsys):
    workdir = tmp_path / "a$x^$b"
    command = ["--corpus", corpus, "--workdir", workdir, "--steps", 3, *SMALL]
    assert gen(*command) == 0
    first = last_json(capsys)
    (workdir / "result.json").write_text('{"steps": ')
    assert gen(*command) == 0
    assert last_json(capsys)["parameters_sha256"] == first["parameters_sha256"]


def test_extras_that_are_missing_are_named(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    workdir = tmp_path / "run"
    assert gen("--corpus", corpus, "--workdir", workdir, "--wandb") == 2
    assert "pip install 'jaxtext[wandb]'" in capsys.readouterr().err
    assert not workdir.exists()


def test_a_killed_save_of_the_best_is_taken_again(corpus, tmp_path, capsys):
    """The best checkpoint may be ahead of the latest that a killed run goes on from."""
    command = ["--corpus", corpus, "--workdir", tmp_path / "run", *SMALL, "--steps"]
    gen(*command, 10)
    ten = tmp_path / "ten"
    shutil.copytree(tmp_path / "run" / "checkpoints" / "latest", ten)
    gen(*command, 20)
    expected = json.loads(capsys.readouterr().out.splitlines()[-1])
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "latest")
    shutil.copytree(ten, tmp_path / "run" / "checkpoints" / "latest")
    (tmp_path / "run" / "result.json").unlink()
    assert gen(*command, 20) == 0
    result = last_json(capsys)
    assert result["resumed_from_step"] == 10
    assert result["parameters_sha256"] == expected["parameters_sha256"]


def test_killed_and_continued_is_as_if_never_killed(corpus, tmp_path, capsys):
    """A process that is killed outright, and so has no say in what is saved."""
    workdir = tmp_path / "killed"
    common = ["--corpus", corpus, *SMALL, "--eval-every", 200, "--steps", 600]
    gen(*common, "--workdir", tmp_path / "whole")
    whole = last_json(capsys)

    command = [sys.executable, char_gen.__file__, *common, "--workdir", workdir]
    command += ["--save-minutes", 0.005]
    with subprocess.Popen(
        [str(word) for word in command], stderr=subprocess.DEVNULL
    ) as process:
        latest = workdir / "checkpoints" / "latest"
        while not any(p.name.strip("0").isdigit() for p in latest.glob("*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not (workdir / "result.json").exists()
    assert gen(*common, "--workdir", workdir) == 0
    result = last_json(capsys)
    assert 0 < result["resumed_from_step"] < 600
    assert result["parameters_sha256"] == whole["parameters_sha256"]
    assert result["val_nats_per_char"] == whole["val_nats_per_char"]


@pytest.mark.parametrize("name", ["fox.txt", "fox[1].txt"])
def test_what_to_type_next_can_be_typed(name, corpus, tmp_path, capsys, monkeypatch):
    """As it is, and from anywhere: the text, the flags and Python are known."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(corpus.read_text())
    assert gen("--corpus", name, "--steps", 5, *SMALL) == 0
    said = capsys.readouterr().err
    lines = said.split("what to type next:\n")[1].splitlines()
    words = [shlex.split(line[9:]) for line in lines]
    assert [line[:9].strip() for line in lines] == [
         "write", "measure", "train on",
    ]  # fmt: skip
    assert all(word[2:4] == ["--workdir", "runs/" + word[3][5:]] for word in words)
    assert all(len(shlex.join(word[1:])) < 160 for word in words)
    assert sample.main(words[0][2:]) == 0
    assert evaluate.main(words[1][2:]) == 0
    capsys.readouterr()
    assert gen(*words[2][2:]) == 0
    result = last_json(capsys)
    assert (result["resumed_from_step"], result["steps"]) == (5, 10)
