"""Any cell of ours as a module of ``flax.linen``."""

from typing import Any

from flax import linen as nn

from jaxtext.interop.flax_call import flax_call
from jaxtext.types import Array, Cell, Key, Params, State


class LinenCell(nn.RNNCellBase):
    """A cell as a cell of linen, for ``nn.RNN``, ``nn.Bidirectional`` and `LinenRNN`.

    Its parameters are the one entry ``recurrent`` of ``params``. One step is all a cell
    of linen sees, so it is without noise: `LinenRNN` draws that for the sequence.

    Attributes:
      cell: Any cell that has a ``step``; for `LinenRNN`, any cell.

    Example:
      >>> import jax, jax.numpy as jnp, jaxtext as jt
      >>> module = nn.RNN(LinenCell(jt.stack(jt.lstm(4), jt.gru(4))))
      >>> xs = jnp.ones((2, 5, 3))
      >>> ys, variables = module.init_with_output(jax.random.key(0), xs)
      >>> ys.shape
      (2, 5, 4)
    """

    cell: Cell

    def __call__(self, carry: State, inputs: Array) -> tuple[State, Array]:
        """One step: ``carry, y``."""
        if self.cell.step is None:
            raise ValueError(
                "expected a cell that goes step by step, got one that has to see the "
                "whole sequence (is part of it bidirectional?): run it with LinenRNN"
            )
        return self.cell.step(self.parameters(inputs.shape[-1]), carry, inputs)

    @nn.compact
    def parameters(self, input_size: int) -> Params:
        """The cell's parameters, made on first use for inputs ``input_size`` wide."""
        return self.param("recurrent", self.cell.init, input_size)

    @nn.nowrap
    def initialize_carry(self, rng: Key, input_shape: tuple[int, ...]) -> State:
        """The state to start from, which is never random."""
        del rng
        return self.cell.initial_state(input_shape[:-1])

    @property
    def num_feature_axes(self) -> int:
        """Inputs have one axis of features, the last."""
        return 1


class LinenRNN(nn.Module):
    """``nn.RNN`` for a `LinenCell`, walking time with `jaxtext.unroll`.

    The same call and the same variables, so that either may stand for the other, also
    within ``nn.Bidirectional``. What the change brings: the cell's own speed over a
    sequence, its noise (from the stream ``dropout``, where there is one), cells that
    have no single step, outputs of zero in the padding, any number of batch axes with
    ``seq_lengths``, and a sequence of length 0 that ends in the carry it started from.

    Attributes:
      cell: The cell.
      time_major: Whether inputs and outputs are ``[T, B, D]``, not ``[B, T, D]``.
      return_carry: Whether to return ``carry, outputs``, not the outputs alone.
      reverse: Whether to walk from the last step to the first.
      keep_order: Whether outputs then stay where their inputs are.

    Example:
      >>> import jax, jax.numpy as jnp, jaxtext as jt
      >>> module = LinenRNN(LinenCell(jt.lstm(4)), return_carry=True)
      >>> xs = jnp.ones((2, 5, 3))
      >>> variables = module.init(jax.random.key(0), xs)
      >>> carry, ys = module.apply(variables, xs, seq_lengths=jnp.array([5, 0]))
      >>> ys.shape, bool((carry.h[1] == 0).all())
      ((2, 5, 4), True)
    """

    cell: LinenCell
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = False

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Any = None,
        init_key: Key | None = None,
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
          init_key: Taken for the sake of ``nn.RNN``'s callers; no start is random.
          seq_lengths: ``[B]`` integers: how many steps of each sequence count.
          return_carry: Overrides the attribute.
          time_major: Overrides the attribute.
          reverse: Overrides the attribute.
          keep_order: Overrides the attribute.

        Returns:
          Outputs ``[B, T, H]``, or the carry and these.
        """
        del init_key
        carry, ys = flax_call(
            self.cell.cell,
            self.cell.parameters(inputs.shape[-1]),
            inputs,
            initial_carry=initial_carry,
            seq_lengths=seq_lengths,
            time_major=self.time_major if time_major is None else time_major,
            reverse=self.reverse if reverse is None else reverse,
            keep_order=self.keep_order if keep_order is None else keep_order,
            key=self.make_rng("dropout") if self.has_rng("dropout") else None,
        )
        both = self.return_carry if return_carry is None else return_carry
        return (carry, ys) if both else ys
