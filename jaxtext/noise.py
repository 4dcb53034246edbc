"""Noise that regularises recurrence: on hidden state, memory and weights.

Like `jaxtext.dropout`, the cells here draw noise for each sequence in an `unroll` that
gets a key. Without a key they are deterministic.
"""

from functools import wraps

import jax
import jax.numpy as jnp

from jaxtext.cells.hidden import hidden_size
from jaxtext.constructor import constructor
from jaxtext.errors import InputError
from jaxtext.kernels import autodiff
from jaxtext.keys import typed_key
from jaxtext.quantities import fraction, shown
from jaxtext.types import Cell, Key, Noise, Params, State


@constructor
def recurrent_dropout(cell: Cell, rate: float) -> Cell:
    """Dropout on the hidden state that goes into each step, one mask a sequence.

    ::

        state_t, y_t = cell(state_tm1 with h_tm1 ⊙ m / (1 - rate), x_t)
        m ~ Bernoulli(1 - rate), once a sequence

    It drops what the recurrent product sees, and nothing of the memory beside it. A
    cell without such a memory is refused: the ``h`` of a GRU goes into products and
    also into its next state, which would grow by ``1 / (1 - rate)`` at each step.
    Use `zoneout` or `weight_drop` for such cells. If you combine it with `zoneout`, put
    this one inside; otherwise `zoneout` would keep the masked ``h``.

    Args:
      cell: A cell whose state has a field ``h`` beside its memory, such as `lstm`.
      rate: Probability in ``[0, 1)`` that a unit is dropped.

    Returns:
      A cell with the parameters and state of `cell`.

    Raises:
      ValueError: If `rate` is out of range, or the cell has no such state.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.recurrent_dropout(jt.lstm(4), 0.3)
      >>> params, start = cell.init(jax.random.key(0), 3), cell.initial_state((2,))
      >>> _, ys = jt.unroll(
      ...     cell, params, start, jnp.ones((2, 5, 3)), key=jax.random.key(1)
      ... )
      >>> ys.shape
      (2, 5, 4)

    References:
      Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent
      neural networks", 2016, the mask on the hidden state (here with one mask for all
      gates).
    """
    rate = fraction("rate", rate)
    hidden = hidden_size(cell, "recurrent_dropout")
    inner_step = cell.step
    assert inner_step is not None  # a cell that is not made of others has one

    def noise(key, input_size, length):
        mask_key, inner_key = jax.random.split(key)
        keep = jax.random.bernoulli(mask_key, 1 - rate, (hidden,))
        inner = _draw(cell, inner_key, input_size, length)
        return Noise((keep, inner.per_sequence), inner.per_step)

    def dropped(state, noise):
        """What the cell gets: the state with its mask, and noise of its own."""
        if noise is None or noise.per_sequence is None:
            return state, Noise()
        keep, inner = noise.per_sequence
        h = jnp.where(keep, state.h / (1 - rate), 0)
        return state._replace(h=h), Noise(inner, noise.per_step)

    @wraps(inner_step)
    def step(params, state, x, noise=None, **how):
        state, noise = dropped(state, noise)
        return inner_step(params, state, x, noise, **how)

    def gates(params, state, x, noise=None):
        assert cell.gates is not None  # or this one does not name them either
        state, noise = dropped(state, noise)
        return cell.gates(params, state, x, noise)

    return cell._replace(
        step=step,
        noise=noise,
        backends=autodiff.backends(step, cell.initial_state),
        embed=cell.embed,
        gates=cell.gates and gates,
    )


