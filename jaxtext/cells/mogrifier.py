"""The Mogrifier (Melis, Kočiský and Blunsom, 2020): input and state gate each other."""

from functools import wraps

import jax
import jax.numpy as jnp

from jaxtext.cells.affine import glorot
from jaxtext.cells.hidden import hidden_size
from jaxtext.constructor import constructor
from jaxtext.kernels import autodiff
from jaxtext.kernels.products import Multiply, multiply, one_hot
from jaxtext.parameters import in_a_row, joined, numbered, parts_of
from jaxtext.types import Cell, DType


@constructor
def mogrifier(cell: Cell, rounds: int = 5, *, param_dtype: DType = jnp.float32) -> Cell:
    """Lets input and hidden state gate each other before a cell takes both.

    ::

        x⁻¹ = x_t,  h⁰ = h_tm1
        xⁱ = 2 σ(hⁱ⁻¹ Q_i) ⊙ xⁱ⁻²         odd i in 1 … rounds
        hⁱ = 2 σ(xⁱ⁻¹ R_i) ⊙ hⁱ⁻²         even i in 1 … rounds
        state_t, y_t = cell(state_tm1 with the last h, the last x)

    The meaning of an input can so depend on the past, and the part of the state that
    the cell sees on the input. Only ``h`` is changed: an LSTM's memory ``c`` goes into
    the cell as it is.

    It also takes symbols, as their one-hot rows. But such a row has only one entry to
    gate, and the rows have to be built. The Mogrifier does more, for less, above a
    layer that makes vectors of symbols: ``stack(rnn(256), mogrifier(lstm(512)))``.

    Args:
      cell: A cell whose state has a field ``h`` beside its memory, such as `lstm`.
      rounds: How often one gates the other; none leaves the cell as it is.
      param_dtype: The type of the gates' parameters. They compute in the type of ``h``.

    Returns:
      A cell with the state and output of `cell`. Its parameters are ``cell``, those of
      `cell`, and ``input_gates``, the dict ``"0", "1", …`` of ``Q_1, Q_3, … [H, D]``,
      and ``hidden_gates``, that of ``R_2, R_4, … [D, H]``.

    Raises:
      ValueError: If the cell has no such state, or `rounds` is negative; on use, if the
        parameters are not such a dict.

    Example:
      >>> import jaxtext as jt
      >>> cell = mogrifier(jt.lstm(4))
      >>> params = cell.init(jax.random.key(0), 3)
      >>> state, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 3)))
      >>> y.shape, [q.shape for q in params["input_gates"].values()]
      ((2, 4), [(4, 3), (4, 3), (4, 3)])

    References:
      Melis, Kočiský and Blunsom, "Mogrifier LSTM", 2020, equations 1 and 2, with
      matrices of full rank.
    """
    hidden = hidden_size(cell, "mogrifier")
    inner = cell.step
    assert inner is not None  # a cell that is not made of others has one

    def init(key, input_size):
        cell_key, *keys = jax.random.split(key, 1 + rounds)
        qs = (glorot(k, hidden, input_size, 1, param_dtype) for k in keys[::2])
        rs = (glorot(k, input_size, hidden, 1, param_dtype) for k in keys[1::2])
        of_cell = cell.init(cell_key, input_size)
        return joined(
            {"cell": of_cell, "input_gates": in_a_row(qs), "hidden_gates": in_a_row(rs)}
        )

    def gated(params, state, x, multiply: Multiply = multiply):
        """The parameters of `cell`, and state and input after all rounds."""
        of_cell, *of_gates = parts_of(params, ("cell", "input_gates", "hidden_gates"))
        if not rounds:
            return of_cell, state, x
        qs, rs = (parts_of(part, numbered(len(part))) for part in of_gates)
        h = state.h
        if jnp.issubdtype(x.dtype, jnp.integer):
            x = one_hot(x, qs[0].shape[1], h.dtype)
        x = x.astype(h.dtype)
        for i in range(rounds):
            if i % 2 == 0:
                x = 2 * jax.nn.sigmoid(multiply((h, qs[i // 2]), dtype=h.dtype)) * x
            else:
                h = 2 * jax.nn.sigmoid(multiply((x, rs[i // 2]), dtype=h.dtype)) * h
        return of_cell, state._replace(h=h), x

    @wraps(inner)
    def step(params, state, x, noise=None, **how):
        return inner(*gated(params, state, x, **how), noise, **how)

    def gates(params, state, x, noise=None):
        assert cell.gates is not None  # or this one does not name them either
        return cell.gates(*gated(params, state, x), noise)

    return Cell(
        init,
        cell.initial_state,
        step,
        cell.noise,
        backends=autodiff.backends(step, cell.initial_state),
        gates=cell.gates and gates,
        output_size=cell.output_size,
        state_size=cell.state_size,
    )
