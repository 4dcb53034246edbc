"""The automaton that finds any of several strings, as they are written.

It is Aho and Corasick's: a state is the longest end of the text that a string begins
with, and a table has the next state for each symbol. So one lookup a symbol finds all
strings, however they overlap.

References:
  Aho and Corasick, "Efficient string matching: an aid to bibliographic search", 1975.
"""

from collections.abc import Sequence

import numpy as np


def transitions(
    strings: Sequence[Sequence[int]], symbols: int
) -> tuple[np.ndarray, np.ndarray]:
    """The automaton of some strings.

    Args:
      strings: Each at least one id below `symbols`.
      symbols: ``V``.

    Returns:
      The state after each symbol in each state, ``[S, V]`` int32, and whether the
      symbol completes a string, ``[S, V]`` booleans. State 0 is the first.

    Example:
      >>> after, completes = transitions([[0, 0, 1]], 2)
      >>> state, found = 0, []
      >>> for symbol in [0, 0, 0, 1, 1]:
      ...     found.append(bool(completes[state, symbol]))
      ...     state = after[state, symbol]
      >>> found
      [False, False, False, True, False]
    """
    children, whole = _tree(strings)
    states = len(children)
    after = np.zeros((states, symbols), np.int32)
    # The state of the longest end of the text that is shorter than this one.
    shorter = np.zeros(states, np.int32)
    for state in range(states):  # the shorter strings first
        if state:
            after[state] = after[shorter[state]]
        for symbol, child in children[state].items():
            if state:
                shorter[child] = after[shorter[state], symbol]
            after[state, symbol] = child
    for state in range(states):
        whole[state] |= whole[shorter[state]]
    return after, np.asarray(whole)[after]


def _tree(strings):
    """The beginnings of all strings, by length: their children, and which are whole."""
    numbers = {(): 0}
    for size in range(1, 1 + max(map(len, strings), default=0)):
        for string in strings:
            if len(string) >= size:
                numbers.setdefault(tuple(string[:size]), len(numbers))
    children: list[dict[int, int]] = [{} for _ in numbers]
    for beginning, number in numbers.items():
        if beginning:
            children[numbers[beginning[:-1]]][beginning[-1]] = number
    wanted = set(map(tuple, strings))
    return children, [beginning in wanted for beginning in numbers]
