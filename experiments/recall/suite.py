"""The suite of `memory.py`: its problems, each at two scales, and its cells."""

import functools
from typing import NamedTuple

import jaxtext as jt
from recall.learn import Protocol


class Problem(NamedTuple):
    """A task at a scale.

    Attributes:
      task: Its name in `recall.tasks.TASKS`.
      picture: The name of its picture.
      title: Its title in the picture.
      cells: Which cells are compared.
      seeds: With how many seeds each.
      scaled: The protocol for two cores and minutes, without the learning rate.
      full: The protocol with the sizes of the papers.
    """

    task: str
    picture: str
    title: str
    cells: tuple[str, ...]
    seeds: int
    scaled: Protocol
    full: Protocol

    def protocol(self, cell: str, full: bool = False) -> Protocol:
        """The protocol by which a cell learns."""
        if full:
            return self.full
        return self.scaled._replace(learning_rate=_RATES[cell])


# A plain RNN does not train at the rate of the others, nor they well at its.
_RATES = {"rnn": 3e-3, "lstm": 1e-2, "lstm-chrono": 1e-2, "gru": 1e-2}
_THREE = ("rnn", "lstm", "gru")
_DISTANCES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200)


def _adding(length: int, steps: int) -> Problem:
    # What is short is learnt first: of the whole length alone, an LSTM has learnt
    # nothing after all these steps.
    scaled = Protocol((10, length), (length,), steps)
    sizes = (length, length), (length,)
    # Arjovsky, Shah and Bengio, 2016, have 128 units, batches of 50 and a rate of 1e-3
    # too, but of RMSProp, and 100,000 examples that come again.
    full = Protocol(*sizes, 10_000, 50, 128, 1e-3, "constant")
    title = f"Sum of two of up to {length}"
    return Problem("adding", "adding", title, _THREE, 3, scaled, full)


def _copy(least: int, delay: int, title: str, steps: int) -> Problem:
    sizes = (least, delay), (delay,)
    # Tallec and Ollivier, 2018, have 128 units and a rate of 1e-3 too, but of RMSProp,
    # delays of 500 and 2000, and memories of up to one and a half times as long.
    full = Protocol(*sizes, 25_000, 128, 128, 1e-3, "constant")
    cells = "rnn", "lstm", "lstm-chrono", "gru"
    return Problem("copy", "copy", title, cells, 3, Protocol(*sizes, steps), full)


def _language(task: str, title: str, steps: int) -> Problem:
    sizes = (1, 40), tuple(range(41, 101))
    # As the example of Delétang et al.'s own program, where the words of a batch have
    # one length. The paper has a hundred times as many steps, and tests words of 500.
    full = Protocol(*sizes, 10_000, 128, 256, 1e-3, "constant", "uniform")
    scaled = Protocol(*sizes, steps)
    return Problem(task, "languages", title, _THREE, 3, scaled, full)


PROBLEMS = {
    "brackets": Problem(
        "brackets",
        "brackets",
        "Which bracket is still open?",
        _THREE,
        5,
        Protocol((1, 200), _DISTANCES, 3000),
        Protocol((1, 200), _DISTANCES, 10_000, 128, 128, 1e-3),
    ),
    "adding-200": _adding(200, 1500),
    "adding-400": _adding(400, 2000),
    "copy-100": _copy(100, 100, "Ten symbols, after 100", 6000),
    "copy-200": _copy(200, 200, "after 200", 6000),
    "copy-to-200": _copy(1, 200, "after 1 to 200, drawn", 3000),
    "parity": _language("parity", "parity", 4000),
    "even-pairs": _language("even-pairs", "even pairs", 4000),
    "cycle": _language("cycle", "cycle", 10_000),
    "modular": _language("modular", "modular\narithmetic", 10_000),
    "bucket-sort": _language("bucket-sort", "bucket sort", 4000),
}


@functools.cache  # so that a second seed finds the first one's program
def build(name: str, hidden: int, longest: int) -> jt.Cell:
    """Builds a cell. lstm-chrono begins with memories of `longest` steps."""
    if name == "lstm-chrono":
        return jt.lstm(hidden, chrono=max(3, longest))
    return {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}[name](hidden)
