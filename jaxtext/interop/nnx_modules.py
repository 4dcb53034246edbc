"""Any cell of ours as a module of ``flax.nnx``."""

from typing import Any

import jax
from flax import nnx

from jaxtext.interop.flax_call import flax_call
from jaxtext.types import Array, Cell, Params, Shape, State


class NNXCell(nnx.RNNCellBase):
    """A cell as a cell of nnx, for ``nnx.RNN``, ``nnx.Bidirectional`` and `NNXRNN`.

    Its parameters are ``nnx.Param`` under ``params``. One step is all a cell of nnx
    sees, so it is without noise: `NNXRNN` draws that for the sequence.

    Args:
      cell: Any cell that has a ``step``; for `NNXRNN`, any cell.
      in_features: ``D``.
      rngs: Its stream ``params`` starts the parameters.

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
        if self.cell.step is None:
            raise ValueError(
                "expected a cell that goes step by step, got one that has to see the "
                "whole sequence (is part of it bidirectional?): run it with NNXRNN"
            )
        return self.cell.step(self.parameters(), carry, inputs)

    def parameters(self) -> Params:
        """The cell's parameters as they are now, arrays without nnx around them."""

        def is_param(x):
            return isinstance(x, nnx.Param)

        return jax.tree.map(lambda p: p[...], self.params, is_leaf=is_param)

    def initialize_carry(
        self, input_shape: Shape, rngs: Any = None, carry_init: Any = None
    ) -> State:
        """The state to start from, which is never random."""
        del rngs, carry_init
        return self.cell.initial_state(input_shape[:-1])

    @property
    def num_feature_axes(self) -> int:
        """Inputs have one axis of features, the last."""
        return 1


class NNXRNN(nnx.Module):
    """``nnx.RNN`` for an `NNXCell`, walking time with `jaxtext.unroll`.

    The same call, so that either may stand for the other, also within
    ``nnx.Bidirectional``. What the change brings is told at `LinenRNN`.

    Args:
      cell: The cell.
      time_major: Whether inputs and outputs are ``[T, B, D]``, not ``[B, T, D]``.
      return_carry: Whether to return ``carry, outputs``, not the outputs alone.
      reverse: Whether to walk from the last step to the first.
      keep_order: Whether outputs then stay where their inputs are.

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
        """Runs the cell; `None` stands for the attribute of that name.

        Args:
          inputs: ``[B, T, D]``, or ``[T, B, D]`` if time-major; floating point.
          initial_carry: The state to start from. Default: the cell's own.
          rngs: Where the cell's noise comes from: its stream ``dropout``, if it has
            that one by name.
          seq_lengths: ``[B]`` integers: how many steps of each sequence count.
          return_carry: Overrides the attribute.
          time_major: Overrides the attribute.
          reverse: Overrides the attribute.
          keep_order: Overrides the attribute.

        Returns:
          Outputs ``[B, T, H]``, or the carry and these.
        """
        key = None
        if isinstance(rngs, nnx.Rngs) and "dropout" in rngs:
            key = rngs.dropout()
        carry, ys = flax_call(
            self.cell.cell,
            self.cell.parameters(),
            inputs,
            initial_carry=initial_carry,
            seq_lengths=seq_lengths,
            time_major=self.time_major if time_major is None else time_major,
            reverse=self.reverse if reverse is None else reverse,
            keep_order=self.keep_order if keep_order is None else keep_order,
            key=key,
        )
        both = self.return_carry if return_carry is None else return_carry
        return (carry, ys) if both else ys
