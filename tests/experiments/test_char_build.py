"""charlm.build.py: the optimizer is the one that the flags say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from charlm.build import build_optimizer, build_trainer, planned_for, slowed
from charlm.parse import parse

PARAMS = {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, 2.0)}
STEPS = 1000


def updates(*flags, gradients=(0.0,), change=lambda state: state):
    """The last update of those that come of some gradients, the same for all."""
    words = [str(word) for word in flags]
    optimizer = build_optimizer(parse(words), STEPS)
    state, step = change(optimizer.init(PARAMS)), jax.jit(optimizer.update)
    update = PARAMS
    for gradient in gradients:
        grads = jax.tree.map(lambda x, g=gradient: jnp.full_like(x, g), PARAMS)
        update, state = step(grads, state, PARAMS)
    return update


def rate(count, *flags, change=lambda state: state):
    """The learning rate of a step: what decay takes off a matrix is a share of it."""
    flags = "--learning-rate", 0.5, "--weight-decay", 0.25, *flags
    update = updates(*flags, gradients=[0.0] * (count + 1), change=change)
    return float(update["kernel"][0, 0]) / (-0.25 * 2.0)


def test_decay_is_of_matrices_alone():
    update = updates("--learning-rate", 0.5, "--warmup-steps", 0)
    np.testing.assert_allclose(update["kernel"], -0.5 * 0.1 * 2.0, rtol=1e-6)
    assert not update["bias"].any()


@pytest.mark.parametrize(
    ("flags", "count", "share"),
    [
        ((), 0, 0.01),
        ((), 49, 0.5),
        ((), 100, 1.0),
        ((), 100 + 450, 0.5),
        ((), 999, 0.5 * (1 + np.cos(np.pi * 899 / 900))),
        (("--warmup-steps", 0), 0, 1.0),
        (("--warmup-steps", 500), 99, 1.0),  # a tenth of all at most
        (("--schedule", "linear"), 49, 0.5),
        (("--schedule", "linear"), 100 + 225, 0.75),
        (("--schedule", "linear"), 999, 1 / 900),
        (("--schedule", "constant"), 0, 0.01),
        (("--schedule", "constant"), 999, 1.0),
    ],
)
def test_the_rate_rises_and_falls_as_planned(flags, count, share):
    assert rate(count, *flags) == pytest.approx(0.5 * share, rel=1e-3, abs=1e-7)


def test_a_plan_and_a_rate_change_while_it_runs():
    again = rate(150, change=lambda state: planned_for(state, 200))
    whole = 0.5 * 0.5 * (1 + np.cos(np.pi * 130 / 180))
    assert again == pytest.approx(whole, rel=1e-3)
    flags = "--schedule", "constant"
    assert rate(100, *flags, change=slowed) == pytest.approx(0.25)


def test_gradients_are_clipped_and_then_are_adam_s():
    flags = "--learning-rate", 0.5, "--weight-decay", 0, "--warmup-steps", 0
    grads = [3.0, 1e-9]  # norm 9 is cut to 1, and 3e-9 is left
    found = [updates(*flags, gradients=[x])["bias"][0] for x in grads]
    # Adam's first step: g / (|g| + 1e-8).
    expected = [-0.5 * g / (g + 1e-8) for g in (1 / 3, 1e-9)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    clipped = updates(*flags, "--clip", 3e-9, gradients=[3.0])["bias"][0]
    assert clipped == pytest.approx(-0.5 * 1e-9 / (1e-9 + 1e-8), rel=1e-3)


def test_adam_s_second_moment_is_short():
    flags = "--learning-rate", 0.5, "--weight-decay", 0, "--warmup-steps", 0
    bias = updates(*flags, gradients=[0.1, 0.0])["bias"][0]
    first = 0.9 * 0.1 / (1 - 0.9**2)
    second = 0.99 * 0.01 / (1 - 0.99**2)
    assert bias == pytest.approx(-0.5 * first / np.sqrt(second), rel=1e-4)


def test_rmsprop_is_that_of_keras():
    flags = "--optimizer", "rmsprop", "--learning-rate", 0.5
    update = updates(*flags, gradients=[0.2])
    # Keras: v = 0.1 g², g / (sqrt(v) + 1e-7); optax adds its epsilon within the root.
    np.testing.assert_allclose(update["kernel"], -0.5 / np.sqrt(0.1), rtol=1e-4)


def test_the_state_to_begin_from_is_the_same_compiled():
    """To the bit, so that a seed names one network."""
    config = parse(["--hidden", "7", "--tied", "--layer-norm"])
    made = build_trainer(config, 9, 8)
    key = jax.random.key(3)
    plain = jt.training.create_state(made.model, build_optimizer(config), key, 8)
    state = made.create(key)
    assert jax.tree.structure(state) == jax.tree.structure(plain)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(plain), strict=True):
        assert one.dtype == other.dtype
        if one is not state.key:
            np.testing.assert_array_equal(one, other)
