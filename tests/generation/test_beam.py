"""Beam search, against every text that there is, and a plain search in Python."""

import itertools

import definitions
import jax
import numpy as np
import pytest
from test_decoding import BYTES, made, text

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.generation import Decoding, beam_search, log_probabilities

V, L = 3, 4
MODEL = jt.LanguageModel(jt.stack(jt.gru(5)), V)
PROMPTS = np.array([[0, 1, 2], [2, 1, 1]])
PARAMS = MODEL.init(jax.random.key(3), MODEL.initial_state((1,)), PROMPTS[:1])["params"]
PARAMS = jax.tree.map(lambda x: 3 * x, PARAMS)


def log_p(prompt, ids):
    found = log_probabilities(MODEL, PARAMS, prompt[None], np.asarray(ids)[None])
    return float(found.sum())


def possible(strings):
    """All texts: each ends with a string where it first has one, or is L long."""
    for ids in itertools.product(range(V), repeat=L):
        ends = [
            n
            for n in range(1, L + 1)
            if any(ids[:n][-len(s) :] == s for s in strings if len(s) <= n)
        ]
        yield ids[: min(ends, default=L)]


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("strings", [(), ((1,), (2, 0))])
def test_a_search_wide_enough_finds_the_best_of_all_texts(strings, penalty):
    every = sorted(set(possible(strings)))
    found = beam_search(
        *(MODEL, PARAMS, PROMPTS, L),
        beams=V**L,
        length_penalty=penalty,
        decoding=Decoding(stop=strings),
    )
    for row, prompt in enumerate(PROMPTS):
        scores = {ids: log_p(prompt, ids) / len(ids) ** penalty for ids in every}
        best = sorted(every, key=lambda ids: -scores[ids])
        ours = [tuple(x[x >= 0].tolist()) for x in found.ids[row, : len(every)]]
        assert set(ours) == set(best)
        expected = [scores[ids] for ids in best]
        np.testing.assert_allclose(found.scores[row, : len(every)], expected, atol=1e-5)
        assert ours[0] == best[0]
        assert (found.scores[row, len(every) :] == -np.inf).all()
        assert (found.ids[row, len(every) :] == -1).all()


def searched(prompt, beams, length, strings, penalty, repetition):
    """The same search in Python."""
    running, ended = [((), 0.0)], []
    for n in range(1, length + 1):
        more = []
        for ids, score in running:
            state = MODEL.initial_state((1,))
            whole = np.concatenate([prompt, np.asarray(ids, int)])
            _, logits = MODEL.apply({"params": PARAMS}, state, whole[None], last=1)
            row = np.asarray(jax.nn.log_softmax(logits))[0, 0]
            row = definitions.repetition_penalty(row, whole, repetition)
            more += [((*ids, v), score + float(row[v])) for v in range(V)]
        more.sort(key=lambda x: -x[1])
        whole = [any(ids[-len(s) :] == s for s in strings) for ids, _ in more]
        pairs = list(zip(more, whole, strict=True))
        ended += [(ids, x / n**penalty) for (ids, x), end in pairs[:beams] if end]
        running = [x for x, end in pairs if not end][:beams]
    ended += [(ids, x / length**penalty) for ids, x in running]
    return sorted(ended, key=lambda x: -x[1])[:beams]


@pytest.mark.parametrize("beams", [1, 2, 3])
@pytest.mark.parametrize("penalty", [0.0, 1.5])
def test_a_narrow_search_is_that_in_python(beams, penalty):
    strings, length = [(1, 2), (0, 0)], 12
    found = beam_search(
        *(MODEL, PARAMS, PROMPTS, length),
        beams=beams,
        length_penalty=penalty,
        decoding=Decoding(stop=strings, repetition_penalty=1.2),
    )
    for row, prompt in enumerate(PROMPTS):
        expected = searched(prompt, beams, length, strings, penalty, 1.2)
        for (ids, score), ours, its in zip(
            expected, found.ids[row], found.scores[row], strict=True
        ):
            assert tuple(ours[ours >= 0].tolist()) == ids
            np.testing.assert_allclose(its, score, atol=1e-5)


def test_one_beam_takes_the_likeliest_each_time():
    model, params = made(6)
    prompts = np.array([[0, 1, 2], [3, 4, 5], [5, 1, 0], [2, 2, 2]])
    found = beam_search(model, params, prompts, 20, beams=1)
    np.testing.assert_array_equal(found.ids[:, 0], text(20, temperature=0.0))
    scores = log_probabilities(model, params, prompts, found.ids[:, 0]).mean(1)
    np.testing.assert_allclose(found.scores[:, 0], scores, rtol=1e-5)


def test_a_row_finds_what_it_finds_alone():
    both = beam_search(MODEL, PARAMS, PROMPTS, 9, beams=4)
    for row in range(2):
        alone = beam_search(MODEL, PARAMS, PROMPTS[row : row + 1], 9, beams=4)
        np.testing.assert_array_equal(alone.ids[0], both.ids[row])
        np.testing.assert_allclose(alone.scores[0], both.scores[row], rtol=1e-6)


def test_beams_keep_to_utf8_and_end_where_no_character_fits():
    model, params = BYTES
    cyrillic = [0xD0, 0xD1, *range(0x80, 0xC0)]
    decoding = Decoding(only=cyrillic, utf8=True)
    prompts = np.array([[0x20], [0xD0]])
    found = beam_search(model, params, prompts, 7, beams=3, decoding=decoding)
    for row, size in enumerate((6, 7)):
        for ids in found.ids[row]:
            written = bytes([*prompts[row], *ids[ids >= 0]])
            assert len(written) == 1 + size
            written.decode()


def test_log_probabilities_in_parts_are_those_of_the_whole():
    model, params = made(6)
    rng = np.random.default_rng(0)
    prompts, ids = rng.integers(6, size=(2, 3)), rng.integers(6, size=(2, 600))
    ids[1, 200:] = -1
    found = log_probabilities(model, params, prompts, ids)
    text = np.concatenate([prompts, np.maximum(ids, 0)], axis=1)
    _, logits = model.apply({"params": params}, model.initial_state((2,)), text)
    expected = jax.nn.log_softmax(logits)[:, 2:-1]
    expected = np.take_along_axis(expected, text[:, 3:, None], axis=2)[..., 0]
    np.testing.assert_allclose(found, np.where(ids < 0, 0, expected), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"decoding": Decoding(top_k=3)}, "expected none of top_k, .* got top_k"),
        ({"decoding": Decoding(temperature=0.5)}, "got temperature"),
        ({"decoding": Decoding(stop=[[1]], min_length=[1, 2])}, "one number for all"),
        ({"beams": 0}, "beams: expected a whole number of at least 1, got 0"),
        ({"length_penalty": float("nan")}, "length_penalty: expected a finite number"),
    ],
)
def test_what_does_not_go_with_a_search_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        beam_search(MODEL, PARAMS, PROMPTS, 5, **{"beams": 2, **options})


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="prompts: expected"):
        beam_search(MODEL, PARAMS, PROMPTS[0], 5, beams=2)
    with pytest.raises(InputError, match=r"ids: expected \[B, T\] after prompts"):
        log_probabilities(MODEL, PARAMS, PROMPTS, PROMPTS[:1])
