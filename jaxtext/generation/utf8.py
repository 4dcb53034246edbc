"""The automaton of well-formed UTF-8.

The states are what may follow::

    0  a character begins
    1, 2, 3  one, two or three more bytes, each of 80..BF
    4  after E0: A0..BF, else the character would have had two bytes
    5  after ED: 80..9F, else it would be a surrogate
    6  after F0: 90..BF, else the character would have had three bytes
    7  after F4: 80..8F, else it would be above U+10FFFF

References:
  The Unicode Standard, version 16.0, table 3-7, "Well-Formed UTF-8 Byte Sequences".
"""

import numpy as np

# state: first byte, last byte, the state after them
_RANGES = {
    0: (
        *((0x00, 0x7F, 0), (0xC2, 0xDF, 1), (0xE0, 0xE0, 4), (0xE1, 0xEC, 2)),
        *((0xED, 0xED, 5), (0xEE, 0xEF, 2), (0xF0, 0xF0, 6), (0xF1, 0xF3, 3)),
        (0xF4, 0xF4, 7),
    ),
    1: ((0x80, 0xBF, 0),),
    2: ((0x80, 0xBF, 1),),
    3: ((0x80, 0xBF, 2),),
    4: ((0xA0, 0xBF, 1),),
    5: ((0x80, 0x9F, 1),),
    6: ((0x90, 0xBF, 2),),
    7: ((0x80, 0x8F, 2),),
}
NEVER = 1 << 20  # more bytes than any character has


def transitions() -> np.ndarray:
    """The state after each byte in each state, ``[8, 256]`` int32.

    A byte that is not well-formed there begins anew, as a decoder does that replaces
    it: the state is that after this byte at the beginning of a character, or 0.

    Example:
      >>> after = transitions()
      >>> [int(after[0, 0xE2]), int(after[2, 0x82]), int(after[1, 0xAC])]  # €
      [2, 1, 0]
    """
    well_formed = _well_formed()
    begun = np.where(well_formed[0] < 0, 0, well_formed[0])
    return np.where(well_formed < 0, begun, well_formed)


def least(allowed: np.ndarray) -> np.ndarray:
    """How many bytes it takes at least to end a character, this byte included.

    Args:
      allowed: ``[256]`` booleans, the bytes that may be written at all.

    Returns:
      ``[8, 256]`` int32; `NEVER` for a byte that is not well-formed in a state, not
      allowed, or after which no allowed bytes end the character.

    Example:
      >>> least(np.ones(256, bool))[0, [0x41, 0xC3, 0xE2, 0xF0, 0xFF]].tolist()
      [1, 2, 3, 4, 1048576]
    """
    after = _well_formed()
    possible = (after >= 0) & allowed
    ends = np.full(len(after), NEVER, np.int32)
    ends[0] = 0  # nothing is begun
    for _ in range(3):  # a character has three bytes after its first
        found = np.where(possible, 1 + ends[after], NEVER)
        ends[1:] = found[1:].min(axis=1)
    return np.minimum(np.where(possible, 1 + ends[after], NEVER), NEVER)


def _well_formed():
    """The state after each byte, ``[8, 256]``; -1 if it is not well-formed."""
    after = np.full((len(_RANGES), 256), -1, np.int32)
    for state, ranges in _RANGES.items():
        for first, last, following in ranges:
            after[state, first : last + 1] = following
    return after
