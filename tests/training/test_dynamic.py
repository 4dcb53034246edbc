"""Dynamic evaluation against its equations, one segment and one symbol at a time."""

import jax
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import DynamicRule, evaluate, evaluate_dynamic, gradient_rms

V = 5
MODEL = jt.LanguageModel(jt.stack(jt.lstm(6), jt.dropout(0.5)), V)
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, V, 50).astype(np.uint8)
TRAIN = RNG.integers(0, V, 200).astype(np.uint8)
PARAMS = MODEL.init(jax.random.key(0), MODEL.initial_state((1,)), IDS[None])["params"]
STREAMS = jt.text.Streams(TRAIN, 3, 8)
# One call of the compiled function is of one shape for most of the tests.
RMS = gradient_rms(MODEL, PARAMS, (STREAMS.batch(0, k) for k in range(4)))


def segment_loss(params, state, ids):
    """Mean loss of ids[1:], step by step, and the state after them."""
    total = 0.0
    for now, after in zip(ids[:, :-1].T, ids[:, 1:].T, strict=True):
        now = np.asarray(now, np.int32)
        state, logits = MODEL.apply({"params": params}, state, now, method="step")
        log_p = jax.nn.log_softmax(logits)
        total -= log_p[np.arange(len(after)), after.astype(int)].mean()
    return total / (ids.shape[1] - 1), state


gradient = jax.value_and_grad(segment_loss, has_aux=True)


def reference(ids, rms, rule):
    """The equations in NumPy, in double precision but for the network itself."""
    leaves, structure = jax.tree.flatten(PARAMS)
    trained = [np.asarray(x, np.float64) for x in leaves]
    rms = [np.asarray(x, np.float64) for x in jax.tree.leaves(rms)]
    mean = np.concatenate([x.ravel() for x in rms]).mean()
    theta, state, total = trained, MODEL.initial_state((1,)), 0.0
    for begin in range(0, len(ids) - 1, rule.segment):
        segment = ids[None, begin : begin + rule.segment + 1]
        now = jax.tree.unflatten(structure, [np.float32(x) for x in theta])
        (loss, state), grads = gradient(now, state, segment)
        total += float(loss) * (segment.shape[1] - 1)
        theta = [
            x
            - rule.rate * np.asarray(g, np.float64) / (r + rule.epsilon)
            + rule.decay * (x_0 - x) * np.minimum(r / mean, 1 / rule.decay)
            for x, g, r, x_0 in zip(
                theta, jax.tree.leaves(grads), rms, trained, strict=True
            )
        ]
    return total / (len(ids) - 1)


def test_gradient_rms_by_its_definition():
    state, squares = MODEL.initial_state((3,)), []
    for k in range(4):
        batch = STREAMS.batch(0, k)
        ids = np.concatenate([batch.inputs, batch.targets[:, -1:]], axis=1)
        (_, state), grads = gradient(PARAMS, state, ids)
        squares.append(jax.tree.map(np.square, grads))
    expected = jax.tree.map(lambda *x: np.sqrt(np.mean(x, axis=0)), *squares)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7),
        RMS,
        expected,
    )


@pytest.mark.parametrize(
    "rule",
    [
        DynamicRule(segment=7, rate=0.02, decay=0.05),  # 49 are seven segments
        DynamicRule(segment=20, rate=0.02, decay=0.05),  # the last one is shorter
        DynamicRule(segment=20, rate=0.02, decay=3.0),  # the decay reaches its limit
        DynamicRule(segment=1000, rate=0.02, decay=0.05),
        DynamicRule(segment=7, rate=0.02, decay=0.05, epsilon=0.1),
    ],
)
def test_by_the_equations(rule):
    static = evaluate(MODEL, PARAMS, IDS)
    expected = reference(IDS, RMS, rule)
    assert rule.segment == 1000 or abs(expected - static) > 1e-3  # it does something
    for chunk in (2, 64):
        found = evaluate_dynamic(MODEL, PARAMS, RMS, IDS, rule, chunk=chunk)
        assert found == pytest.approx(expected, abs=2e-5)


def test_without_learning_it_is_static():
    static = evaluate(MODEL, PARAMS, IDS)
    rule = DynamicRule(segment=7, rate=0.0)
    found = evaluate_dynamic(MODEL, PARAMS, RMS, IDS, rule, chunk=2)
    assert found == pytest.approx(static, 1e-6)


def test_it_learns_a_text_unlike_the_training_text():
    ids = np.resize(np.array([0, 1, 2, 3], np.uint8), 400)
    static = evaluate(MODEL, PARAMS, ids)
    rule = DynamicRule(segment=7, rate=0.02, decay=0.002)
    found = evaluate_dynamic(MODEL, PARAMS, RMS, ids, rule, chunk=2)
    assert found < static - 0.3


def test_the_trained_parameters_stay_as_they_were():
    before = jax.tree.map(np.array, PARAMS)
    evaluate_dynamic(MODEL, PARAMS, RMS, IDS, DynamicRule(7, 0.02, 0.05), chunk=2)
    jax.tree.map(np.testing.assert_array_equal, PARAMS, before)


def test_parameters_without_gradient_stay():
    nothing = jax.tree.map(np.zeros_like, RMS)
    rule = DynamicRule(segment=7, rate=0.0)
    found = evaluate_dynamic(MODEL, PARAMS, nothing, IDS, rule, chunk=2)
    assert found == pytest.approx(evaluate(MODEL, PARAMS, IDS), 1e-6)


def test_ids_in_a_file_and_progress(tmp_path):
    (tmp_path / "ids").write_bytes(IDS.tobytes())
    rule, calls = DynamicRule(7, 0.02, 0.05), []
    found = evaluate_dynamic(
        MODEL,
        PARAMS,
        RMS,
        jt.text.FileArray(tmp_path / "ids"),
        rule,
        chunk=2,
        progress=lambda *call: calls.append(call),
    )
    assert found == evaluate_dynamic(MODEL, PARAMS, RMS, IDS, rule, chunk=2)
    assert calls == [(14, 49), (28, 49), (42, 49), (49, 49)]


def test_bad_input():
    with pytest.raises(InputError, match="at least 2 symbols, got 1"):
        evaluate_dynamic(MODEL, PARAMS, RMS, IDS[:1])
    with pytest.raises(InputError, match="batches: expected at least one"):
        gradient_rms(MODEL, PARAMS, [])
    with pytest.raises(InputError, match="segment: expected at least 1 symbol, got 0"):
        DynamicRule(segment=0)
    for name in ("rate", "decay", "epsilon"):
        with pytest.raises(
            InputError, match=f"{name}: expected a finite number of 0 or more, got nan"
        ):
            DynamicRule(**{name: float("nan")})
    with pytest.raises(InputError, match=r"diverged within the first 14 symbols"):
        evaluate_dynamic(MODEL, PARAMS, RMS, IDS, DynamicRule(7, 1e38), chunk=2)
