"""Batches of ids: contiguous streams, overlapping windows, and the split before.

A batch is a pure function of the seed and the step, so that a run that is resumed
sees exactly the batches that an uninterrupted one would have seen.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxtext.errors import InputError
from jaxtext.quantities import count, fraction
from jaxtext.text.file_array import FileArray, Ids, as_ids, windows
from jaxtext.text.shuffle import shuffled

AnyIds = TypeVar("AnyIds", np.ndarray, FileArray)
Length = TypeVar("Length", int, tuple[int, ...])

_ORDERS, _RESETS = 1, 2  # what is drawn from a seed, beside where an epoch starts


class Batch(NamedTuple):
    """The input and the targets of one training step.

    Attributes:
      inputs: ``[B, T]`` integers.
      targets: ``[B, P]`` integers, the symbols that follow the last ``P <= T`` inputs.
      resets: ``[B, T]`` booleans, true where a new text starts.
      lengths: ``[B]`` integers, how many inputs of each row are valid; the rest is
        padding. A target is valid if its input is. Padding may hold any integers: it
        changes neither loss nor gradient. ``None``: there is no padding.
    """

    inputs: np.ndarray
    targets: np.ndarray
    resets: np.ndarray
    lengths: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Streams:
    """Contiguous streams for truncated backpropagation through time.

    The text is cut into ``batch_size`` streams and each batch continues every one of
    them where the batch before ended, so that the carried state is the right one
    (Williams and Peng, 1990). Every epoch starts at another place, drawn from what
    does not fill a whole batch, lest the windows be cut at the same characters.

    With several lengths the places where the gradient is cut vary within an epoch, too
    (Merity et al., 2018, who draw any length; few of them, since each is compiled). An
    epoch consists of cycles, in each of which every length comes once, in an order of
    its own. One that is given twice comes twice.

    With a ``reset_probability`` a stream begins a batch from the zero state now and
    then (Melis et al., 2018). A model that is judged, or begins to write, from the
    zero state has to know that state; otherwise the first batch of an epoch alone
    trains it.

    Args:
      ids: ``[N]`` integers, in memory or in a file.
      batch_size: B, how many streams.
      seq_len: T, how many characters of a stream are in a batch; or several of them.
      reset_probability: of a stream's state being reset where a batch begins.

    Raises:
      InputError: a size below 1, no length at all, a probability out of range, or
        fewer than ``B * T + T`` characters: for several lengths, B times their sum and
        the longest of them.

    Example:
      >>> streams = Streams(np.arange(100), batch_size=2, seq_len=3)
      >>> first, second = streams.batch(seed=0, k=0), streams.batch(seed=0, k=1)
      >>> bool((second.inputs == first.inputs + 3).all())
      True
      >>> streams = Streams(np.arange(100), batch_size=2, seq_len=(4, 4, 2))
      >>> [streams.batch(seed=0, k=k).inputs.shape[1] for k in range(6)]
      [4, 4, 2, 2, 4, 4]

    References:
      G. Melis, C. Dyer, P. Blunsom. On the state of the art of evaluation in neural
      language models, 2018.

      S. Merity, N. Keskar, R. Socher. Regularizing and optimizing LSTM language models,
      2018, section 5.

      R. Williams, J. Peng. An efficient gradient-based algorithm for on-line training
      of recurrent network trajectories, 1990.
    """

    ids: Ids
    batch_size: int
    seq_len: int | tuple[int, ...]
    reset_probability: float = 0.0

    def __post_init__(self) -> None:
        _set(
            self, ids=as_ids(self.ids), batch_size=count("batch_size", self.batch_size)
        )
        _set(self, seq_len=_counted(self.seq_len))
        if not 0 <= self.reset_probability <= 1:
            raise InputError(
                "reset_probability: expected at least 0 and at most 1, got "
                f"{self.reset_probability}; 0.01 is usual"
            )
        if self.batches_per_epoch < 1:
            needed = _needed(self.batch_size, self.lengths)
            raise InputError(
                f"{self.batch_size} streams of {self.seq_len} characters need a text "
                f"of {needed:,}, got {len(self.ids):,}; "
                "lower the batch size or the sequence length"
            )

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of a cycle of batches, T of each; their order varies."""
        return _lengths(self.seq_len)

    @property
    def characters_per_batch(self) -> float:
        """How many characters the network reads in a batch, ``B * T``; on average."""
        cycle = self.batch_size * sum(self.lengths)
        return cycle / len(self.lengths) if len(self.lengths) > 1 else cycle

    @property
    def batches_per_epoch(self) -> int:
        """How many batches use each character at most once."""
        lengths = self.lengths
        cycle = self.batch_size * sum(lengths)
        return (len(self.ids) - max(lengths)) // cycle * len(lengths)

    def characters(self, seed: int, k: int) -> int:
        """Say how many characters the network reads in batch ``k`` of a run."""
        _, length = self._place(seed, *divmod(k, self.batches_per_epoch))
        return self.batch_size * length

    def batch(self, seed: int, k: int, rows: slice | None = None) -> Batch:
        """Return batch ``k`` of a run.

        Args:
          seed: of the run, not negative; decides where each epoch starts, the order of
            the lengths and the resets.
          k: counts from 0 on through all the epochs.
          rows: read only these rows of the batch, such as one process's share; None
            reads all.

        Returns:
          Inputs and targets ``[B, T]``, the targets being the next characters, and
          ``resets[:, 0]`` true in the first batch of an epoch, and where it was drawn.

        Example:
          >>> Streams(np.arange(9), 2, 3).batch(seed=0, k=0).resets.tolist()
          [[True, False, False], [True, False, False]]
        """
        seed, k = count("seed", seed, 0), count("k", k, 0)
        epoch, index = divmod(k, self.batches_per_epoch)
        before, length = self._place(seed, epoch, index)
        cycles = self.batches_per_epoch // len(self.lengths)
        stream_len = cycles * sum(self.lengths)
        # At least the longest length: batches_per_epoch leaves that much over.
        slack = len(self.ids) - 1 - self.batch_size * stream_len
        offset = int(np.random.default_rng((seed, epoch)).integers(slack + 1))
        rows = rows or slice(None)
        streams = np.arange(self.batch_size)[rows]
        starts = offset + before + stream_len * streams
        characters = windows(self.ids, starts, length + 1)
        resets = np.zeros((len(streams), length), bool)
        resets[:, 0] = index == 0
        if self.reset_probability:
            drawn = _draw(seed, _RESETS, k).random(self.batch_size)
            resets[:, 0] |= (drawn < self.reset_probability)[rows]
        return Batch(characters[:, :-1], characters[:, 1:], resets)

    def _place(self, seed: int, epoch: int, index: int) -> tuple[int, int]:
        """Characters of a stream before a batch of an epoch, and in it."""
        lengths = self.lengths
        cycle, place = divmod(index, len(lengths))
        if len(lengths) > 1:
            order = _draw(seed, _ORDERS, epoch, cycle).permutation(len(lengths))
            lengths = tuple(lengths[i] for i in order)
        return cycle * sum(lengths) + sum(lengths[:place]), lengths[place]


