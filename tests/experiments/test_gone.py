"""A directory, or a part of it, that vanishes while a run trains in it."""

import json
import shutil

import char_gen
import pytest

from jaxtext.runs.log import read_metrics

SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--sample-every", "0"]


@pytest.fixture
def gen(tmp_path, capsys):
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run")]

    def run(*words):
        status = char_gen.main([*of, *SMALL, *map(str, words)])
        captured = capsys.readouterr()
        return status, json.loads(captured.out or "null"), captured.err

    return run


@pytest.fixture
def at(monkeypatch):
    """``at(step, do)``: something is done when that step has been taken."""

    def when(step, do):
        run_steps = char_gen.run_steps

        def stepping(*args):
            for progress in run_steps(*args):
                yield progress
                if progress.step == step:
                    do()

        monkeypatch.setattr(char_gen, "run_steps", stepping)

    return when


def moved(run):
    run.rename(run.with_name("moved"))


def removed(run):
    moved(run)  # at once: what is being written would stand in the way
    shutil.rmtree(run.with_name("moved"), ignore_errors=True)


def replaced(run):
    moved(run)
    run.mkdir()


WAYS = {"moved": moved, "removed": removed, "replaced": replaced}


# What Orbax has under way then ends in its threads.
@pytest.mark.everyday("way", "saving")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("saving", [(), ("--save-steps", 1, "--eval-every", 3)])
def test_a_directory_that_is_gone_is_one_message_and_ends_it(
    way, saving, gen, at, tmp_path
):
    at(25, lambda: WAYS[way](tmp_path / "run"))
    status, result, said = gen("--steps", 300, *saving)
    assert (status, result) == (2, None)
    told = [x for x in said.splitlines() if str(tmp_path / "run") in x]
    assert told[0].startswith("a new run in ")
    assert told[1].startswith(
        f"error: {tmp_path / 'run'} is not there any more: it was"
    )
    assert "training stopped at step 26" in told[1]
    assert len(told) == 2
    assert "Traceback" not in said
    left = tmp_path / "run"
    assert not (left / "result.json").exists()
    assert not (left / "curve.png").exists()


def test_one_that_was_moved_goes_on_there(gen, at, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    with monkeypatch.context():
        at(25, lambda: (tmp_path / "run").rename(moved))
        assert gen("--steps", 40, "--save-steps", 10)[0] == 2
    monkeypatch.undo()
    _, result, _ = gen("--steps", 40, "--workdir", moved)
    assert result["resumed_from_step"] in (10, 20)  # whether that was saved by then
    assert result["steps"] == 40


def test_a_log_that_is_removed_is_written_again(gen, at, tmp_path):
    log = tmp_path / "run" / "metrics.jsonl"
    at(25, log.unlink)
    status, _, said = gen("--steps", 60)
    assert status == 0
    assert "could not be written" not in said
    steps = [x["step"] for x in read_metrics(log) if "loss" in x]
    assert steps == [10, 20, 30, 40, 50, 60]


def test_a_log_that_cannot_be_written_is_told_once(gen, at, tmp_path):
    log = tmp_path / "run" / "metrics.jsonl"

    def blocked():
        log.unlink()
        log.mkdir()

    at(25, blocked)
    at(55, log.rmdir)
    status, _, said = gen("--steps", 80)
    assert status == 0
    assert said.count("could not be written") == 1
    steps = [x["step"] for x in read_metrics(log) if "loss" in x]
    assert steps == [10, 20, 30, 40, 50, 60, 70, 80]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_result_names_a_checkpoint_that_is_there(gen, at, tmp_path):
    checkpoints = tmp_path / "run" / "checkpoints"
    at(25, lambda: checkpoints.rename(tmp_path / "removed"))
    status, result, said = gen("--steps", 30, "--eval-every", 20, "--learning-rate", 9)
    assert status == 0, said
    assert result["best_step"] == 30
    assert (checkpoints / "latest" / "30").is_dir()
    best = [int(path.name) for path in checkpoints.glob("best/*")]
    assert best in ([], [30])
    if not best:
        assert "the best checkpoint, of step 20, is not there any more" in said
        assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
