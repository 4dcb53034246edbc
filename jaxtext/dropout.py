"""Dropout between layers, drawn anew at each step or once for a sequence."""

import jax
import jax.numpy as jnp

from jaxtext.constructor import constructor
from jaxtext.kernels.products import is_symbols
from jaxtext.types import Cell, Noise


@constructor
def dropout(rate: float) -> Cell:
    """Sets each input to zero with probability `rate`, and scales up the others.

    ::

        y_t = x_t ⊙ m_t / (1 - rate)        m_t ~ Bernoulli(1 - rate)

    A cell without parameters or state, so that it takes its place in a `stack`. It is
    random only in an `unroll` that is given a key; without one, and in a step by
    itself, it passes its input on.

    Args:
      rate: Probability in ``[0, 1)``.

    Returns:
      A cell. It takes only floating-point inputs, since a symbol has no units to drop.

    Raises:
      ValueError: If `rate` is out of range; on first use, if the input is symbols.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.dropout(0.5)
      >>> _, ys = jt.unroll(cell, {}, (), jnp.ones((1, 4)), key=jax.random.key(0))
      >>> sorted(set(ys.ravel().tolist())) in ([0.0, 2.0], [0.0], [2.0])
      True

    References:
      Srivastava et al., "Dropout: a simple way to prevent neural networks from
      overfitting", 2014. Between layers only: Zaremba, Sutskever and Vinyals,
      "Recurrent neural network regularization", 2014.
    """

    def noise(key, input_size, length):
        keep = jax.random.bernoulli(key, 1 - rate, (length, input_size))
        return Noise(per_step=keep)

    return _stateless("dropout", rate, noise)


@constructor
def variational_dropout(rate: float) -> Cell:
    """Dropout with one mask for all steps of a sequence.

    ::

        y_t = x_t ⊙ m / (1 - rate)        m ~ Bernoulli(1 - rate), once a sequence

    A unit that is dropped stays dropped from the first step to the last. Ordinary
    dropout hides a unit for one step only, and the next step often repeats what it
    said. Like `jaxtext.dropout`, it is a cell without parameters or state, to be put
    between the layers of a `stack`. Each call of `unroll` draws one mask for a
    sequence; `resets` within it do not draw a new one.

    Args:
      rate: Probability in ``[0, 1)`` that a unit is dropped.

    Returns:
      A cell. It takes only floating-point inputs, since a symbol has no units to drop.

    Raises:
      ValueError: If `rate` is out of range; on first use, if the input is symbols.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.variational_dropout(0.5)
      >>> _, ys = jt.unroll(cell, {}, (), jnp.ones((9, 4)), key=jax.random.key(0))
      >>> bool((ys == ys[0]).all()), set(ys[0].tolist()) <= {0.0, 2.0}
      (True, True)

    References:
      Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent
      neural networks", 2016.
    """

    def noise(key, input_size, length):
        del length
        return Noise(per_sequence=jax.random.bernoulli(key, 1 - rate, (input_size,)))

    return _stateless("variational_dropout", rate, noise)


def _stateless(name, rate, noise) -> Cell:
    """A cell that drops where `noise`, of either kind, has false."""

    def init(key, input_size):
        del key, input_size
        return {}

    def initial_state(batch_shape):
        del batch_shape
        return ()

    def step(params, state, x, noise=None):
        del params
        if is_symbols(x):
            raise ValueError(
                f"{name} expects vectors, got symbols: put it above the first layer"
            )
        keep = None
        if noise is not None:
            keep = noise.per_step if noise.per_sequence is None else noise.per_sequence
        return state, x if keep is None else jnp.where(keep, x / (1 - rate), 0)

    def sequence(walk, params, state, xs, masks, noise):
        del walk, masks  # nothing is carried, and the padding of xs is zero already
        return step(params, state, xs, noise)

    return Cell(init, initial_state, step, noise, sequence, state_size=())
