"""A workload: a cell, its sizes, and the operations that it takes."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jaxtext.errors import InputError

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
GATES |= {f"layer_norm_{cell}": gates for cell, gates in GATES.items()}
FORWARD, FORWARD_BACKWARD = "forward", "forward_backward"
DIRECTIONS = (FORWARD, FORWARD_BACKWARD)
TORCH = "torch", "torchrl"  # the libraries that compute with torch
RESETS = 0.03  # the share of steps that start a new sequence, as TorchRL measures it
MASKED = 0.1  # the share of steps that are masked


class Workload(NamedTuple):
    """One cell over one batch of sequences."""

    cell: str
    batch: int
    time: int
    input: int
    hidden: int
    dtype: str
    resets: bool = False  # whether new sequences start within the batch
    masked: bool = False  # whether some steps are masked
    heads: int = 1  # blocks of the recurrent kernel

    def name(self) -> str:
        """Cell and shape: ``lstm 16x128x65x128`` is B, T, D, H."""
        sizes = f"{self.batch}x{self.time}x{self.input}x{self.hidden}"
        return f"{self.cell} {sizes}{self._form()}"

    def called(self) -> str:
        """The cell without its shape, and what it has besides: ``lstm of 8 heads``."""
        return f"{self.cell}{self._form()}"

    def _form(self):
        heads = f" of {self.heads} heads" if self.heads > 1 else ""
        masks = " with masks" if self.masked else ""
        return heads + masks + (" with resets" if self.resets else "")

    def flops(self, direction: str) -> int:
        """The operations of the matrix products alone.

        ::

            forward           2 B T (D + H/n) G H      G gates: 1, 3 or 4; n heads
            forward_backward  3 times that: each product has two in its gradient
        """
        width = self.input + self.hidden // self.heads
        products = 2 * self.batch * self.time * width * GATES[self.cell] * self.hidden
        return products * (1 if direction == FORWARD else 3)


def of_row(row: Mapping[str, Any]) -> Workload:
    """The workload of a row of results. Older files lack the newest fields."""
    return Workload(**{name: row[name] for name in Workload._fields if name in row})


def listed(values: Iterable[str]) -> list[str]:
    """The single names in a list of names that may have commas.

    Example:
      >>> listed(["rnn,lstm", "gru"])
      ['rnn', 'lstm', 'gru']
    """
    return [name for value in values for name in value.split(",")]


def parse_shape(text: str) -> tuple[int, int, int, int]:
    """Parses ``BxTxH``, for an input as wide as the output, or ``BxTxDxH``.

    Raises:
      InputError: If it is neither.

    Example:
      >>> parse_shape("16x128x256"), parse_shape("16x128x65x256")
      ((16, 128, 256, 256), (16, 128, 65, 256))
    """
    sizes = [int(size) if size.isdecimal() else 0 for size in text.split("x")]
    if len(sizes) not in (3, 4) or 0 in sizes:
        raise InputError(f"--shapes: expected BxTxH or BxTxDxH, got {text!r}")
    batch, time, *widths = sizes
    return batch, time, widths[0], widths[-1]
