"""Any cell as a module of ``flax.linen``."""

from typing import Any

from flax import linen as nn

from jaxtext.interop.flax_call import one_step, whole_sequence
from jaxtext.types import Array, Cell, Key, Params, State


class LinenCell(nn.RNNCellBase):
    """A cell as a recurrent cell of linen.

    Use it in ``nn.RNN``, ``nn.Bidirectional`` or `LinenRNN`. Its parameters are the
    entry ``recurrent`` of ``params``. It has no noise, since linen calls it for one
    step at a time; `LinenRNN` draws noise for the whole sequence.

    Attributes:
      cell: Any cell with a ``step``; in `LinenRNN`, any cell.

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
        params = self.parameters(inputs.shape[-1])
        return one_step(self.cell, params, carry, inputs, "LinenRNN")

    @nn.compact
    def parameters(self, input_size: int) -> Params:
        """The cell's parameters, created on first use for this input size."""
        return self.param("recurrent", self.cell.init, input_size)

    @nn.nowrap
    def initialize_carry(self, rng: Key, input_shape: tuple[int, ...]) -> State:
        """The initial state, for which only `input_shape` is used."""
        del rng
        return self.cell.initial_state(input_shape[:-1])

    @property
    def num_feature_axes(self) -> int:
        """1: inputs have one feature axis, the last."""
        return 1


class LinenRNN(nn.Module):
    """``nn.RNN`` for a `LinenCell`, run by `jaxtext.unroll`.

    It is called like ``nn.RNN`` and has the same variables, so you can exchange the
    two, also within ``nn.Bidirectional``. It differs from ``nn.RNN`` as follows:

    - The cell runs by its fastest backend.
    - The cell's noise is drawn from the RNG stream ``dropout``, if there is one.
    - Cells without a ``step``, such as bidirectional ones, can be used.
    - Outputs in the padding are zero.
    - `seq_lengths` may have any number of batch axes.
    - A sequence of length 0 keeps the carry it started from.

    Attributes:
      cell: The cell.
      time_major: Whether inputs and outputs are ``[T, B, D]``, not ``[B, T, D]``.
      return_carry: Whether to return ``carry, outputs``, not the outputs alone.
      reverse: Whether to run from the last step to the first.
      keep_order: Whether the outputs of a reverse run are in the order of the inputs,
        not in the order in which they were computed.

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
        """Runs the cell over a sequence.

        Args:
          inputs: ``[B, T, D]``, or ``[T, B, D]`` if time-major; floating point.
          initial_carry: The state to start from. Default: the cell's initial state.
          init_key: Accepted because ``nn.RNN`` accepts it; not used.
          seq_lengths: ``[B]`` integers, how many steps of each sequence are valid.
          return_carry: Overrides the attribute, unless ``None``.
          time_major: Overrides the attribute, unless ``None``.
          reverse: Overrides the attribute, unless ``None``.
          keep_order: Overrides the attribute, unless ``None``.

        Returns:
          Outputs ``[B, T, H]``, or the carry and the outputs.
        """
        del init_key
        return whole_sequence(
            self,
            self.cell.cell,
            self.cell.parameters(inputs.shape[-1]),
            inputs,
            initial_carry=initial_carry,
            seq_lengths=seq_lengths,
            key=self.make_rng("dropout") if self.has_rng("dropout") else None,
            return_carry=return_carry,
            time_major=time_major,
            reverse=reverse,
            keep_order=keep_order,
        )
