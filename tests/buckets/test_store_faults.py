"""Faults of a store: told or tried again, and none silently wrong."""

import collections
import random
import warnings

import jax
import numpy as np
import object_store
import optax
import pytest

import jaxtext as jt
from jaxtext import buckets
from jaxtext.errors import InputError
from jaxtext.runs import checkpoint
from jaxtext.runs.checkpoint import Checkpoints
from jaxtext.runs.log import MetricsLog, read_metrics
from jaxtext.training import create_state

MODEL = jt.LanguageModel(jt.lstm(4), 5)
START = create_state(MODEL, optax.sgd(0.1), jax.random.key(3), 2)


def state(step):
    params = jax.tree.map(lambda x: 0 * x + step, START.params)
    return START._replace(step=START.step + step, params=params)


def step_in(params):
    """The step that all parameters are filled with; ``None`` if they are not."""
    values = {float(x) for leaf in jax.tree.leaves(params) for x in np.ravel(leaf)}
    return values.pop() if len(values) == 1 else None


class Faults:
    """Makes faults of a kind at random requests, once or for a while."""

    def __init__(self, store, kind, rng, *, lasting):
        self._store, self._kind, self._rng = store, kind, rng
        self._lasting = lasting
        self.made = 0

    def __enter__(self):
        begin = self._rng.randrange(0, 40)
        end = 10**6 if self._lasting else begin + self._rng.randrange(1, 3)
        first = self._store.requests

        def fault(method, path):
            if begin <= self._store.requests - first - 1 < end:
                self.made += 1
                return self._kind
            return None

        self._store.fault = fault
        return self

    def __exit__(self, *_):
        self._store.fault = lambda method, path: None


def use(url, step):
    """Saves a step and restores it; returns what was told, and what failed."""
    told, failed = [], []
    log = MetricsLog(url)
    log.rewind(log.size_of(step - 1))
    log.append({"step": step})
    checkpoints = Checkpoints(url, warn=told.append)
    checkpoints.save_latest(state(step), {"n": step})
    try:
        checkpoints.finish()
    except OSError as error:
        failed.append(("save", error))
    found = None
    try:
        found = checkpoints.restore_latest(START)
    except (OSError, InputError) as error:
        failed.append(("restore", error))
    try:
        params = checkpoint.restore_params(url, START.params, warn=told.append)
        assert step_in(params.arrays) == params.step
    except InputError as error:
        failed.append(("read", error))
    return told, failed, found


CALM = ("500", "503", "429", "slow", "refused", "lost", "cut", "silent")


@pytest.mark.everyday("store", kind=("500",))
@pytest.mark.parametrize("kind", [*CALM, "403"])
def test_no_fault_is_silently_wrong(kind, store, folder, impatient, monkeypatch):
    monkeypatch.setattr(object_store, "SLOW", 0.05)
    monkeypatch.setattr(object_store, "SILENCE", 0.5)
    monkeypatch.setattr(buckets, "PATIENCE", 20.0)
    rng, url, last = random.Random(kind), store.url(folder), 0
    count = collections.Counter()
    for step in range(1, 13):
        lasting = kind in ("503", "403", "refused") and step % 3 == 0
        monkeypatch.setattr(buckets, "PATIENCE", 0.3 if lasting else 20.0)
        with Faults(store, kind, rng, lasting=lasting) as faults:
            try:
                told, failed, found = use(url, step)
            except (OSError, InputError) as error:  # before anything could be saved
                told, failed, found = [], [("open", error)], None
        count["faults"] += faults.made
        count["failed"] += len(failed)
        for _, error in failed:
            assert "\n" not in str(error)
        saved = not any(what in ("save", "open") for what, _ in failed)
        if not lasting and kind != "403":
            assert not failed, (kind, step, failed)
        if not saved and not any(what == "open" for what, _ in failed):
            assert any("could not be saved" in text for text in told)
        if found is not None:
            assert step_in(found.arrays.params) == found.step == found.about["n"]
            assert found.step == step if saved else found.step <= step
        # Whatever happened, the last state that was saved is there, and is whole.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            checkpoints = Checkpoints(url)
            now = checkpoints.restore_latest(START)
        if saved:
            last = step
        if now is None:
            assert last == 0
            continue
        assert step_in(now.arrays.params) == now.step
        assert now.step >= last
        last = now.step
        names = store.names(f"{folder}/checkpoints/")
        assert not any("saving-" in x or "removing-" in x for x in names)
        if saved:
            assert read_metrics(f"{url}/metrics.jsonl")[-1] == {"step": step}
    print(store.scheme, kind, dict(count))
    assert count["faults"] >= 12
