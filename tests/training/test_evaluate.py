"""Evaluation against the definition, one symbol at a time."""

import itertools

import jax
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import evaluate, predictions, surprisals

V = 5
MODEL = jt.LanguageModel(jt.stack(jt.lstm(6), jt.dropout(0.5)), V)
IDS = np.random.default_rng(0).integers(0, V, 50).astype(np.uint8)
PARAMS = MODEL.init(jax.random.key(0), MODEL.initial_state((1,)), IDS[None])["params"]


def reference_log_p(ids):
    """log p of every symbol in the place of each but the first, from the zero state."""
    state, found = MODEL.initial_state((1,)), []
    for now in ids[:-1]:
        ids_t = np.array([now], np.int32)
        state, logits = MODEL.apply({"params": PARAMS}, state, ids_t, method="step")
        found.append(np.asarray(jax.nn.log_softmax(logits)[0]))
    return np.array(found)


def reference_surprisals(ids, window=None):
    """-log p of each symbol but the first, the state zeroed before each window."""
    window = window or len(ids)
    parts = [ids[k : k + window + 1] for k in range(0, len(ids) - 1, window)]
    return np.concatenate(
        [-reference_log_p(x)[np.arange(len(x) - 1), x[1:]] for x in parts]
    )


def reference(ids):
    """Sum of -log p over a text, symbol by symbol, from the zero state."""
    return float(reference_surprisals(ids).sum())


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


# 49 predictions: whole windows, a short last one, one window, and more than there are.
WINDOWS = [1, 7, 12, 48, 49, 1000]


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_begin_from_the_zero_state(window):
    expected = reference_surprisals(IDS, window)
    assert len(expected) == 49
    found = evaluate(MODEL, PARAMS, IDS, window=window)
    assert found == pytest.approx(expected.mean(), 1e-5)


@pytest.mark.parametrize("streams", [1, 2, 3, 5, 64])
def test_windows_side_by_side_are_as_one_by_one(streams):
    pieces = predictions(MODEL, PARAMS, IDS, window=12, streams=streams)
    found = np.concatenate([piece.nats for piece in pieces])
    np.testing.assert_allclose(found, reference_surprisals(IDS, 12), rtol=1e-5)


@pytest.mark.parametrize("window", [None, 12])
def test_surprisals_are_in_the_order_of_the_text(window):
    found = surprisals(MODEL, PARAMS, IDS, window=window)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference_surprisals(IDS, window), rtol=1e-5)


def test_a_window_that_holds_the_text_is_carried():
    whole = surprisals(MODEL, PARAMS, IDS, window=49)
    np.testing.assert_allclose(surprisals(MODEL, PARAMS, IDS), whole, rtol=1e-6)


def test_the_likeliest_symbols():
    pieces = list(predictions(MODEL, PARAMS, IDS, chunk=20, likeliest=3))
    p = np.exp(reference_log_p(IDS))
    likeliest = np.concatenate([piece.likeliest for piece in pieces])
    np.testing.assert_array_equal(likeliest, np.argsort(-p, axis=1)[:, :3])
    found = np.concatenate([piece.probabilities for piece in pieces])
    np.testing.assert_allclose(found, -np.sort(-p, axis=1)[:, :3], rtol=1e-5)


@pytest.mark.parametrize("window", [7, 49, 1000])
def test_windows_of_ids_in_a_file(tmp_path, window):
    (tmp_path / "ids").write_bytes(IDS.tobytes())
    ids = jt.text.FileArray(tmp_path / "ids")
    for streams in (1, 3, None):
        options = {"window": window, "streams": streams}
        in_memory = evaluate(MODEL, PARAMS, IDS, **options)
        assert evaluate(MODEL, PARAMS, ids, **options) == in_memory


def test_two_symbols_are_a_text():
    expected = reference(IDS[:2])
    assert evaluate(MODEL, PARAMS, IDS[:2], window=256) == pytest.approx(expected, 1e-5)


def test_progress_in_windows_counts_symbols():
    calls = []
    options = {"window": 7, "streams": 3, "progress": lambda *call: calls.append(call)}
    evaluate(MODEL, PARAMS, IDS, **options)
    assert calls == [(21, 49), (42, 49), (49, 49)]


def test_no_window_is_none():
    with pytest.raises(InputError, match="window: expected a whole number"):
        evaluate(MODEL, PARAMS, IDS, window=0)
