"""Generation step by step: the same text, probabilities, and other ways to go on."""

import definitions
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_decoding import ALL, BYTES, MODEL, PARAMS, PROMPTS, V, text

from jaxtext.errors import InputError
from jaxtext.generation import Decoding, steps

KEY = jax.random.key(1)


def rules_of(rows=4, symbols=V, **options):
    return steps.prepare(Decoding(**options), symbols, rows)


def written(place, rules, length):
    found = []
    for _ in range(length):
        choice = steps.choose(place, rules, KEY)
        place = steps.follow(MODEL, PARAMS, place, rules, choice.ids)
        found.append(np.asarray(choice.ids))
    return np.stack(found, axis=1), place


@pytest.mark.parametrize("options", [{}, {"temperature": 0.0, "forbid": [1]}, ALL])
def test_steps_write_what_generate_writes(options):
    place = steps.read(MODEL, PARAMS, PROMPTS)
    found, _ = written(place, rules_of(**options), 30)
    whole = text(30, **options)
    np.testing.assert_array_equal(found[:, : whole.shape[1]], whole)
    assert (found[:, whole.shape[1] :] == -1).all()


def test_probabilities_before_and_after_the_rules():
    options = {"temperature": 0.5, "top_p": 0.8, "forbid": [2]}
    place = steps.read(MODEL, PARAMS, PROMPTS)
    choice = steps.choose(place, rules_of(**options), KEY)
    for row in range(4):
        z = np.asarray(place.logits[row], float)
        np.testing.assert_allclose(choice.before[row], definitions.softmax(z), 1e-5)
        z = np.where(np.arange(V) == 2, -np.inf, z) / 0.5
        expected = definitions.softmax(definitions.top_p(z, 0.8))
        np.testing.assert_allclose(choice.after[row], expected, 1e-5)
    cold = steps.choose(place, rules_of(temperature=0.0), KEY)
    assert (cold.after[np.arange(4), cold.ids] == 1).all()
    np.testing.assert_array_equal(cold.after.sum(1), 1)


def test_a_text_that_is_read_in_parts_is_the_whole():
    whole = steps.read(MODEL, PARAMS, PROMPTS)
    part = steps.read(MODEL, PARAMS, PROMPTS[:, :1])
    part = steps.read(MODEL, PARAMS, PROMPTS[:, 1:], part)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), part, whole)


def test_what_was_written_is_remembered_as_if_it_had_been_read():
    """By whatever rules it was written, others may take over."""
    place = steps.read(MODEL, PARAMS, PROMPTS)
    found, place = written(place, rules_of(temperature=0.8), 6)
    read = steps.read(MODEL, PARAMS, np.concatenate([PROMPTS, found], axis=1))
    place = steps.count_anew(place)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), place, read)


def test_another_symbol_than_the_chosen_may_be_followed():
    place = steps.read(MODEL, PARAMS, PROMPTS)
    rules = rules_of(temperature=0.0)
    other = (steps.choose(place, rules, KEY).ids + 1) % V
    went = steps.follow(MODEL, PARAMS, place, rules, other)
    read = steps.read(MODEL, PARAMS, np.concatenate([PROMPTS, other[:, None]], axis=1))
    np.testing.assert_allclose(went.logits, read.logits, atol=1e-6)
    again = steps.choose(place, rules, KEY)  # the place is as it was
    np.testing.assert_array_equal((again.ids + 1) % V, other)


def test_other_numbers_do_not_compile_again():
    place = steps.read(MODEL, PARAMS, PROMPTS)
    steps.choose(place, rules_of(temperature=0.5, top_p=0.9), KEY)
    before = steps.choose._cache_size()
    steps.choose(place, rules_of(temperature=0.7, top_p=0.3), KEY)
    assert steps.choose._cache_size() == before


def test_utf8_may_be_turned_on_within_a_character():
    model, params = BYTES
    place = steps.read(model, params, jnp.full((32, 1), 0x20))
    plain = rules_of(32, 256, temperature=2.0)
    place = steps.follow(model, params, place, plain, jnp.full(32, 0xF4))
    choice = steps.choose(place, rules_of(32, 256, temperature=2.0, utf8=True), KEY)
    assert ((choice.ids >= 0x80) & (choice.ids < 0x90)).all()


def test_a_text_that_has_ended_may_go_on():
    rules = rules_of(only=[3], stop=[[3, 3]])
    found, place = written(steps.read(MODEL, PARAMS, PROMPTS), rules, 3)
    assert found.tolist() == [[3, 3, -1]] * 4
    assert place.memory.ended.all()
    again, _ = written(steps.count_anew(place), rules, 3)
    assert again.tolist() == [[3, 3, -1]] * 4


def test_no_text_to_read_is_refused():
    with pytest.raises(InputError, match=r"ids: expected \[B, P\] with at least one"):
        steps.read(MODEL, PARAMS, PROMPTS[:, :0])
