"""Decoding in the compiled loop: what is drawn, and where texts end."""

import definitions
import jax
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.generation import Decoding, generate, process, sampling

V = 6
PROMPTS = np.array([[0, 1, 2], [3, 4, 5], [5, 1, 0], [2, 2, 2]])


def made(symbols):
    model = jt.LanguageModel(jt.stack(jt.gru(5)), symbols)
    state = model.initial_state((1,))
    params = model.init(jax.random.key(0), state, PROMPTS[:1])["params"]
    return model, jax.tree.map(lambda x: 3 * x, params)


MODEL, PARAMS = made(V)
BYTES = made(256)
ALL = {
    "temperature": 0.9,
    "repetition_penalty": 1.3,
    "window": 4,
    "forbid": [5],
    "stop": [[1, 1], [0, 2, 0]],
    "min_length": 9,
    "top_k": 4,
    "top_p": 0.95,
    "min_p": 0.01,
    "typical_p": 0.97,
}
EACH = {
    "repetition_penalty": {"repetition_penalty": 1.5, "window": 2},
    "top_k": {"top_k": 3, "temperature": 0.7},
    "top_p": {"top_p": 0.8},
    "min_p": {"min_p": 0.1, "temperature": 1.5},
    "typical_p": {"typical_p": 0.7},
    "forbid": {"forbid": [0, 3]},
    "only": {"only": [1, 2, 4]},
    "min_length": {"stop": [[1]], "min_length": 1},
    "all": ALL,
}


def text(length, prompts=PROMPTS, model=MODEL, params=PARAMS, chunk=128, **options):
    key = jax.random.key(1)
    pieces = generate(
        *(model, params, prompts, length),
        key=key,
        decoding=Decoding(**options),
        chunk=chunk,
    )
    return np.concatenate([np.zeros((len(prompts), 0), int), *pieces], axis=1)


def defined(logits, prompt, options):
    """The probabilities after all rules, for the first symbol after a prompt."""
    z = logits.astype(float)
    if "repetition_penalty" in options:
        seen = prompt[-options.get("window", len(prompt)) :]
        z = definitions.repetition_penalty(z, seen, options["repetition_penalty"])
    banned = set(options.get("forbid", ()))
    banned |= set(range(V)) - set(options.get("only", range(V)))
    if options.get("min_length"):
        banned |= {s[0] for s in options["stop"] if len(s) == 1}
    z = np.where(np.isin(np.arange(V), list(banned)), -np.inf, z)
    z = z / options.get("temperature", 1.0)
    for name in ("top_k", "top_p", "min_p", "typical_p"):
        if name in options:
            z = getattr(definitions, name)(z, options[name])
    return definitions.softmax(z)


# What chi-square exceeds once in 10,000 times, by degrees of freedom.
LIMITS = (0, 15.14, 18.42, 21.11, 23.51, 25.74)


def check_frequencies(options, draws):
    prompts = np.repeat(PROMPTS[:1], draws, axis=0)
    counts = np.bincount(text(1, prompts, chunk=1, **options)[:, 0], minlength=V)
    state = MODEL.initial_state((1,))
    _, logits = MODEL.apply({"params": PARAMS}, state, PROMPTS[:1], last=1)
    expected = draws * defined(np.asarray(logits)[0, 0], PROMPTS[0], options)
    kept = expected > 0
    assert not counts[~kept].any()
    square = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    assert square < LIMITS[kept.sum() - 1]


@pytest.mark.parametrize("name", EACH)
def test_frequencies_are_those_of_the_definitions(name):
    check_frequencies(EACH[name], 20_000)


@pytest.mark.thorough
@pytest.mark.parametrize("name", EACH)
def test_frequencies_of_a_million_draws(name):
    check_frequencies(EACH[name], 1_000_000)


def test_a_row_writes_what_it_writes_beside_others():
    whole = text(40, **ALL)
    assert (whole < 0).any()  # one has ended before the others
    for rows in range(1, 4):
        alone = text(40, PROMPTS[:rows], **ALL)
        np.testing.assert_array_equal(alone, whole[:rows, : alone.shape[1]])
        assert (whole[:rows, alone.shape[1] :] == -1).all()


def test_chunks_do_not_matter():
    whole = text(50, **ALL)
    np.testing.assert_array_equal(text(50, chunk=7, **ALL), whole)
    np.testing.assert_array_equal(text(13, chunk=64, **ALL), whole[:, :13])


