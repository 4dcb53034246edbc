"""What converting weights from and to ``flax.linen`` and ``flax.nnx`` has in common.

Both have recurrent modules of the same names that compute the same functions. They
differ in where a module keeps its weights, which a `Library` describes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.dropout import dropout
from jaxtext.errors import InputError
from jaxtext.interop.layers import Kind, Layer, Network, both_ways, in_sequence, layer
from jaxtext.interop.representable import class_of
from jaxtext.types import Array

# The cells that layers of ours become.
_CLASSES = {"rnn": "SimpleCell", "lstm": "OptimizedLSTMCell", "gru": "GRUCell"}


class Places(NamedTuple):
    """The submodules in which a cell of Flax keeps its weights.

    Several names stand for one matrix for each gate, in the order of our gates.

    Attributes:
      kind: The cell of ours that computes the same.
      inputs: Where the kernels from the input are.
      states: Where the kernels from the hidden state are.
      biased: Which of these have the bias.
      b_hn: Which has the bias within the GRU's reset gate; ``None``: there is none.
    """

    kind: Kind
    inputs: Sequence[str]
    states: Sequence[str]
    biased: Sequence[str]
    b_hn: str | None = None


class Library(NamedTuple):
    """One of the two libraries.

    Attributes:
      name: ``"linen"`` or ``"nnx"``.
      nn: Its module.
      places: `Places` by the name of a cell's class.
      inner: ``(variables, name) -> variables`` of a submodule.
      read: ``(module, variables, submodule, name) -> array``.
      make: ``(class, layer) -> cell``.
    """

    name: str
    nn: Any
    places: Mapping[str, Places]
    inner: Callable[[Any, str], Any]
    read: Callable[[Any, Any, str, str], Array]
    make: Callable[[Any, Layer], Any]


def from_flax(library: Library, module: Any, variables: Any) -> Network:
    """A cell that computes what a recurrent module of Flax does, and its parameters."""
    nn, inner = library.nn, library.inner
    match module:
        case nn.Sequential():
            return in_sequence(
                [
                    from_flax(library, one, inner(variables, f"layers_{n}"))
                    for n, one in enumerate(module.layers)
                ]
            )
        case nn.Dropout() if not module.broadcast_dims:
            return dropout(module.rate), {}
        case nn.Bidirectional():
            with jax.ensure_compile_time_eval():  # so that it can be differentiated
                merged = module.merge_fn(jnp.zeros((1, 1)), jnp.ones((1, 1)))
            if merged.tolist() != [[0, 1]]:
                raise InputError(
                    f"from_{library.name}: expected a Bidirectional that concatenates "
                    "both outputs, got another merge_fn"
                )
            names = "forward_rnn", "backward_rnn"
            return both_ways(
                *(
                    _direction(library, getattr(module, name), inner(variables, name))
                    for name in names
                )
            )
        case nn.RNN():
            if module.reverse:
                raise InputError(
                    f"from_{library.name}: expected an RNN that reads forwards, got "
                    "reverse=True; convert its cell, and use jt.unroll(…, reverse=True)"
                )
            return _direction(library, module, variables)
        case _:
            return _cell(library, module, variables)


def to_flax(library: Library, directions: Sequence[Layer]) -> Any:
    """``RNN`` for a layer of one direction, ``Bidirectional`` for one of two."""
    nn, function = library.nn, f"to_{library.name}"
    classes = {kind: getattr(nn, name) for kind, name in _CLASSES.items()}
    rnns = [
        nn.RNN(library.make(class_of(classes, one, function, "Flax"), one))
        for one in directions
    ]
    return rnns[0] if len(rnns) == 1 else nn.Bidirectional(*rnns)


def _direction(library: Library, rnn: Any, variables: Any) -> Network:
    cell = getattr(rnn, "cell", rnn)
    return _cell(library, cell, library.inner(variables, "cell"))


def _cell(library: Library, module: Any, variables: Any) -> Network:
    classes = (getattr(library.nn, name) for name in library.places)
    known = zip(classes, library.places.values(), strict=True)
    found = [places for cls, places in known if isinstance(module, cls)]
    if not found:
        raise InputError(
            f"from_{library.name}: expected SimpleCell, LSTMCell or GRUCell, alone, in "
            f"RNN, Bidirectional or Sequential, got {type(module).__name__}"
        )
    _check_function(library, module)
    places = found[0]

    def side_by_side(names: Sequence[str], what: str) -> Array:
        parts = [library.read(module, variables, name, what) for name in names]
        return jnp.concatenate(parts, axis=-1)

    weights = {
        "kernel": side_by_side(places.inputs, "kernel"),
        "recurrent_kernel": side_by_side(places.states, "kernel"),
        "bias": side_by_side(places.biased, "bias"),
    }
    if places.kind == "gru":
        weights["recurrent_bias"] = (
            jnp.zeros_like(weights["bias"][: len(weights["recurrent_kernel"])])
            if places.b_hn is None
            else library.read(module, variables, places.b_hn, "bias")
        )
    return layer(places.kind, weights, module.dtype)


def _check_function(library: Library, module: Any) -> None:
    nn = library.nn
    same = (
        module.activation_fn is nn.tanh,
        getattr(module, "gate_fn", nn.sigmoid) is nn.sigmoid,
        module.carry_init in (None, nn.initializers.zeros),
        not getattr(module, "residual", False),
    )
    if not all(same):
        raise InputError(
            f"from_{library.name}: expected a {type(module).__name__} with tanh, "
            "sigmoid gates, a carry that starts at zero and no residual, got another"
        )
