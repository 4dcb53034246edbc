"""Memory tasks against plain Python; learning them; what memory.py keeps."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import threading
import time
import typing

import jax
import jax.numpy as jnp
import memory
import numpy as np
import optax
import psutil
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from recall import learn as memory_train
from recall import pool
from recall import run as memory_run
from recall.reach import linear, reach
from recall.suite import PROBLEMS, build
from recall.tasks import TASKS

LONGEST = 13
SIZES = np.arange(2, LONGEST + 1)


def _drawn(name, seed=0):
    """Examples as lists: what is read up to the last answer, and the answers."""
    examples = TASKS[name].draw(jax.random.key(seed), jnp.asarray(SIZES), LONGEST)
    examples = jax.tree.map(np.asarray, examples)
    for inputs, targets, mask in zip(*examples, strict=True):
        end = np.flatnonzero(mask)[-1] + 1
        yield inputs[:end].tolist(), targets[mask].tolist()


def _both(name):
    """Examples of two seeds, each with its size."""
    for seed in (0, 1):
        yield from zip(SIZES.tolist(), _drawn(name, seed), strict=True)


def test_brackets_leave_one_open_at_the_distance():
    distances = np.arange(1, 101)
    examples = TASKS["brackets"].draw(jax.random.key(0), jnp.asarray(distances), 100)
    depths, kinds = set(), set()
    for distance, text, answers, mask in zip(distances, *examples, strict=True):
        still_open = []
        for at, symbol in enumerate(text.tolist()):
            if symbol >= 12:
                _, kind = still_open.pop()
                assert kind == symbol - 12
            elif symbol >= 8:
                still_open.append((at, symbol - 8))
                depths.add(len(still_open))
        ((opened, kind),) = still_open
        assert len(text) - opened == distance
        assert np.flatnonzero(mask).tolist() == [len(text) - 1]
        assert answers[-1] == kind
        kinds.add(kind)
    assert depths == {1, 2, 3}
    assert kinds == {0, 1, 2, 3}


def test_adding_adds_one_number_of_each_half():
    for length, (read, answers) in _both("adding"):
        numbers, marks = zip(*read, strict=True)
        assert len(numbers) == length
        first, second = np.flatnonzero(marks)
        assert first < length // 2 <= second
        assert answers == [pytest.approx(numbers[first] + numbers[second])]


def test_copy_recalls_after_the_delay():
    for delay, (text, answers) in _both("copy"):
        assert len(text) == delay + 20
        assert text[:10] == answers
        assert max(answers) < 8
        assert text[10:] == [8] * (delay - 1) + [9] + [8] * 10


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("parity", lambda text: sum(text) % 2),
        ("even-pairs", lambda text: sum(map(int.__ne__, text, text[1:])) % 2),
        ("cycle", lambda text: sum({0: 0, 1: 1, 2: -1}[x] for x in text) % 5),
        ("modular", lambda text: eval("".join("01234+-*"[x] for x in text)) % 5),
    ],
)
def test_languages_answer_at_the_end(name, answer):
    for length, (text, answers) in _both(name):
        assert len(text) == ((length - 1) // 2 * 2 + 1 if name == "modular" else length)
        assert answers == [answer(text)]


def test_bucket_sort_tells_in_order():
    for length, (text, answers) in _both("bucket-sort"):
        assert len(text) == 2 * length
        assert text[length:] == [5] * length
        assert answers == sorted(text[:length])


def test_what_is_known_without_reading_is_the_baseline():
    task = TASKS["bucket-sort"]
    sizes = jnp.repeat(jnp.array([41, 60, 100]), 300)
    examples = task.draw(jax.random.key(0), sizes, 100)
    right = []
    for part in range(3):
        targets = np.asarray(examples.targets)[sizes == sizes[300 * part]]
        mask = np.asarray(examples.mask)[300 * part]
        counts = np.array([np.bincount(x, minlength=5) for x in targets[:, mask].T])
        right.append(counts.max(1).mean() / 300)
    assert right[0] < task.baseline < right[2]
    assert task.baseline == pytest.approx(np.mean(right), abs=0.01)


PROTOCOL = memory_train.Protocol((1, 6), (6,), 300, hidden=16, learning_rate=1e-2)


def _trained(protocol, training, cell, until):
    task = TASKS["even-pairs"]
    key = jax.random.key(1)
    for there in memory_train.train(task, cell, protocol, training, key):
        if len(there.losses) >= until:
            return there
    return training


def test_a_cell_learns_and_goes_on_from_where_it_was():
    task, cell = TASKS["even-pairs"], build("gru", 16, 6)

    def accuracy(training):
        params, sizes = training.learner.params, jnp.full(256, 6)
        key = jax.random.key(2)
        return float(memory_train.score(task, cell, params, key, 6, sizes).mean())

    start = memory_train.begin(task, cell, PROTOCOL, jax.random.key(0))
    assert accuracy(start) < 0.7
    whole = _trained(PROTOCOL, start, cell, 300)
    assert whole.losses.shape == (300,)
    assert accuracy(whole) > 0.95

    start = memory_train.begin(task, cell, PROTOCOL, jax.random.key(0))
    part = _trained(PROTOCOL, start, cell, 150)
    again = _trained(PROTOCOL, part, cell, 300)
    np.testing.assert_array_equal(again.losses, whole.losses)


def test_each_step_has_examples_of_its_own():
    protocol, cell = PROTOCOL._replace(learning_rate=0.0), build("rnn", 16, 6)
    start = memory_train.begin(TASKS["even-pairs"], cell, protocol, jax.random.key(0))
    losses = _trained(protocol, start, cell, 12).losses
    assert len(set(losses.tolist())) == 12


def test_an_update_that_is_not_finite_is_left_out():
    task, cell = TASKS["even-pairs"], build("rnn", 16, 6)
    start = memory_train.begin(task, cell, PROTOCOL, jax.random.key(0))
    params = start.learner.params
    params["bias"] = jnp.full(2, 3e38)
    params["kernel"] = jnp.full((16, 2), 3e38)
    after = _trained(PROTOCOL, start, cell, 3)
    assert not np.isfinite(after.losses).all()
    for x in jax.tree.leaves(after.learner.params):
        assert np.isfinite(x).all()


@pytest.mark.parametrize(
    ("sampling", "share"), [("uniform", 0.1), ("log-uniform", 0.5)]
)
def test_sizes_are_drawn_as_they_should(sampling, share):
    protocol = memory_train.Protocol((1, 99), (), 1, 4000, sampling=sampling)
    sizes = np.asarray(memory_train._sizes(protocol, jax.random.key(0)))
    assert (sizes.min(), sizes.max()) == (1, 99)
    assert (sizes < 10).mean() == pytest.approx(share, abs=0.03)
    narrow = protocol._replace(train_sizes=(200, 200))
    assert set(memory_train._sizes(narrow, jax.random.key(0)).tolist()) == {200}


PARITY = ["--task", "parity", "--cell", "rnn", "--hidden", "8", "--jobs", "2"]


@pytest.mark.thorough
def test_runs_are_kept_and_not_made_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "FEW", 2)
    command = [*PARITY, "--seeds", "0", "1", "0", "--out", str(tmp_path)]
    assert memory.main([*command, "--steps", "2"]) == 0
    said = json.loads(capsys.readouterr().out)
    score = said["scores"]["parity"]["rnn"]
    assert (score["seeds"], score["steps"]) == (2, 2)
    assert 0 <= score["worst"] <= score["median"] <= 1
    assert (tmp_path / "languages.png").stat().st_size > 10_000
    first = tmp_path / "parity-rnn-0.json"
    line = json.loads(first.read_text())
    assert line["steps"] == [1, 2]
    assert set(line["scores"]) == {str(size) for size in range(41, 101)}

    (tmp_path / "parity-rnn-1.json").unlink()
    stamp = first.stat().st_mtime_ns
    assert memory.main([*command, "--steps", "2"]) == 0
    assert json.loads(capsys.readouterr().out) == said
    assert first.stat().st_mtime_ns == stamp

    assert memory.main([*command, "--steps", "3"]) == 2
    assert "of another protocol" in capsys.readouterr().err
    first.write_text("{")
    assert memory.main([*command, "--steps", "2"]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_what_has_learnt_too_little_is_in_no_picture(tmp_path, capsys):
    command = [*PARITY, "--seeds", "0", "--steps", "2", "--out", str(tmp_path)]
    assert memory.main(command) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["pictures"] == []
    assert "1 runs trained for fewer than 100 steps" in captured.err
    assert not list(tmp_path.glob("*.png"))


def test_training_goes_on_from_what_was_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_run, "SAVE_SECONDS", 0)
    run = memory_run.Run("parity", "gru", 3, PROTOCOL._replace(steps=6))

    def stop(done, loss):
        assert np.isfinite(loss)
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory_run.trained(run, tmp_path, stop)
    seen = []
    whole = memory_run.trained(run, tmp_path, lambda done, loss: seen.append(done))
    assert seen == [4, 5, 6]
    anew = memory_run.trained(run, tmp_path / "..")
    np.testing.assert_array_equal(whole.losses, anew.losses)
    assert memory_run.make(run, tmp_path)["steps"] == [1, 2, 3, 4, 5, 6]

    kept = tmp_path / f"{run.name}.msgpack"
    other = run._replace(protocol=run.protocol._replace(steps=7))
    with pytest.raises(InputError, match="of another protocol"):
        memory_run.trained(other, tmp_path)
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(InputError, match="is damaged"):
        memory_run.trained(run, tmp_path)


def test_a_process_that_is_lost_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pool, "make", _die)
    command = [*PARITY, "--seeds", "0", "--steps", "2", "--out", str(tmp_path)]
    assert memory.main(command) == 75
    assert "a process was lost" in capsys.readouterr().err


def _die(run, out):
    os._exit(1)


def test_ctrl_c_ends_all_processes_and_keeps_what_is_done(tmp_path):
    script = memory.__file__
    command = [sys.executable, script, *PARITY, "--steps", "100000"]
    command += ["--seeds", "0", "1", "--out", str(tmp_path)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(psutil.Process(process.pid).children()) < 3:  # one tracks resources
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.2)
    children = psutil.Process(process.pid).children()
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert "stopped; runs that are done are in" in said
    assert "Traceback" not in said
    assert not psutil.wait_procs(children, timeout=30)[1]


def test_ctrl_c_while_workers_begin_is_heard(tmp_path, monkeypatch, capsys):
    class Pool:
        def __init__(self, *_):
            pass

        def submit(self, *_):
            os.kill(os.getpid(), signal.SIGINT)
            future = concurrent.futures.Future()
            unheard = AssertionError("Ctrl-C was not heard")
            late = threading.Timer(20, future.set_exception, [unheard])
            late.daemon = True
            late.start()
            return future

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", Pool)
    assert memory.main([*PARITY, "--out", str(tmp_path)]) == 130
    assert "stopped; runs that are done are in" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--steps", "--hidden", "--jobs"])
def test_numbers_out_of_range_are_refused(flag, tmp_path, capsys):
    assert memory.main([flag, "0", "--out", str(tmp_path)]) == 2
    assert (
        f"{flag}: expected a whole number of 1 or more, got 0"
        in capsys.readouterr().err
    )


def test_every_problem_has_a_task_and_both_scales():
    for problem in PROBLEMS.values():
        assert problem.task in TASKS
        examples = [p.steps * p.batch_size for p in (problem.scaled, problem.full)]
        assert examples[0] < examples[1]
        for cell in problem.cells:
            scaled = problem.protocol(cell)
            build(cell, 4, scaled.train_sizes[1])
            assert (
                scaled.learning_rate > problem.protocol(cell, full=True).learning_rate
            )
    said = typing.get_type_hints(memory.Config)["task"]
    assert set(typing.get_args(said)) == {"all", *TASKS}
    assert {problem.task for problem in PROBLEMS.values()} == set(TASKS)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_without_tanh_the_gradient_is_a_power_of_the_scale(scale):
    cell = linear(8)
    params = {
        "recurrent": cell.init(jax.random.key(0), 3),
        "kernel": jnp.ones((8, 2)).at[0, 1].set(3.0),
        "bias": jnp.zeros(2),
    }
    params["recurrent"]["recurrent_kernel"] *= scale
    inputs, targets = jnp.zeros((1, 6), int), jnp.zeros(1, int)
    norms = reach(TASKS["parity"], cell, params, inputs, targets)
    np.testing.assert_allclose(norms / norms[0], scale ** np.arange(6.0), rtol=1e-5)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_reach_is_the_gradient_of_the_loss(name):
    cell = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}[name](5)
    task, protocol = TASKS["brackets"], memory_train.Protocol((1, 4), (), 1, hidden=5)
    start = memory_train.begin(task, cell, protocol, jax.random.key(1))
    params = start.learner.params
    inputs, targets = jnp.array([[3, 9, 1, 12]]), jnp.array([2])
    norms = reach(task, cell, params, inputs, targets)

    start = cell.initial_state((1,))
    before, _ = jt.unroll(cell, params["recurrent"], start, inputs[:, :1])

    def loss(state):
        _, ys = jt.unroll(cell, params["recurrent"], state, inputs[:, 1:])
        said = ys[:, -1] @ params["kernel"] + params["bias"]
        return -jax.nn.log_softmax(said)[0, 2]

    np.testing.assert_allclose(norms[3], optax.tree.norm(jax.grad(loss)(before)), 1e-4)