def test_numbers_may_differ_between_rows():
    numbers = {
        "temperature": [0.0, 0.7, 1.0, 2.0],
        "repetition_penalty": [1.0, 1.2, 1.5, 0.7],
        "window": [1, 2, 3, 40],
        "top_k": [1, 2, 3, 6],
        "top_p": [0.5, 0.9, 1.0, 0.7],
        "min_p": [0.0, 0.1, 0.2, 0.3],
        "typical_p": [1.0, 0.9, 0.8, 0.7],
        "min_length": [0, 5, 10, 20],
    }
    stop = [[1, 2]]
    whole = text(30, stop=stop, **numbers)
    keys = sampling._keys_of_rows(jax.random.key(1), 4)
    for row in range(4):
        own = {name: values[row] for name, values in numbers.items()}
        pieces = generate(
            *(MODEL, PARAMS, PROMPTS[row : row + 1], 30),
            key=keys[row],
            decoding=Decoding(stop=stop, **own),
        )
        alone = np.concatenate(list(pieces), axis=1)[0]
        np.testing.assert_array_equal(alone, whole[row, : len(alone)])
        assert (whole[row, len(alone) :] == -1).all()


def test_other_numbers_do_not_compile_again():
    text(5, **ALL)
    before = sampling._draw._cache_size()
    other = {"temperature": 0.3, "top_k": 2, "top_p": 0.5, "min_p": 0.1, "window": 9}
    assert (text(5, **ALL | other) != text(5, **ALL)).any()
    assert sampling._draw._cache_size() == before


def test_temperature_alone_is_the_argument():
    key = jax.random.key(1)
    for temperature in (0.0, 0.8):
        alone = generate(MODEL, PARAMS, PROMPTS, 40, key=key, temperature=temperature)
        found = text(40, temperature=temperature)
        np.testing.assert_array_equal(np.concatenate(list(alone), axis=1), found)


def test_neutral_numbers_change_nothing():
    neutral = {
        **{"repetition_penalty": 1.0, "top_k": V, "top_p": 1.0},
        **{"min_p": 0.0, "typical_p": 1.0},
    }
    plain = text(40, temperature=0.8)
    np.testing.assert_array_equal(text(40, temperature=0.8, **neutral), plain)


def test_the_coldest_is_the_likeliest_that_is_allowed():
    found = text(30, temperature=0.0, forbid=[0, 2], top_p=0.5, typical_p=0.1)
    ids = np.concatenate([PROMPTS, found], axis=1)
    state = MODEL.initial_state((4,))
    _, logits = MODEL.apply({"params": PARAMS}, state, ids)
    logits = np.where(np.isin(np.arange(V), [0, 2]), -np.inf, logits)
    np.testing.assert_array_equal(np.argmax(logits, -1)[:, 2:-1], found)


def test_the_penalty_sees_the_prompt_and_what_was_written():
    """At each step of a greedy text, for a window that reaches back into the prompt."""
    options = {"repetition_penalty": 2.0, "window": 3}
    found = text(20, temperature=0.0, **options)
    ids = np.concatenate([PROMPTS, found], axis=1)
    state = MODEL.initial_state((4,))
    _, logits = MODEL.apply({"params": PARAMS}, state, ids)
    for row in range(4):
        for i in range(20):
            seen = ids[row, : 3 + i]
            expected = defined(np.asarray(logits)[row, 2 + i], seen, options)
            assert found[row, i] == np.argmax(expected)
    assert (found != text(20, temperature=0.0)).any()


def plainly_stopped(plain, strings, length, min_length=0):
    for n in range(1, length + 1):
        if n > min_length and any(
            n >= len(s) and plain[n - len(s) : n].tolist() == s for s in strings
        ):
            return plain[:n]
    return plain


def test_a_text_ends_with_the_first_string_that_it_writes():
    strings = [[1, 1], [0, 2, 0], [4]]
    plain, found = text(60), text(60, stop=strings)
    lengths = set()
    for one, other in zip(plain, found, strict=True):
        expected = plainly_stopped(one, strings, 60)
        np.testing.assert_array_equal(other[: len(expected)], expected)
        assert (other[len(expected) :] == -1).all()
        lengths.add(len(expected))
    assert found.shape[1] == max(lengths) < 60
    assert len(lengths) > 1


def test_nothing_is_drawn_once_all_texts_have_ended():
    pieces = generate(
        *(MODEL, PARAMS, PROMPTS, 10**9),
        key=jax.random.key(1),
        decoding=Decoding(stop=[[4]]),
        chunk=8,
    )
    whole = np.concatenate(list(pieces), axis=1)
    assert ((whole == 4).sum(1) == 1).all()


def test_a_string_that_began_in_the_prompt_does_not_count():
    prompt = PROMPTS[:1]  # ends with 2
    forced = {"only": [3], "stop": [[2, 3], [3, 3, 3]]}
    assert text(9, prompt, **forced).tolist() == [[3, 3, 3]]


def test_a_text_that_nothing_may_go_on_with_ends():
    assert text(9, PROMPTS, only=[3], stop=[[3, 3]], min_length=5).tolist() == [[3]] * 4


def test_min_length_keeps_a_text_from_ending():
    found = text(60, stop=[[4], [1, 1]], min_length=12)
    lengths = (found >= 0).sum(1)
    assert lengths.min() >= 13
    assert not (found[:, :12] == 4).any()
    assert not ((found[:, :11] == 1) & (found[:, 1:12] == 1)).any()


