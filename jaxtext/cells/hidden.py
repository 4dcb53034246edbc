"""The hidden state of a cell that has its memory apart from it, as the LSTM has."""

import jax

from jaxtext.types import Cell


def hidden_size(cell: Cell, what: str) -> int:
    """Width of the field ``h`` of a cell's state, where ``h`` goes into products alone.

    A function that changes ``h`` on its way into a step must not change the cell's
    memory. In an LSTM, ``h`` is only read from the memory ``c``. A GRU's state is both:
    scaled at each step, its memory would grow or fade with every one.

    Args:
      cell: Any cell.
      what: The name of the caller, for the error message.

    Returns:
      ``H``.

    Raises:
      ValueError: If the state is not a NamedTuple of ``h`` and at least one more
        field, or the cell is made of others, so that ``h`` need not be its output.

    Example:
      >>> import jaxtext as jt
      >>> hidden_size(jt.projected_lstm(8, 3), "the example")
      3
    """
    state = jax.eval_shape(lambda: cell.initial_state(()))
    fields = getattr(state, "_fields", ())
    if cell.sequence is not None or "h" not in fields or len(fields) < 2:
        raise ValueError(
            f"{what} expects a cell with a hidden state h beside its memory, as an "
            "LSTM has, and goes around each such cell of a stack rather than around "
            f"the stack; got a cell with the state {state}"
        )
    return state.h.shape[-1]