@dataclass(frozen=True, eq=False)
class Windows:
    """Overlapping windows in random order, each to predict one character.

    The arrangement of the Keras character-level LSTM tutorial: a window of
    ``seq_len`` characters begins every ``stride`` characters, always from a fresh
    state, and the network predicts only the character after it. The order of an epoch
    takes no memory, however many windows there are.

    Args:
      ids: ``[N]`` integers, in memory or in a file.
      batch_size: B, how many windows are in a batch.
      seq_len: T, how many characters are in a window.
      stride: from one window's first character to the next one's.

    Raises:
      InputError: a size below 1, or not more than ``seq_len`` characters.

    Example:
      >>> windows = Windows(np.arange(100), batch_size=2, seq_len=5, stride=3)
      >>> batch = windows.batch(seed=0, k=0)
      >>> bool((batch.targets[:, 0] == batch.inputs[:, -1] + 1).all())
      True
    """

    ids: Ids
    batch_size: int
    seq_len: int
    stride: int

    def __post_init__(self) -> None:
        sizes = {
            name: getattr(self, name) for name in ("batch_size", "seq_len", "stride")
        }
        _set(self, ids=as_ids(self.ids), **{n: count(n, x) for n, x in sizes.items()})
        if len(self.ids) <= self.seq_len:
            raise InputError(
                f"a window of {self.seq_len} characters and the one to predict need a "
                f"text of {self.seq_len + 1:,}, got {len(self.ids):,}; lower the "
                "sequence length"
            )

    @property
    def window_count(self) -> int:
        """How many windows the text has."""
        return len(range(0, len(self.ids) - self.seq_len, self.stride))

    @property
    def lengths(self) -> tuple[int, ...]:
        """As of `Streams`: T, which is the same in every batch."""
        return (self.seq_len,)

    @property
    def characters_per_batch(self) -> int:
        """How many characters the network reads in a batch, ``B * T``."""
        return self.batch_size * self.seq_len

    def characters(self, seed: int, k: int) -> int:
        """As of `Streams`: how many characters the network reads in batch ``k``."""
        return self.characters_per_batch

    @property
    def batches_per_epoch(self) -> int:
        """How many batches use each window at least once."""
        return -(-self.window_count // self.batch_size)

    def batch(self, seed: int, k: int, rows: slice | None = None) -> Batch:
        """Return batch ``k`` of a run.

        Args:
          seed: of the run, not negative; decides the order of each epoch.
          k: counts from 0 on through all the epochs.
          rows: read only these rows of the batch, such as one process's share; None
            reads all.

        Returns:
          Inputs ``[B, T]``, targets ``[B, 1]`` and ``resets[:, 0]`` true. The last
          batch of an epoch is filled up with the epoch's first windows.

        Example:
          >>> Windows(np.arange(9), 2, 3, 3).batch(seed=0, k=0).targets.shape
          (2, 1)
        """
        seed, k = count("seed", seed, 0), count("k", k, 0)
        epoch, index = divmod(k, self.batches_per_epoch)
        rank = np.arange(self.batch_size)[rows or slice(None)]
        places = (index * self.batch_size + rank) % self.window_count
        starts = shuffled(places, self.window_count, (seed, epoch)) * self.stride
        characters = windows(self.ids, starts, self.seq_len + 1)
        resets = np.zeros((len(rank), self.seq_len), bool)
        resets[:, 0] = True
        return Batch(characters[:, :-1], characters[:, -1:], resets)


def fit(
    characters: int, batch_size: int, seq_len: Length, multiple: int = 1
) -> tuple[int, Length]:
    """Lower the batch size, then the sequence length, until a text is long enough.

    Args:
      characters: how long the text is.
      batch_size: B wished for, a multiple of ``multiple``.
      seq_len: T wished for; or several, of which those above what fits are lowered.
      multiple: what B must stay a multiple of, such as the number of devices.

    Returns:
      ``(batch_size, seq_len)`` that ``Streams`` accepts, unchanged where possible.

    Raises:
      InputError: a size below 1, a batch size that is not a multiple of
        ``multiple``, or too few characters even for ``multiple`` streams of one (of
        one of each length).

    Example:
      >>> fit(1000, 64, 100), fit(100_000, 64, 100), fit(50, 64, 100)
      ((9, 100), (64, 100), (1, 25))
      >>> fit(100, 64, (60, 60, 20))
      (1, (26, 26, 20))
    """
    characters, seq_len = count("characters", characters, 0), _counted(seq_len)
    batch_size = count("batch_size", batch_size)
    multiple, lengths = count("multiple", multiple), _lengths(seq_len)
    if batch_size % multiple:
        raise InputError(
            f"expected a batch size that is a multiple of {multiple}, got "
            f"{batch_size}; round it"
        )

    def needed(longest: int) -> int:
        return _needed(multiple, tuple(min(length, longest) for length in lengths))

    if characters < needed(1):
        raise InputError(
            f"{multiple} streams need at least {needed(1)} characters, got "
            f"{characters}; give a longer text"
        )
    fitting = (characters - max(lengths)) // sum(lengths) // multiple * multiple
    if fitting >= multiple:
        return min(batch_size, fitting), seq_len
    longest = bisect_right(range(1, max(lengths) + 1), characters, key=needed)
    if isinstance(seq_len, tuple):
        return multiple, tuple(min(length, longest) for length in seq_len)
    return multiple, longest


def split(ids: AnyIds, val_fraction: float) -> tuple[AnyIds, AnyIds]:
    """Cut a text into a beginning to train on and an end to validate on.

    Args:
      ids: ``[N]`` integers.
      val_fraction: the share of the end, at least 0 and below 1. It is taken as the
        decimal number that it is written as: of ten, 0.8 leaves two to train on.

    Returns:
      ``(train, validation)``, slices of ``ids`` that do not overlap; validation is
      empty for 0.

    Raises:
      InputError: a fraction out of range, or one that leaves nothing to train on.

    Example:
      >>> split(np.arange(10), 0.2)
      (array([0, 1, 2, 3, 4, 5, 6, 7]), array([8, 9]))
      >>> split("abcdefghij", 0.8)
      ('ab', 'cdefghij')
    """
    val_fraction = fraction("val_fraction", val_fraction)
    # Exactly: in floats, (1 - 0.8) * 10 is below 2.
    cut = math.floor((1 - Fraction(str(val_fraction))) * len(ids))
    if cut < 1:
        raise InputError(
            f"a validation fraction of {val_fraction} leaves nothing of {len(ids):,} "
            "characters to train on; lower it"
        )
    return ids[:cut], ids[cut:]


def _set(frozen: Any, **fields: Any) -> None:
    """Gives fields of a frozen dataclass the form that they are to have."""
    for name, value in fields.items():
        object.__setattr__(frozen, name, value)


def _counted(seq_len: Any) -> Any:
    """A length, or a tuple of several, at least one."""
    if not isinstance(seq_len, tuple | list):
        return count("seq_len", seq_len)
    if not seq_len:
        raise InputError("seq_len: expected at least one length, got none; 64 is usual")
    return tuple(count("seq_len", length) for length in seq_len)


def _lengths(seq_len: int | tuple[int, ...]) -> tuple[int, ...]:
    return seq_len if isinstance(seq_len, tuple) else (seq_len,)


def _needed(batch_size: int, lengths: tuple[int, ...]) -> int:
    """How long a text has to be for a cycle of batches, and to spare the longest."""
    return batch_size * sum(lengths) + max(lengths)


def _draw(seed: int, *purpose: int) -> np.random.Generator:
    """Random numbers of a seed for a purpose, and for no other."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=purpose))
