"""Checkpoints, the log and the lock of a run."""

import json
import multiprocessing
import signal

import jax
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import checkpoint, create_state
from jaxtext.training.interrupt import requests_to_stop
from jaxtext.training.log import MetricsLog, draw_curve, read_metrics
from jaxtext.training.workdir import claim


def make_state():
    model = jt.LanguageModel(jt.stack(jt.lstm(4), jt.dropout(0.1)), 5)
    return create_state(model, optax.adamw(1e-3), jax.random.key(3), 2)


def test_a_state_comes_back_bit_for_bit(tmp_path):
    state = make_state()
    state = state._replace(step=state.step + 12)
    about = {"vocabulary": "aé\n\0😀", "best": {"step": None}}
    checkpoint.save_latest(tmp_path, state, about)
    found = checkpoint.restore_latest(tmp_path, jax.eval_shape(lambda: state))
    assert (found.step, found.about) == (12, about)
    assert jax.tree.structure(found.arrays) == jax.tree.structure(state)
    for a, b in zip(*map(jax.tree.leaves, (found.arrays, state)), strict=True):
        assert a.dtype == b.dtype
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_parameters_come_from_the_best_else_the_latest(tmp_path):
    state = make_state()
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint.read_about(tmp_path)
    checkpoint.save_latest(tmp_path, state._replace(step=state.step + 9), {"n": 9})
    assert checkpoint.read_about(tmp_path)[:2] == (9, {"n": 9})
    better = jax.tree.map(lambda x: x + 1, state.params)
    checkpoint.save_best(tmp_path, 4, better, {"n": 4})
    found = checkpoint.restore_params(tmp_path, state.params)
    assert found[:2] == (4, {"n": 4})
    np.testing.assert_array_equal(
        found.arrays["output"]["bias"], better["output"]["bias"]
    )


def test_latest_keeps_two_and_a_step_taken_again_replaces(tmp_path):
    state = make_state()
    for step in (1, 2, 3, 2):
        checkpoint.save_latest(tmp_path, state._replace(step=state.step + step), {})
    kept = {p.name for p in (tmp_path / "checkpoints" / "latest").iterdir()}
    assert kept == {"2"} or kept == {"1", "2"}
    assert checkpoint.restore_latest(tmp_path, state).step == 2


def test_nothing_to_restore(tmp_path):
    assert checkpoint.restore_latest(tmp_path, make_state()) is None


def hold(workdir, ready):
    with claim(workdir, {}):
        ready.set()
        signal.pause()


def test_a_workdir_is_held_by_one_process_and_freed_by_its_death(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(InputError, match="another process"), claim(tmp_path, {}):
        pass
    process.kill()
    process.join()
    with claim(tmp_path, {}):
        pass


def test_a_config_that_is_no_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not the JSON"), claim(tmp_path, {}):
        pass


def test_log_drops_what_lies_ahead_and_half_lines(tmp_path):
    log = MetricsLog(tmp_path, step=0)
    for step in (10, 20, 30):
        log.append({"step": step, "loss": 1.0})
    with log.path.open("a") as file:
        file.write('{"step": 40, "lo')
    assert [r["step"] for r in read_metrics(log.path)] == [10, 20, 30]
    log = MetricsLog(tmp_path, step=20)
    log.append({"step": 21, "loss": 0.5})
    lines = log.path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 21]


def test_curve_without_records_is_a_picture_too(tmp_path):
    draw_curve([], tmp_path / "curve.png", "nothing yet")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def default_sigint():
    """Python's own handler, also where a shell started us with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_sigint")
def test_a_later_signal_acts_at_once(monkeypatch):
    with requests_to_stop() as request:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # a key that was pressed twice
        assert request.signal == signal.SIGINT
        monkeypatch.setattr("jaxtext.training.interrupt.PRESSED_TWICE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