@constructor
def zoneout(cell: Cell, rate: float | State) -> Cell:
    """Keeps each unit of the state as it was with probability `rate`, step by step.

    ::

        s̃_t = the state after cell(s_tm1, x_t)
        s_t = k_t ⊙ s_tm1 + (1 - k_t) ⊙ s̃_t        k_t ~ Bernoulli(rate)
        y_t = h_t

    Unlike dropout it takes nothing away from the state, so that memory and gradient
    pass through the units that are kept. Without a key, ``k_t`` is `rate` itself, the
    expectation over the noise: so a model is to be evaluated, and to generate.

    Args:
      cell: A cell of its own, not one made of others, whose output is its hidden
        state: the state itself, or its field ``h``. To zone out a stack, do so layer
        by layer.
      rate: A probability in ``[0, 1)`` for all of the state, or one for each part of
        it, in its structure: ``LSTMState(c=0.5, h=0.05)``.

    Returns:
      A cell with the parameters and state of `cell`.

    Raises:
      ValueError: If a rate is out of range, or the cell has no such state.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.zoneout(jt.lstm(4), jt.LSTMState(c=0.5, h=0.05))
      >>> params, start = cell.init(jax.random.key(0), 3), cell.initial_state((2,))
      >>> _, ys = jt.unroll(
      ...     cell, params, start, jnp.ones((2, 5, 3)), key=jax.random.key(1)
      ... )
      >>> ys.shape
      (2, 5, 4)

    References:
      Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
      activations", 2017.
    """
    one_state = jax.eval_shape(lambda: cell.initial_state(()))
    try:
        rates = jax.tree.broadcast(rate, one_state)
    except ValueError:
        raise InputError(
            "rate: expected one, or one for each part of the state, "
            f"{shown(one_state)}, got {shown(rate)}"
        ) from None
    inner_step = cell.step
    if cell.sequence is not None or inner_step is None or not _has_hidden(one_state):
        raise ValueError(
            "zoneout expects a cell whose output is its state, or the field h of it, "
            "and goes around each cell of a stack rather than around the stack; got a "
            f"cell with the state {one_state}"
        )

    def noise(key, input_size, length):
        keep_key, inner_key = jax.random.split(key)
        leaves, structure = jax.tree.flatten(one_state)
        keys = jax.random.split(keep_key, len(leaves))
        keep = jax.tree.map(
            lambda k, r, s: jax.random.bernoulli(k, r, (length, *s.shape)),
            jax.tree.unflatten(structure, keys),
            rates,
            one_state,
        )
        inner = _draw(cell, inner_key, input_size, length)
        return Noise(inner.per_sequence, (keep, inner.per_step))

    def apart(noise):
        """Which units are kept, if that is drawn, and the noise of the cell itself."""
        if noise is None or noise.per_step is None:
            return None, Noise()
        keep, per_step = noise.per_step
        return keep, Noise(noise.per_sequence, per_step)

    def gates(params, state, x, noise=None):
        assert cell.gates is not None  # or this one does not name them either
        return cell.gates(params, state, x, apart(noise)[1])

    @wraps(inner_step)
    def step(params, state, x, noise=None, **how):
        keep, inner = apart(noise)
        after, y = inner_step(params, state, x, inner, **how)
        if keep is None:
            state = jax.tree.map(
                lambda r, old, new: r * old + (1 - r) * new, rates, state, after
            )
        else:
            state = jax.tree.map(jnp.where, keep, state, after)
        return state, getattr(state, "h", state).astype(y.dtype)

    return cell._replace(
        step=step,
        noise=noise,
        backends=autodiff.backends(step, cell.initial_state),
        embed=cell.embed,
        gates=cell.gates and gates,
    )


def weight_drop(params: Params, rate: float, key: Key | None) -> Params:
    """Drops entries of every recurrent kernel, for all sequences and steps to come.

    ::

        U' = U ⊙ M / (1 - rate)        M ~ Bernoulli(1 - rate)

    A function of parameters, to be called before `unroll` or a model's ``apply``, so
    that the gradient goes through it to the whole kernels. Dropping weights in place
    of activations costs nothing within the walk over time, and goes with every cell.

    Args:
      params: A cell's parameters, or any pytree that holds some, such as a model's.
      rate: Probability in ``[0, 1)`` that a weight is dropped.
      key: Where the masks come from. ``None``: nothing is dropped.

    Returns:
      `params`, where each leaf named ``recurrent_kernel`` has entries dropped.

    Raises:
      ValueError: If `rate` is out of range, or nothing in `params` has that name.

    Example:
      >>> import jaxtext as jt
      >>> params = jt.lstm(64).init(jax.random.key(0), 3)
      >>> dropped = jt.weight_drop(params, 0.5, jax.random.key(1))
      >>> round(float((dropped["recurrent_kernel"] == 0).mean()), 1)
      0.5

    References:
      Merity, Keskar and Socher, "Regularizing and optimizing LSTM language models",
      2018. Wan et al., "Regularization of neural networks using DropConnect", 2013.
    """
    rate = fraction("rate", rate)
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(path[-1:], simple=True) for path, _ in leaves]
    if "recurrent_kernel" not in names:
        raise ValueError(
            f"weight_drop expects params with a recurrent_kernel, got {set(names)}"
        )
    if key is None:
        return params
    key = typed_key(key)
    dropped = []
    for i, (name, (_, leaf)) in enumerate(zip(names, leaves, strict=True)):
        if name == "recurrent_kernel":
            keep = jax.random.bernoulli(
                jax.random.fold_in(key, i), 1 - rate, leaf.shape
            )
            leaf = jnp.where(keep, leaf / (1 - rate), 0)
        dropped.append(leaf)
    return jax.tree.unflatten(structure, dropped)


def _draw(cell, key, input_size, length):
    return cell.noise(key, input_size, length) if cell.noise else Noise()


def _has_hidden(state):
    """Whether a state is one array, or a NamedTuple with a field ``h``."""
    return hasattr(state, "h") or hasattr(state, "shape")
