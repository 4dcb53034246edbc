"""Evaluation against the definition, one symbol at a time."""

import itertools

import jax
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import evaluate

V = 5
MODEL = jt.LanguageModel(jt.stack(jt.lstm(6), jt.dropout(0.5)), V)
IDS = np.random.default_rng(0).integers(0, V, 50).astype(np.uint8)
PARAMS = MODEL.init(jax.random.key(0), MODEL.initial_state((1,)), IDS[None])["params"]


def reference(ids):
    """Sum of -log p over a text, symbol by symbol, from the zero state."""
    state, total = MODEL.initial_state((1,)), 0.0
    for now, after in itertools.pairwise(ids):
        ids_t = np.array([now], np.int32)
        state, logits = MODEL.apply({"params": PARAMS}, state, ids_t, method="step")
        total -= float(jax.nn.log_softmax(logits)[0, after])
    return total


@pytest.mark.parametrize("chunk", [1, 7, 49, 1000])
def test_carried(chunk):
    expected = reference(IDS) / 49
    assert evaluate(MODEL, PARAMS, IDS, chunk=chunk) == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("streams", [2, 3, 49, 64])
def test_streams_read_every_symbol_once(streams):
    parts = min(streams, 49)
    starts = np.arange(parts + 1) * 49 // parts
    total = sum(reference(IDS[a : b + 1]) for a, b in itertools.pairwise(starts))
    found = evaluate(MODEL, PARAMS, IDS, streams=streams, chunk=4)
    assert found == pytest.approx(total / 49, 1e-5)


def test_one_symbol_predicts_nothing():
    with pytest.raises(InputError, match="at least 2"):
        evaluate(MODEL, PARAMS, IDS[:1])


@pytest.mark.parametrize(("streams", "chunk"), [(1, 7), (3, 4), (4, 1000)])
def test_ids_in_a_file(tmp_path, streams, chunk):
    (tmp_path / "ids").write_bytes(IDS.tobytes())
    ids = jt.text.FileArray(tmp_path / "ids")
    options = {"streams": streams, "chunk": chunk}
    in_memory = evaluate(MODEL, PARAMS, IDS, **options)
    assert evaluate(MODEL, PARAMS, ids, **options) == in_memory


def test_progress_counts_symbols():
    calls = []
    evaluate(
        MODEL,
        PARAMS,
        IDS,
        streams=3,
        chunk=7,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(21, 49), (42, 49), (49, 49)]


def test_progress_may_stop_it():
    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        evaluate(MODEL, PARAMS, IDS, progress=stop)