def written(model, params, prompts, length, seed=0, **options):
    pieces = generate(
        *(model, params, prompts, length),
        key=jax.random.key(seed),
        decoding=Decoding(**options),
    )
    whole = np.concatenate([np.zeros((len(prompts), 0), int), *pieces], axis=1)
    return [bytes(row[row >= 0].tolist()) for row in whole]


def test_bytes_are_utf8_to_the_last():
    prompts = np.full((64, 1), 32)
    for length in (1, 2, 3, 50):
        for row in written(*BYTES, prompts, length, temperature=3.0, utf8=True):
            row.decode()  # strictly
            assert len(row) == length
    with pytest.raises(UnicodeDecodeError):
        b"".join(written(*BYTES, prompts, 50, temperature=3.0)).decode()


@pytest.mark.parametrize("begun", ["é", "€", "😀"])
def test_a_character_that_the_prompt_began_is_finished(begun):
    for cut in range(1, len(begun.encode())):
        prompt = b"hello" + begun.encode()[:cut]
        prompts = np.repeat(np.frombuffer(prompt, np.uint8)[None], 32, axis=0)
        for row in written(*BYTES, prompts, 9, temperature=3.0, utf8=True):
            (prompt + row).decode()
        missing = len(begun.encode()) - cut
        if missing > 1:  # there is no room to finish it
            assert written(*BYTES, prompts[:1], missing - 1, utf8=True) == [b""]


def test_a_text_ends_sooner_where_no_character_fits():
    cyrillic = [0xD0, 0xD1, *range(0x80, 0xC0)]
    prompts = np.full((8, 1), 32)
    for row in written(*BYTES, prompts, 7, temperature=2.0, only=cyrillic, utf8=True):
        assert len(row) == 6
        assert all(0x400 <= ord(x) < 0x480 for x in row.decode())


def test_what_is_well_formed_keeps_its_relative_probabilities():
    model, params = BYTES
    rules = process.prepare(Decoding(utf8=True), 256, 1)
    memory = process.first_memory(rules, 1, 256)
    prompts = np.array([[0xE2]], np.int32)
    memory = process.after_prompt(memory, prompts, 1)
    _, logits = model.apply({"params": params}, model.initial_state((1,)), prompts)
    found, over = process.constrained(rules, memory, logits[:, 0])
    assert not over.any()
    kept = np.arange(0x80, 0xC0)
    np.testing.assert_array_equal(found[0, kept], logits[0, 0, kept])
    assert not np.isfinite(np.delete(found[0], kept)).any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -0.1}, "temperature: expected a number from 0 to 1e"),
        ({"temperature": "hot"}, "temperature: expected a number from 0 to 1e"),
        ({"temperature": [0.5, float("nan")]}, "temperature: expected .* got nan"),
        ({"top_k": 0}, "top_k: expected a whole number of at least 1, got 0"),
        ({"top_k": 1.5}, "top_k: expected a whole number of at least 1, got 1.5"),
        ({"top_p": 0}, "top_p: expected a number above 0, up to 1, got 0"),
        ({"top_p": 1.1}, "top_p: expected a number above 0, up to 1, got 1.1"),
        ({"min_p": -1}, "min_p: expected a number from 0 to 1, got -1"),
        ({"typical_p": 2}, "typical_p: expected a number above 0, up to 1, got 2"),
        ({"repetition_penalty": 0}, "repetition_penalty: expected a finite number abo"),
        ({"window": 4}, "window: expected a repetition_penalty with it"),
        ({"min_length": 4}, "min_length: expected strings in stop"),
        ({"stop": [[]]}, "stop: expected strings of ids, each of at least one"),
        ({"stop": [[6]]}, "stop: expected ids of 0 to 5, got 6"),
        ({"stop": [3]}, "stop: expected strings of ids"),
        ({"forbid": [-1]}, "forbid: expected ids of 0 to 5, got -1"),
        ({"forbid": ["a"]}, "forbid: expected a row of ids"),
        ({"only": [1, 9]}, "only: expected ids of 0 to 5, got 9"),
        ({"only": []}, "expected at least one symbol that may be written"),
        ({"only": [1], "forbid": [1]}, "at least one symbol that may be written"),
        ({"utf8": True}, "utf8: expected a vocabulary of 256 bytes, got one of 6"),
        ({"top_p": [0.5, 0.5]}, r"top_p: expected one number or one per row \(4,\)"),
    ],
)
def test_bad_options_are_refused_at_the_call(options, said):
    with pytest.raises(InputError, match=said):
        text(3, **options)


def test_bytes_that_make_no_character_are_refused():
    with pytest.raises(InputError, match="the allowed bytes make none"):
        written(*BYTES, np.zeros((1, 1), int), 3, only=[0x80, 0xC0], utf8=True)


def test_a_temperature_beside_decoding_is_refused():
    with pytest.raises(InputError, match="temperature: expected none beside decoding"):
        generate(
            *(MODEL, PARAMS, PROMPTS, 3),
            key=jax.random.key(0),
            temperature=0.5,
            decoding=Decoding(top_k=3),
        )
