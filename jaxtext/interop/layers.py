"""Networks as layers, which every conversion starts from or arrives at.

The file of each library builds a network from `layer`, `both_ways` and `in_sequence`,
and takes one apart with `layers_of`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxtext.cells import gru, lstm, rnn
from jaxtext.compose import bidirectional, stack
from jaxtext.errors import InputError
from jaxtext.parameters import in_a_row, joined
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
      kind: The cell.
      params: Its parameters, by the names in the cell's docstring.
      dtype: The type that it computes in.
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
        """The type of the parameters."""
        return self.params["kernel"].dtype


def layer(
    kind: Kind, params: Mapping[str, Array], dtype: DType | None = None
) -> Network:
    """A cell for given parameters.

    Args:
      kind: The cell.
      params: Its parameters.
      dtype: The type to compute in. Default: the type of the parameters.

    Returns:
      The cell and a copy of the parameters.

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
    params = {"forward": forward[1], "backward": backward[1]}
    return bidirectional(forward[0], backward[0]), joined(params)


def in_sequence(networks: Sequence[Network]) -> Network:
    """A stack and its parameters; a single network is returned unchanged."""
    if len(networks) == 1:
        return networks[0]
    return stack(*(cell for cell, _ in networks)), in_a_row(p for _, p in networks)


def layers_of(cell: Cell, params: Params) -> list[tuple[Layer, ...]]:
    """Takes a network apart into its layers, the one at the input first.

    A cell consists of functions, so its layers cannot be read from it. They are guessed
    from the parameters, which do not show everything, such as a residual connection. So
    a network of the guessed layers is built and run, and the guess is accepted only if
    its outputs are those of `cell`. Both run without a key. Layers of dropout then do
    nothing, and are left out.

    Args:
      cell: `rnn`, `lstm` or `gru`, alone, in `bidirectional`, or in a `stack` of these.
      params: Its parameters.

    Returns:
      The layers, each with one direction, or with two: forwards and backwards.

    Raises:
      InputError: If the network contains anything else, or `params` is not a dict.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.stack(jt.bidirectional(jt.lstm(4)), jt.dropout(0.5), jt.gru(5))
      >>> layers = layers_of(cell, cell.init(jax.random.key(0), 3))
      >>> [[direction.kind for direction in layer] for layer in layers]
      [['lstm', 'lstm'], ['gru']]
    """
    if not isinstance(params, Mapping):
        raise InputError(
            "params: expected a dict, as the cell's init returns, got a "
            f"{type(params).__name__}"
        )
    width = _input_size(params)
    layers = width and _read(params, cell.initial_state(()), width)
    if width and layers:
        xs = jax.random.normal(jax.random.key(0), (3, width))
        if _agree(_outputs(cell, params, xs), _outputs(*_network(layers), xs)):
            return layers
    raise InputError(
        "cell: expected jt.rnn, jt.lstm or jt.gru, alone, in jt.bidirectional, or in a "
        "jt.stack of these; got one that is not made of these alone (does it have a "
        "residual connection, or another cell?); convert single layers instead"
    )


def _input_size(params):
    """``D`` of the first layer that has parameters; None if there is none."""
    if not isinstance(params, Mapping) or not params:
        return None
    if "kernel" in params:
        return len(params["kernel"])
    first = min(params, key=lambda name: (len(name), name))  # "2" is before "10"
    return _input_size(params[first])


def _read(params, state, width) -> list[tuple[Layer, ...]] | None:
    """The layers that the parameters suggest; None if they suggest none."""
    if one := _read_layer(params, state, width):
        return [(one,)]
    if not isinstance(params, Mapping) or not isinstance(state, tuple):
        return None
    if set(params) == {"forward", "backward"}:
        both = (params["forward"], params["backward"])
        ahead, back = (
            _read_layer(*of_one, width) for of_one in zip(both, state, strict=True)
        )
        return [(ahead, back)] if ahead and back else None
    layers = []
    for n, of_layer in enumerate(state):
        if str(n) in params:  # dropout has no parameters, and does nothing here
            inner = _read(params[str(n)], of_layer, width)
            if not inner:
                return None
            layers += inner
            width = sum(direction.sizes[1] for direction in inner[-1])
    return layers


def _read_layer(params, state, width) -> Layer | None:
    """The layer with these parameters and inputs of this width; None if not one."""
    names = {"kernel", "recurrent_kernel", "bias"}
    if not isinstance(params, Mapping) or set(params) - {"recurrent_bias"} != names:
        return None
    if len(params["kernel"]) != width or params["kernel"].ndim != 2:  # heads
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
    # Both run the same steps in the same types. XLA may add up in another order, so the
    # last bits may differ; in 16-bit types, where that is visible, nothing may.
    eps = float(jnp.finfo(a.dtype).eps)
    tolerance = 16 * eps if eps < 1e-6 else 0.0
    return bool(jnp.allclose(a, b, tolerance, tolerance))
