"""Batches of a text: contiguous streams or overlapping windows.

A batch is a pure function of the seed and the step. So a resumed run reads exactly the
batches that an uninterrupted one would have read.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxtext.errors import InputError
from jaxtext.quantities import count, fraction
from jaxtext.text.documents import Documents
from jaxtext.text.file_array import FileArray, Ids, as_ids, windows
from jaxtext.text.order import Shuffled
from jaxtext.text.shuffle import shuffled

AnyIds = TypeVar("AnyIds", np.ndarray, FileArray)
Length = TypeVar("Length", int, tuple[int, ...])

_ORDERS, _RESETS = 1, 2  # purposes of `_draw`; the start of an epoch is drawn apart


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

    The text is cut into ``batch_size`` streams. Each batch continues every stream where
    the batch before ended, so the recurrent state can be carried over (Williams and
    Peng, 1990). Each epoch starts at a random offset, so its batches are cut at other
    characters. The characters that do not fill a batch make room for that offset.

    With several lengths, the batches of an epoch have different lengths. Merity et al.,
    2018, draw any length; here there are few, since the step is compiled for each. An
    epoch consists of cycles. In a cycle each given length comes once, in random order.
    A length that is given twice comes twice.

    With a ``reset_probability``, some streams start a batch from the zero state (Melis
    et al., 2018). This trains the model on the zero state, from which evaluation in
    windows and generation start. Without it, only the first batch of an epoch does.

    With `Documents`, streams go on from one document into the next, and the state is
    reset at the step that reads the symbol between them. So there is no padding.
    `Shuffled` documents have another order in each epoch.

    Args:
      ids: ``[N]`` integers, in memory or in a file; or `Documents`, or `Shuffled` ones.
      batch_size: ``B``, the number of streams.
      seq_len: ``T``, how many characters of each stream are in a batch; or a tuple of
        several lengths.
      reset_probability: The probability that a stream's state is reset at the start of
        a batch.

    Raises:
      InputError: If a size is below 1, there is no length, the probability is out of
        range, or there are fewer than ``B * T + T`` characters. For several lengths
        that is ``B`` times their sum, plus the longest.

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

    ids: Ids | Documents | Shuffled
    batch_size: int
    seq_len: int | tuple[int, ...]
    reset_probability: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.ids, Documents | Shuffled):
            _set(self, ids=as_ids(self.ids))
        _set(self, batch_size=count("batch_size", self.batch_size))
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
                f"of {needed:,}, got {self.size:,}; "
                "lower the batch size or the sequence length"
            )

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths ``T`` of the batches in a cycle; their order varies."""
        return _lengths(self.seq_len)

    @property
    def size(self) -> int:
        """``N``, the number of characters."""
        text = self.ids
        return text.size if isinstance(text, Documents | Shuffled) else len(text)

    @property
    def characters_per_batch(self) -> float:
        """The characters that the network reads in a batch, ``B * T`` on average."""
        cycle = self.batch_size * sum(self.lengths)
        return cycle / len(self.lengths) if len(self.lengths) > 1 else cycle

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches in an epoch, which use each character at most once."""
        lengths = self.lengths
        cycle = self.batch_size * sum(lengths)
        return (self.size - max(lengths)) // cycle * len(lengths)

    def characters(self, seed: int, k: int) -> int:
        """The number of characters that the network reads in batch ``k`` of a run."""
        _, length = self._place(seed, *divmod(k, self.batches_per_epoch))
        return self.batch_size * length

    def batch(self, seed: int, k: int, rows: slice | None = None) -> Batch:
        """Returns batch ``k`` of a run.

        Args:
          seed: The seed of the run, at least 0. It decides the offset of each epoch,
            the order of the lengths and the resets.
          k: The index of the batch, which counts from 0 through all epochs.
          rows: The rows of the batch to read, such as one process's share. ``None``:
            all of them.

        Returns:
          Inputs and targets ``[B, T]``; the targets are the next characters.
          ``resets[:, 0]`` is true in the first batch of an epoch, and at random with
          the ``reset_probability``. Resets are also true where the end of a document
          is read.

        Example:
          >>> Streams(np.arange(9), 2, 3).batch(seed=0, k=0).resets.tolist()
          [[True, False, False], [True, False, False]]
        """
        seed, k = count("seed", seed, 0), count("k", k, 0)
        epoch, index = divmod(k, self.batches_per_epoch)
        before, length = self._place(seed, epoch, index)
        cycles = self.batches_per_epoch // len(self.lengths)
        stream_len = cycles * sum(self.lengths)
        # At least the longest length, which batches_per_epoch leaves over.
        slack = self.size - 1 - self.batch_size * stream_len
        offset = int(np.random.default_rng((seed, epoch)).integers(slack + 1))
        rows = rows or slice(None)
        streams = np.arange(self.batch_size)[rows]
        starts = offset + before + stream_len * streams
        text = self.ids
        resets = np.zeros((len(streams), length), bool)
        if isinstance(text, Documents | Shuffled):
            characters = text.epoch(seed, epoch).windows(starts, length + 1)
            resets |= characters[:, :-1] == text.end
        else:
            characters = windows(text, starts, length + 1)
        resets[:, 0] |= index == 0
        if self.reset_probability:
            drawn = _draw(seed, _RESETS, k).random(self.batch_size)
            resets[:, 0] |= (drawn < self.reset_probability)[rows]
        return Batch(characters[:, :-1], characters[:, 1:], resets)

    def _place(self, seed: int, epoch: int, index: int) -> tuple[int, int]:
        """How many characters of a stream are before a batch of an epoch, and in it."""
        lengths = self.lengths
        cycle, place = divmod(index, len(lengths))
        if len(lengths) > 1:
            order = _draw(seed, _ORDERS, epoch, cycle).permutation(len(lengths))
            lengths = tuple(lengths[i] for i in order)
        return cycle * sum(lengths) + sum(lengths[:place]), lengths[place]


@dataclass(frozen=True, eq=False)
class Windows:
    """Overlapping windows in random order, each to predict one character.

    This is how the Keras character-level LSTM tutorial reads a text. A window of
    ``seq_len`` characters begins every ``stride`` characters. The network reads it from
    the zero state, and predicts only the character after it. The random order takes no
    memory, however many windows there are.

    Args:
      ids: ``[N]`` integers, in memory or in a file.
      batch_size: ``B``, the number of windows in a batch.
      seq_len: ``T``, the number of characters in a window.
      stride: The distance between the starts of two windows, in characters.

    Raises:
      InputError: If a size is below 1, or there are at most ``seq_len`` characters.

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
        """The number of windows in the text."""
        return len(range(0, len(self.ids) - self.seq_len, self.stride))

    @property
    def lengths(self) -> tuple[int, ...]:
        """``(T,)``, since all batches have the same length."""
        return (self.seq_len,)

    @property
    def characters_per_batch(self) -> int:
        """The characters that the network reads in a batch, ``B * T``."""
        return self.batch_size * self.seq_len

    def characters(self, seed: int, k: int) -> int:
        """The number of characters that the network reads in batch ``k`` of a run."""
        return self.characters_per_batch

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches in an epoch, which use each window at least once."""
        return -(-self.window_count // self.batch_size)

    def batch(self, seed: int, k: int, rows: slice | None = None) -> Batch:
        """Returns batch ``k`` of a run.

        Args:
          seed: The seed of the run, at least 0. It decides the order of each epoch.
          k: The index of the batch, which counts from 0 through all epochs.
          rows: The rows of the batch to read, such as one process's share. ``None``:
            all of them.

        Returns:
          Inputs ``[B, T]`` and targets ``[B, 1]``; ``resets[:, 0]`` is true. The last
          batch of an epoch is filled up with the first windows of the epoch.

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
    """Reduces the batch size, then the sequence length, until a text is long enough.

    Args:
      characters: The length of the text.
      batch_size: The preferred ``B``, a multiple of ``multiple``.
      seq_len: The preferred ``T``, or several. Lengths that are too long are reduced.
      multiple: The number that ``B`` stays a multiple of, such as the number of
        devices.

    Returns:
      ``(batch_size, seq_len)`` that `Streams` accepts, unchanged if possible.

    Raises:
      InputError: If a size is below 1, the batch size is not a multiple of
        ``multiple``, or the text is too short for ``multiple`` streams with lengths of
        1.

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
            f"batch_size: expected a multiple of {multiple}, got {batch_size}; round it"
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
    """Splits a text into a beginning to train on and an end to validate on.

    Args:
      ids: ``[N]`` integers.
      val_fraction: The share of the end, at least 0 and below 1. It is an exact decimal
        number: 0.8 of ten leaves two to train on.

    Returns:
      ``(train, validation)``, slices of ``ids`` that do not overlap. For 0, validation
      is empty.

    Raises:
      InputError: If the fraction is out of range, or leaves nothing to train on.

    Example:
      >>> split(np.arange(10), 0.2)
      (array([0, 1, 2, 3, 4, 5, 6, 7]), array([8, 9]))
      >>> split("abcdefghij", 0.8)
      ('ab', 'cdefghij')
    """
    cut = kept_for_training(len(ids), val_fraction)
    return ids[:cut], ids[cut:]


def kept_for_training(characters: int, val_fraction: float) -> int:
    """How many of a text's characters `split` leaves to train on.

    Raises:
      InputError: If the fraction is out of range, or leaves nothing.

    Example:
      >>> kept_for_training(10, 0.2)
      8
    """
    val_fraction = fraction("val_fraction", val_fraction)
    # Exactly: in floats, (1 - 0.8) * 10 is below 2.
    cut = math.floor((1 - Fraction(str(val_fraction))) * characters)
    if cut < 1:
        raise InputError(
            f"a validation fraction of {val_fraction} leaves nothing of "
            f"{characters:,} characters to train on; lower it"
        )
    return cut


def _set(frozen: Any, **fields: Any) -> None:
    """Sets fields of a frozen dataclass while it is created."""
    for name, value in fields.items():
        object.__setattr__(frozen, name, value)


def _counted(seq_len: Any) -> Any:
    """Checks a length, or a tuple of at least one."""
    if not isinstance(seq_len, tuple | list):
        return count("seq_len", seq_len)
    if not seq_len:
        raise InputError("seq_len: expected at least one length, got none; 64 is usual")
    return tuple(count("seq_len", length) for length in seq_len)


def _lengths(seq_len: int | tuple[int, ...]) -> tuple[int, ...]:
    return seq_len if isinstance(seq_len, tuple) else (seq_len,)


def _needed(batch_size: int, lengths: tuple[int, ...]) -> int:
    """The characters needed for a cycle of batches, plus the longest length."""
    return batch_size * sum(lengths) + max(lengths)


def _draw(seed: int, *purpose: int) -> np.random.Generator:
    """The random generator of a seed for one purpose."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=purpose))
