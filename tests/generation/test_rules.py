"""The rules of decoding against their definitions, on random logits."""

import definitions
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtext.generation import heaviest, rules

NUMBERS = {
    "top_k": (1, 3, 20, 65),
    "top_p": (0.1, 0.5, 0.9, 0.97),
    "min_p": (0.0, 0.02, 0.3, 1.0),
    "typical_p": (0.1, 0.5, 0.9, 0.97),
}


def logits(rows, symbols, seed=0, spread=3.0):
    draw = np.random.default_rng(seed).normal
    return draw(scale=spread, size=(rows, symbols)).astype(np.float32)


def check(found, expected):
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("symbols", [65, 256])  # by pairs, and by bisection
@pytest.mark.parametrize("name", NUMBERS)
def test_a_rule_is_its_definition(name, symbols):
    z = logits(200, symbols)
    numbers = np.resize(NUMBERS[name], 200)
    by_row = jnp.asarray(numbers)[:, None]
    found = jax.jit(getattr(rules, name))(z, by_row)
    define = getattr(definitions, name)
    expected = [define(row.astype(float), n) for row, n in zip(z, numbers, strict=True)]
    check(found, np.asarray(expected))
    for number in NUMBERS[name]:
        alone = getattr(rules, name)(z, number)
        rows = numbers == number
        np.testing.assert_array_equal(alone[rows], found[rows])


def test_the_penalty_is_its_definition():
    z = logits(50, 20)
    seen = np.random.default_rng(1).integers(20, size=(50, 6))
    repeated = (seen[:, :, None] == np.arange(20)).any(1)
    for penalty in (0.5, 1.0, 1.3):
        found = rules.repetition_penalty(z, repeated, penalty)
        expected = [
            definitions.repetition_penalty(row, ids, penalty)
            for row, ids in zip(z, seen, strict=True)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", NUMBERS)
def test_equal_symbols_are_kept_or_not_together(name):
    z = np.round(logits(100, 30))  # few distinct values
    for number in NUMBERS[name]:
        kept = np.isfinite(getattr(rules, name)(z, number))
        for row, here in zip(z, kept, strict=True):
            for value in np.unique(row):
                assert len(set(here[row == value])) == 1


@pytest.mark.parametrize("name", NUMBERS)
def test_one_symbol_is_always_left_and_a_neutral_number_leaves_all(name):
    z = logits(50, 65, spread=30.0)
    least, neutral = {"top_k": (1, 65), "min_p": (1.0, 0.0)}.get(name, (1e-6, 1.0))
    assert (np.isfinite(getattr(rules, name)(z, least)).sum(1) == 1).all()
    np.testing.assert_array_equal(getattr(rules, name)(z, neutral), z)


@pytest.mark.parametrize("name", NUMBERS)
def test_rules_go_on_where_others_took_symbols_away(name):
    z = np.where(np.arange(65) % 3 == 0, logits(50, 65), -np.inf).astype(np.float32)
    few = z[:, ::3]
    with jax.debug_nans(True):
        for number in (n for n in NUMBERS[name] if n != 65):
            found = getattr(rules, name)(z, number)
            np.testing.assert_array_equal(
                found[:, ::3], getattr(rules, name)(few, number)
            )
            assert not np.isfinite(np.delete(found, np.s_[::3], axis=1)).any()


def test_both_forms_keep_the_same():
    scores = np.concatenate(
        [
            logits(100, 40),
            np.round(logits(50, 40)),
            -np.abs(logits(50, 40, spread=1e-30)),
        ]
    )
    scores[::7, ::5], scores[3::7, ::6] = -np.inf, 0.0
    scores[3::7, 1::6] = -0.0
    for weights in (np.ones_like(scores), np.ones_like(scores) / 4):  # exact sums
        for mass in (0.25, 1.0, 3.0, 7.5, 40.0, 41.0):
            one = heaviest.by_pairs(scores, weights, mass)
            other = heaviest.by_bisection(scores, weights, mass)
            np.testing.assert_array_equal(one, other)
            assert one.any(1).all()
