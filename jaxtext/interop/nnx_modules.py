"""Any cell as a module of ``flax.nnx``."""

from typing import Any

import jax
from flax import nnx

from jaxtext.interop.flax_call import one_step, whole_sequence
from jaxtext.types import Array, Cell, Key, Params, Shape, State


class NNXCell(nnx.RNNCellBase):
    """A cell as a recurrent cell of nnx.

    Use it in ``nnx.RNN``, ``nnx.Bidirectional`` or `NNXRNN`. Its parameters are each an
    ``nnx.Param``, under the attribute ``params``. It has no noise, since nnx calls it
    for one step at a time; `NNXRNN` draws noise for the whole sequence.

    Args:
      cell: Any cell with a ``step``; in `NNXRNN`, any cell.
      in_features: ``D``.
      rngs: The parameters are drawn from its stream ``params``.

    Example:
      >>> import jax.numpy as jnp, jaxtext as jt
      >>> cell = NNXCell(jt.stack(jt.lstm(4), jt.gru(4)), 3, rngs=nnx.Rngs(0))
      >>> nnx.RNN(cell)(jnp.ones((2, 5, 3))).shape
      (2, 5, 4)
    """

    def __init__(self, cell: Cell, in_features: int, *, rngs: nnx.Rngs):
        self.cell = cell
        params = cell.init(rngs.params(), in_features)
        self.params: Params = nnx.data(jax.tree.map(nnx.Param, params))

    def __call__(self, carry: State, inputs: Array) -> tuple[State, Array]:
        """One step: ``carry, y``."""
        return one_step(self.cell, self.parameters(), carry, inputs, "NNXRNN")

    def parameters(self) -> Params:
        """The current parameters, as the cell's own functions take them."""

        def is_param(x):
            return isinstance(x, nnx.Param)

        return jax.tree.map(lambda p: p[...], self.params, is_leaf=is_param)

    def initialize_carry(
        self, input_shape: Shape, rngs: Any = None, carry_init: Any = None
    ) -> State:
        """The initial state, for which only `input_shape` is used."""
        del rngs, carry_init
        return self.cell.initial_state(input_shape[:-1])

    @property
    def num_feature_axes(self) -> int:
        """1: inputs have one feature axis, the last."""
        return 1


class NNXRNN(nnx.Module):
    """``nnx.RNN`` for an `NNXCell`, run by `jaxtext.unroll`.

    It is called like ``nnx.RNN``, so you can exchange the two, also within
    ``nnx.Bidirectional``. See `LinenRNN` for how it differs.

    Args:
      cell: The cell.
      time_major: Whether inputs and outputs are ``[T, B, D]``, not ``[B, T, D]``.
      return_carry: Whether to return ``carry, outputs``, not the outputs alone.
      reverse: Whether to run from the last step to the first.
      keep_order: Whether the outputs of a reverse run are in the order of the inputs,
        not in the order in which they were computed.

    Example:
      >>> import jax.numpy as jnp, jaxtext as jt
      >>> module = NNXRNN(NNXCell(jt.lstm(4), 3, rngs=nnx.Rngs(0)), return_carry=True)
      >>> carry, ys = module(jnp.ones((2, 5, 3)), seq_lengths=jnp.array([5, 0]))
      >>> ys.shape, bool((carry.h[1] == 0).all())
      ((2, 5, 4), True)
    """

    def __init__(
        self,
        cell: NNXCell,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = False,
    ):
        self.cell = cell
        self.time_major = time_major
        self.return_carry = return_carry
        self.reverse = reverse
        self.keep_order = keep_order

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Any = None,
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Array | tuple[State, Array]:
        """Runs the cell over a sequence.

        Args:
          inputs: ``[B, T, D]``, or ``[T, B, D]`` if time-major; floating point.
          initial_carry: The state to start from. Default: the cell's initial state.
          rngs: The cell's noise is drawn from its stream ``dropout``. Without one there
            is no noise.
          seq_lengths: ``[B]`` integers, how many steps of each sequence are valid.
          return_carry: Overrides the attribute, unless ``None``.
          time_major: Overrides the attribute, unless ``None``.
          reverse: Overrides the attribute, unless ``None``.
          keep_order: Overrides the attribute, unless ``None``.

        Returns:
          Outputs ``[B, T, H]``, or the carry and the outputs.
        """
        return whole_sequence(
            self,
            self.cell.cell,
            self.cell.parameters(),
            inputs,
            initial_carry=initial_carry,
            seq_lengths=seq_lengths,
            key=dropout_key(rngs),
            return_carry=return_carry,
            time_major=time_major,
            reverse=reverse,
            keep_order=keep_order,
        )


def dropout_key(rngs: Any) -> Key | None:
    """The next key of the stream ``dropout``; ``None`` if there is no such stream."""
    if isinstance(rngs, nnx.Rngs) and "dropout" in rngs:
        return rngs.dropout()
    return None
