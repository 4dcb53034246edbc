"""Sampling: the distribution, and independence of how it is cut into chunks."""

import jax
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.generation import generate, gumbel

V = 6
MODEL = jt.LanguageModel(jt.stack(jt.lstm(5), jt.dropout(0.5), jt.gru(4)), V)
PROMPTS = np.array([[0, 1, 2], [3, 4, 5]])
PARAMS = MODEL.init(jax.random.key(0), MODEL.initial_state((2,)), PROMPTS)["params"]
PARAMS = jax.tree.map(lambda x: 3 * x, PARAMS)


def text(length, prompts=PROMPTS, seed=1, **options):
    key = jax.random.key(seed)
    pieces = list(generate(MODEL, PARAMS, prompts, length, key=key, **options))
    return np.concatenate(pieces, axis=1)


def test_chunks_do_not_matter():
    whole = text(50, chunk=50)
    assert whole.shape == (2, 50)
    assert len(np.unique(whole)) > 1
    np.testing.assert_array_equal(text(50, chunk=7), whole)
    np.testing.assert_array_equal(text(13, chunk=64), whole[:, :13])


def test_noise_drawn_in_parts_is_the_same(monkeypatch):
    whole = text(30)
    monkeypatch.setattr(gumbel, "AT_ONCE", 4 * 2 * V)  # 3 of 9 positions
    np.testing.assert_array_equal(text(30, chunk=9), whole)


def test_zero_temperature_is_the_likeliest_each_time():
    drawn = text(20, temperature=0.0)
    ids = np.concatenate([PROMPTS, drawn], axis=1)
    state = MODEL.initial_state((2,))
    _, logits = MODEL.apply({"params": PARAMS}, state, ids)
    np.testing.assert_array_equal(np.argmax(logits, -1)[:, 2:-1], drawn)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax(temperature):
    n = 4000
    prompts = np.repeat(PROMPTS[:1], n, axis=0)
    drawn = text(1, prompts, temperature=temperature)[:, 0]
    frequencies = np.bincount(drawn, minlength=V) / n
    state = MODEL.initial_state((1,))
    _, logits = MODEL.apply({"params": PARAMS}, state, PROMPTS[:1])
    expected = jax.nn.softmax(logits[0, -1] / temperature)
    np.testing.assert_allclose(frequencies, expected, atol=4 * 0.5 / np.sqrt(n))


def test_seeds_differ_and_repeat():
    np.testing.assert_array_equal(text(40), text(40))
    assert (text(40) != text(40, seed=2)).any()


def test_a_row_writes_what_it_writes_beside_others():
    prompts = np.array([[0, 1, 2], [3, 4, 5], [5, 1, 0], [2, 2, 2]])
    whole = text(60, prompts)
    for rows in range(1, 4):
        np.testing.assert_array_equal(text(60, prompts[:rows]), whole[:rows])
    others = np.array([[0, 1, 2], [1, 1, 1], [5, 1, 0]])
    np.testing.assert_array_equal(text(60, others)[[0, 2]], whole[[0, 2]])


def test_rows_of_one_key_write_by_noise_of_their_own():
    same = text(60, np.repeat(PROMPTS[:1], 4, axis=0))
    assert len(np.unique(same, axis=0)) == 4


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_with_keys_of_their_own_rows_may_stand_anywhere(make):
    keys = jax.numpy.stack([make(seed) for seed in (3, 1, 2)])
    prompts, order = np.array([[0, 1], [3, 4], [5, 5]]), np.array([2, 0, 1])

    def written(prompts, keys):
        pieces = generate(MODEL, PARAMS, prompts, 60, key=keys)
        return np.concatenate(list(pieces), axis=1)

    whole = written(prompts, keys)
    np.testing.assert_array_equal(written(prompts[order], keys[order]), whole[order])
    for row in range(3):
        alone = written(prompts[row : row + 1], make((3, 1, 2)[row]))
        np.testing.assert_array_equal(alone[0], whole[row])


def test_the_noise_of_a_row_is_that_of_its_key():
    """What is documented with a seed was drawn so."""
    key, drawn = jax.random.key(1), text(20, PROMPTS[:1])[0]
    state, logits = MODEL.apply(
        {"params": PARAMS}, MODEL.initial_state((1,)), PROMPTS[:1], last=1
    )
    logits = logits[:, 0]
    for position in range(20):
        noise = jax.random.gumbel(jax.random.fold_in(key, position), (1, V))
        ids = np.argmax(logits + noise, axis=-1)
        assert ids[0] == drawn[position]
        state, logits = MODEL.apply({"params": PARAMS}, state, ids, method="step")


def test_prompts_may_be_lists():
    key = jax.random.key(1)
    pieces = list(generate(MODEL, PARAMS, PROMPTS.tolist(), 9, key=key))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), text(9))


def test_keys_for_another_number_of_rows_are_refused():
    keys = jax.random.split(jax.random.key(0), 3)
    with pytest.raises(
        InputError, match=r"key: expected one key or one per row \(2,\)"
    ):
        generate(MODEL, PARAMS, PROMPTS, 5, key=keys)


def test_length_zero_is_nothing():
    assert list(generate(MODEL, PARAMS, PROMPTS, 0, key=jax.random.key(0))) == []


@pytest.mark.parametrize(
    ("prompts", "length", "temperature"),
    [
        (PROMPTS[:, :0], 5, 1.0),
        (PROMPTS[0], 5, 1.0),
        (PROMPTS, -1, 1.0),
        (PROMPTS, 5, -0.1),
        (PROMPTS, 5, float("nan")),
    ],
)
def test_bad_arguments_are_refused_at_the_call(prompts, length, temperature):
    key = jax.random.key(0)
    with pytest.raises(InputError, match="expected"):
        generate(MODEL, PARAMS, prompts, length, key=key, temperature=temperature)
