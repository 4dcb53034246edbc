"""What `transformer.py` trains, whatever library it is written in."""

from typing import NamedTuple, Protocol

import numpy as np


class Sizes(NamedTuple):
    """The sizes of a Transformer.

    Attributes:
      symbols: ``V``.
      block: The longest context.
      layers: Number of blocks of attention and feed-forward layer.
      heads: Heads of attention.
      width: ``W``, a multiple of the heads.
    """

    symbols: int
    block: int
    layers: int
    heads: int
    width: int


class Learner(Protocol):
    """A Transformer and its optimizer.

    The optimizer is AdamW (0.9, 0.99) with weight decay 0.1 on matrices, after the
    gradient is clipped to a norm of 1.

    Attributes:
      parameters: How many numbers are learned. The output layer is the embedding.
    """

    parameters: int

    def step(self, inputs: np.ndarray, targets: np.ndarray, rate: float) -> float:
        """Takes a step on ids ``[B, T]`` int32, and returns the loss before it."""
        ...

    def losses(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The loss of each target, ``[B, T]``, in nats."""
        ...
