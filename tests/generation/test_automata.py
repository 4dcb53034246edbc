"""The automata of stop strings and of UTF-8, against a search and Python's decoder."""

import itertools

import numpy as np
import pytest

from jaxtext.generation import stops, utf8


def test_stop_strings_are_found_where_a_search_finds_them():
    rng = np.random.default_rng(0)
    for _ in range(200):
        strings = [
            tuple(rng.integers(3, size=rng.integers(1, 6)).tolist())
            for _ in range(rng.integers(1, 5))
        ]
        after, completes = stops.transitions(strings, 3)
        text = tuple(rng.integers(3, size=60).tolist())
        state = 0
        for i, symbol in enumerate(text):
            ends = any(text[: i + 1][-len(s) :] == s for s in strings)
            assert completes[state, symbol] == ends
            state = after[state, symbol]


def accepted(data):
    """Whether the automaton takes bytes as whole characters."""
    least, after = utf8.least(np.ones(256, bool)), utf8.transitions()
    state = 0
    for byte in data:
        if least[state, byte] == utf8.NEVER:
            return False
        state = after[state, byte]
    return state == 0


def is_utf8(data):
    try:
        data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return True


def test_every_sequence_of_two_bytes():
    for pair in itertools.product(range(256), repeat=2):
        assert accepted(pair) == is_utf8(bytes(pair))


# One byte of each class that the table tells apart, and their neighbours.
EDGES = (
    *(0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xDF),
    *(0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF),
)


@pytest.mark.parametrize("size", [3, 4])
def test_every_sequence_of_the_classes_of_bytes(size):
    first = EDGES if size == 3 else [x for x in EDGES if x >= 0xE0]
    for data in itertools.product(first, *[EDGES] * (size - 1)):
        assert accepted(data) == is_utf8(bytes(data)), bytes(data).hex()


def test_all_characters_are_taken():
    points = [*range(0, 0xD800, 97), *range(0xE000, 0x110000, 1009), 0x10FFFF]
    assert all(accepted(chr(point).encode()) for point in points)


def test_least_is_what_is_left_of_the_shortest_character():
    least = utf8.least(np.ones(256, bool))
    for text in "é€😀":
        data, state = text.encode(), 0
        for i, byte in enumerate(data):
            assert least[state, byte] == len(data) - i
            state = utf8.transitions()[state, byte]


def test_no_character_is_begun_that_forbidden_bytes_would_have_to_end():
    allowed = np.ones(256, bool)
    allowed[0x80:0xC0] = False  # all that a character goes on with
    least = utf8.least(allowed)
    assert (least[0] < utf8.NEVER).tolist() == [True] * 128 + [False] * 128
    allowed[0x80:0x90] = True
    least = utf8.least(allowed)
    assert least[0, 0xC3] == 2
    assert least[0, 0xE0] == utf8.NEVER  # A0..BF would have to follow
    assert least[0, 0xED] == 3
