"""What every peer can say of a network: its layers, their directions, their kinds.

The peers' files build networks of ours from `layer`, `both_ways` and `in_sequence`, and
take them apart with `layers_of`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxtext.cells import gru, lstm, rnn
from jaxtext.compose import bidirectional, stack
from jaxtext.errors import InputError
from jaxtext.types import Array, Cell, DType, Params
from jaxtext.unroll import unroll

Kind: TypeAlias = Literal["rnn", "lstm", "gru", "gru, reset before"]
Network: TypeAlias = tuple[Cell, Params]

_CELLS = {
    "rnn": rnn,
    "lstm": lstm,
    "gru": gru,
    "gru, reset before": partial(gru, reset_after=False),
}


class Layer(NamedTuple):
    """One direction of one layer.

    Attributes:
      kind: Which cell.
      params: Its parameters, as the cell's docstring names them.
      dtype: The type it computes in.
    """

    kind: Kind
    params: Mapping[str, Array]
    dtype: DType

    @property
    def sizes(self) -> tuple[int, int]:
        """``D`` and ``H``."""
        return len(self.params["kernel"]), len(self.params["recurrent_kernel"])

    @property
    def param_dtype(self) -> DType:
        """The type of its parameters."""
        return self.params["kernel"].dtype


def layer(
    kind: Kind, params: Mapping[str, Array], dtype: DType | None = None
) -> Network:
    """A cell around parameters that are there already.

    Args:
      kind: Which cell.
      params: Its parameters.
      dtype: The type to compute in. Default: that of the parameters.

    Returns:
      A cell and a copy of its parameters.

    Example:
      >>> ones = jnp.ones
      >>> params = {"kernel": ones((2, 3)), "recurrent_kernel": ones((3, 3))}
      >>> cell, _ = layer("rnn", params | {"bias": ones(3)})
      >>> cell.initial_state(()).shape
      (3,)
    """
    this = Layer(kind, params, dtype or params["kernel"].dtype)
    types = {"dtype": this.dtype, "param_dtype": this.param_dtype}
    copies = {name: jnp.array(x) for name, x in params.items()}  # may yet be donated
    return _CELLS[kind](this.sizes[1], **types), copies


def both_ways(forward: Network, backward: Network) -> Network:
    """A bidirectional cell and its parameters."""
    return bidirectional(forward[0], backward[0]), (forward[1], backward[1])


def in_sequence(networks: Sequence[Network]) -> Network:
    """A stack and its parameters; one network alone stays what it is."""
    if len(networks) == 1:
        return networks[0]
    return stack(*(cell for cell, _ in networks)), tuple(p for _, p in networks)


def reorder(x: Array, source: str, target: str) -> Array:
    """Gates along the last axis, from one order to another, a letter for each.

    Example:
      >>> reorder(jnp.arange(6), "rzn", "zrn").tolist()
      [2, 3, 0, 1, 4, 5]
    """
    gates = dict(zip(source, jnp.split(x, len(source), axis=-1), strict=True))
    return jnp.concatenate([gates[gate] for gate in target], axis=-1)


def layers_of(cell: Cell, params: Params) -> list[tuple[Layer, ...]]:
    """Takes a network apart, from the input upwards.

    A cell is functions, which cannot be looked into, and parameters do not tell a layer
    with a residual connection from one without. So the layers that the parameters
    suggest are put together again and run: they are the answer only if they compute
    what `cell` does. Both run without a key, so layers of dropout, which are then
    nothing, are left out.

    Args:
      cell: `rnn`, `lstm` or `gru`, alone or in `stack` and `bidirectional`.
      params: Its parameters.

    Returns:
      The layers, each with one direction or with two: forwards, backwards.

    Raises:
      InputError: If the network is made of anything else.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.stack(jt.bidirectional(jt.lstm(4)), jt.dropout(0.5), jt.gru(5))
      >>> layers = layers_of(cell, cell.init(jax.random.key(0), 3))
      >>> [[direction.kind for direction in layer] for layer in layers]
      [['lstm', 'lstm'], ['gru']]
    """
    width = _input_size(params)
    if width is not None:
        xs = jax.random.normal(jax.random.key(0), (3, width))
        ys = _outputs(cell, params, xs)
        for layers, _ in _readings(params, cell.initial_state(()), width):
            if _agree(ys, _outputs(*_network(layers), xs)):
                return layers
    raise InputError(
        "expected a network of jt.rnn, jt.lstm and jt.gru, alone, in jt.stack, or "
        "singly in jt.bidirectional; got one that is not made of these alone (is there "
        "a residual connection, another cell?): convert those of its layers that are"
    )


def _input_size(params):
    """``D`` of the first layer that has parameters, or None."""
    if isinstance(params, Mapping):
        return len(params["kernel"]) if "kernel" in params else None
    sizes = map(_input_size, params if isinstance(params, tuple) else ())
    return next((size for size in sizes if size is not None), None)


def _readings(params, state, width) -> Iterator[tuple[list[tuple[Layer, ...]], int]]:
    """Every network that parameters may be those of, and the width of its output.

    Two in a tuple are two layers or two directions; mostly their widths say which.
    """
    if isinstance(params, Mapping):
        if one := _read_layer(params, state, width):
            yield [(one,)], one.sizes[1]
    elif isinstance(params, tuple):
        yield from _stacks(params, state, width)
        if len(params) == 2:
            ahead, back = (_read_layer(params[n], state[n], width) for n in (0, 1))
            if ahead and back:
                yield [(ahead, back)], ahead.sizes[1] + back.sizes[1]


def _stacks(params, state, width):
    if not params:
        yield [], width  # dropout has no parameters: a stack of nothing
        return
    for first, between in _readings(params[0], state[0], width):
        for rest, out in _stacks(params[1:], state[1:], between):
            yield first + rest, out


def _read_layer(params, state, width) -> Layer | None:
    """A layer, if these are the parameters of one that takes inputs of this width."""
    names = {"kernel", "recurrent_kernel", "bias"}
    if not isinstance(params, Mapping) or set(params) - {"recurrent_bias"} != names:
        return None
    if len(params["kernel"]) != width:
        return None
    hidden, gates = params["recurrent_kernel"].shape
    kinds: dict[tuple[int, bool], Kind] = {
        (1, False): "rnn",
        (4, False): "lstm",
        (3, True): "gru",
        (3, False): "gru, reset before",
    }
    kind = kinds.get((gates // hidden, "recurrent_bias" in params))
    h = jax.tree.leaves(state)[-1:]  # the hidden state comes last in every state
    return Layer(kind, params, h[0].dtype) if kind and h else None


def _network(layers) -> Network:
    per_layer = []
    for directions in layers:
        networks = [layer(d.kind, d.params, d.dtype) for d in directions]
        per_layer.append(networks[0] if len(networks) == 1 else both_ways(*networks))
    return in_sequence(per_layer)


def _outputs(cell, params, xs):
    @jax.jit
    def run(params, xs):
        return unroll(cell, params, cell.initial_state(()), xs, backend="scan")[1]

    return run(params, xs)


def _agree(a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    # Both run the same steps in the same types: a last bit may differ where XLA adds up
    # in another order, and in a type so short that this shows, nothing may.
    eps = float(jnp.finfo(a.dtype).eps)
    tolerance = 16 * eps if eps < 1e-6 else 0.0
    return bool(jnp.allclose(a, b, tolerance, tolerance))
