"""Prompts of any length take a handful of programs, and read as one would."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.generation import Decoding, generate, process, prompt

MODELS = {
    "gru": jt.LanguageModel(jt.gru(8), vocab_size=256),
    "stack": jt.LanguageModel(
        jt.stack(jt.lstm(8), jt.dropout(0.5), jt.min_gru(8)), 256, embedding=4
    ),
}
PARAMS = {
    name: model.init(jax.random.key(0), None, [[0]])["params"]
    for name, model in MODELS.items()
}


def text(size):
    return np.random.default_rng(size).integers(0, 256, (2, size)).astype(np.int32)


def memory(rows=2):
    return process.whole_memory(rows, 256)


@pytest.mark.parametrize("name", MODELS)
def test_a_padded_prompt_is_read_as_it_is(name):
    model, params = MODELS[name], PARAMS[name]
    start = model.apply({"params": params}, None, text(3))[0]
    for size in (1, 2, 16, 17, 30):
        for state in (None, start):
            ids = text(size)
            found, _ = prompt.read(model, params, ids, state, memory())
            after, logits = model.apply({"params": params}, state, ids, last=1)
            expected = after, logits[:, 0]
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, 0, 1e-6), found, expected
            )


def test_lengths_share_programs():
    model, params = MODELS["gru"], PARAMS["gru"]
    prompt._read.clear_cache()
    for size in range(1, 33):
        generate(model, params, text(size), 0, key=jax.random.key(0))
        prompt.read(model, params, text(size), None, memory())
    assert prompt._read._cache_size() == 2


def test_a_long_prompt_is_read_in_parts(monkeypatch):
    model, params, ids = MODELS["gru"], PARAMS["gru"], text(45)
    whole = prompt.read(model, params, ids, None, memory())
    monkeypatch.setattr(prompt, "_MOST", 16)
    parts = prompt.read(model, params, ids, None, memory())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 0, 1e-6), whole, parts)


@pytest.mark.parametrize("size", [1, 3, 5, 16, 20])
def test_what_is_remembered_is_that_of_the_prompt_alone(size):
    ids = text(size)
    ids[:, -2:] = [[0xE2, 0x82]] * 2 if size > 1 else [[0xE2]] * 2
    padded = np.pad(ids, ((0, 0), (0, 32 - size)), constant_values=7)
    before = process.after_prompt(memory(), text(4), 4)
    found = process.after_prompt(before, padded, jnp.int32(size))
    seen = np.asarray(before.seen) - size
    for row, symbols in enumerate(ids):
        for back, symbol in enumerate(symbols[::-1], 1):
            if back == 1 or symbol not in symbols[size - back + 1 :]:
                seen[row, symbol] = -back
    np.testing.assert_array_equal(found.seen, np.maximum(seen, process._LONG_AGO))
    state = 0
    for byte in ([*text(4)[0], *ids[0]])[-4:]:
        state = int(process.utf8.transitions()[state, byte])
    assert int(found.utf8[0]) == state


def test_a_greedy_text_is_that_of_the_model_step_by_step():
    model, params = MODELS["stack"], PARAMS["stack"]
    for size in (1, 7, 19):
        ids = text(size)
        pieces = generate(
            model,
            params,
            ids,
            12,
            key=jax.random.key(0),
            decoding=Decoding(temperature=0),
        )
        found, written = np.concatenate([*pieces], axis=1), ids
        for _ in range(12):
            logits = model.apply({"params": params}, None, written, last=1)[1]
            written = np.append(written, np.argmax(logits, -1), axis=1)
        np.testing.assert_array_equal(found, written[:, size:])
