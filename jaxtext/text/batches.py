"""Batches of ids: contiguous streams, overlapping windows, and the split before.

A batch is a pure function of the seed and the step, so that a run that is resumed
sees exactly the batches that an uninterrupted one would have seen.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from jaxtext.errors import InputError
from jaxtext.text.file_array import FileArray, Ids, windows
from jaxtext.text.shuffle import shuffled

AnyIds = TypeVar("AnyIds", np.ndarray, FileArray)


class Batch(NamedTuple):
    """What one training step reads and has to predict."""

    inputs: np.ndarray  # [B, T] ids
    targets: np.ndarray  # [B, P] ids that follow the last P <= T inputs
    resets: np.ndarray  # [B, T] bool, true where a sequence starts anew


@dataclass(frozen=True, eq=False)
class Streams:
    """Contiguous streams for truncated backpropagation through time.

    The text is cut into ``batch_size`` streams and each batch continues every one of
    them where the batch before ended, so that the carried state is the right one
    (Williams and Peng, 1990). Every epoch starts at another place, drawn from what
    does not fill a whole batch, lest the windows be cut at the same characters.

    Args:
      ids: ``[N]`` integers, in memory or in a file.
      batch_size: B, how many streams.
      seq_len: T, how many characters of a stream are in a batch.

    Raises:
      InputError: a size below 1, or fewer than ``B * T + T`` characters.

    Example:
      >>> streams = Streams(np.arange(100), batch_size=2, seq_len=3)
      >>> first, second = streams.batch(seed=0, k=0), streams.batch(seed=0, k=1)
      >>> bool((second.inputs == first.inputs + 3).all())
      True
    """

    ids: Ids
    batch_size: int
    seq_len: int

    def __post_init__(self):
        _check_sizes(batch_size=self.batch_size, seq_len=self.seq_len)
        if self.batches_per_epoch < 1:
            raise InputError(
                f"{self.batch_size} streams of {self.seq_len} characters need a text "
                f"of {(self.batch_size + 1) * self.seq_len:,}, got {len(self.ids):,}; "
                "lower the batch size or the sequence length"
            )

    @property
    def characters_per_batch(self) -> int:
        """How many characters the network reads in a batch, ``B * T``."""
        return self.batch_size * self.seq_len

    @property
    def batches_per_epoch(self) -> int:
        """How many batches use each character at most once."""
        return (len(self.ids) - self.seq_len) // self.characters_per_batch

    def batch(self, seed: int, k: int, rows: slice | None = None) -> Batch:
        """Return batch ``k`` of a run.

        Args:
          seed: of the run, not negative; decides where each epoch starts.
          k: counts from 0 on through all the epochs.
          rows: read only these rows of the batch, such as one process's share; None
            reads all.

        Returns:
          Inputs and targets ``[B, T]``, the targets being the next characters, and
          ``resets[:, 0]`` true in the first batch of an epoch.

        Example:
          >>> Streams(np.arange(9), 2, 3).batch(seed=0, k=0).resets.tolist()
          [[True, False, False], [True, False, False]]
        """
        epoch, index = divmod(k, self.batches_per_epoch)
        stream_len = self.batches_per_epoch * self.seq_len
        # At least seq_len values: batches_per_epoch leaves that much over.
        slack = len(self.ids) - 1 - self.batch_size * stream_len
        offset = int(np.random.default_rng((seed, epoch)).integers(slack + 1))
        streams = np.arange(self.batch_size)[rows or slice(None)]
        starts = offset + index * self.seq_len + stream_len * streams
        characters = windows(self.ids, starts, self.seq_len + 1)
        resets = np.zeros((len(streams), self.seq_len), bool)
        resets[:, 0] = index == 0
        return Batch(characters[:, :-1], characters[:, 1:], resets)


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

    def __post_init__(self):
        _check_sizes(
            batch_size=self.batch_size, seq_len=self.seq_len, stride=self.stride
        )
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
    def characters_per_batch(self) -> int:
        """How many characters the network reads in a batch, ``B * T``."""
        return self.batch_size * self.seq_len

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
        epoch, index = divmod(k, self.batches_per_epoch)
        rank = np.arange(self.batch_size)[rows or slice(None)]
        places = (index * self.batch_size + rank) % self.window_count
        starts = shuffled(places, self.window_count, (seed, epoch)) * self.stride
        characters = windows(self.ids, starts, self.seq_len + 1)
        resets = np.zeros((len(rank), self.seq_len), bool)
        resets[:, 0] = True
        return Batch(characters[:, :-1], characters[:, -1:], resets)


def fit(
    characters: int, batch_size: int, seq_len: int, multiple: int = 1
) -> tuple[int, int]:
    """Lower the batch size, then the sequence length, until a text is long enough.

    Args:
      characters: how long the text is.
      batch_size: B wished for, a multiple of ``multiple``.
      seq_len: T wished for.
      multiple: what B must stay a multiple of, such as the number of devices.

    Returns:
      ``(batch_size, seq_len)`` that ``Streams`` accepts, unchanged where possible.

    Raises:
      InputError: a size below 1, a batch size that is not a multiple of
        ``multiple``, or too few characters even for ``multiple`` streams of one.

    Example:
      >>> fit(1000, 64, 100), fit(100_000, 64, 100), fit(50, 64, 100)
      ((9, 100), (64, 100), (1, 25))
    """
    _check_sizes(batch_size=batch_size, seq_len=seq_len, multiple=multiple)
    if batch_size % multiple:
        raise InputError(
            f"expected a batch size that is a multiple of {multiple}, got "
            f"{batch_size}; round it"
        )
    if characters < multiple + 1:
        raise InputError(
            f"{multiple} streams need at least {multiple + 1} characters, got "
            f"{characters}; give a longer text"
        )
    # B streams need B * T + T characters, which is (B + 1) * T.
    fitting = (characters // seq_len - 1) // multiple * multiple
    if fitting >= multiple:
        return min(batch_size, fitting), seq_len
    return multiple, characters // (multiple + 1)


def split(ids: AnyIds, val_fraction: float) -> tuple[AnyIds, AnyIds]:
    """Cut a text into a beginning to train on and an end to validate on.

    Args:
      ids: ``[N]`` integers.
      val_fraction: the share of the end, at least 0 and below 1.

    Returns:
      ``(train, validation)``, slices of ``ids`` that do not overlap; validation is
      empty for 0.

    Raises:
      InputError: a fraction out of range, or one that leaves nothing to train on.

    Example:
      >>> split(np.arange(10), 0.2)
      (array([0, 1, 2, 3, 4, 5, 6, 7]), array([8, 9]))
    """
    if not 0 <= val_fraction < 1:
        raise InputError(
            "expected a validation fraction of at least 0 and below 1, got "
            f"{val_fraction}; 0.1 is usual"
        )
    cut = int((1 - val_fraction) * len(ids))
    if cut < 1:
        raise InputError(
            f"a validation fraction of {val_fraction} leaves nothing of {len(ids):,} "
            "characters to train on; lower it"
        )
    return ids[:cut], ids[cut:]


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"expected {name} of at least 1, got {size}; raise it")
