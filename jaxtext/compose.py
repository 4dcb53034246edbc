"""Cells made of cells: stacks, residual connections, both directions, other steps."""

from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from jaxtext.constructor import constructor
from jaxtext.errors import InputError
from jaxtext.kernels.masks import kept
from jaxtext.outcome import taken
from jaxtext.parameters import in_a_row, joined, numbered, parts_of
from jaxtext.quantities import shown
from jaxtext.types import Array, Cell, InitialState, Noise, Step
from jaxtext.unroll import unroll
from jaxtext.walk import backwards


@constructor
def stack(*cells: Cell) -> Cell:
    """Layers, each reading the output of the one below it. A stack is itself a cell.

    ::

        y⁰_t = x_t
        yⁿ_t = cellⁿ(yⁿ⁻¹_t)        n = 1 … N

    Over a sequence it runs layer by layer; one step at a time, as when generating, it
    runs through all layers. Both are the same function.

    Args:
      *cells: The layers, from the input upwards. At least one.

    Returns:
      A cell whose state is a tuple, one entry a layer, and whose parameters are a dict
      of the layers' own, ``"0"`` for the first. A layer without parameters, such as
      `dropout`, has no entry.

    Raises:
      ValueError: If there is no cell; on use, if the parameters are not such a dict.

    Example:
      >>> import jaxtext as jt
      >>> net = jt.stack(jt.lstm(8), jt.dropout(0.3), jt.residual(jt.lstm(8)))
      >>> params = net.init(jax.random.key(0), 65)
      >>> state, ys = jt.unroll(
      ...     net, params, net.initial_state((2,)), jnp.zeros((2, 5), jnp.int32)
      ... )
      >>> ys.shape, sorted(params)
      ((2, 5, 8), ['0', '2'])

    References:
      Graves, "Generating sequences with recurrent neural networks", 2013, equation 1,
      without the connections that skip layers.
    """
    if not cells:
        raise ValueError("a stack needs at least one cell")
    names = numbered(len(cells))

    def keyed(key):
        return zip(cells, jax.random.split(key, len(cells)), strict=True)

    def init(key, input_size):
        params = []
        for cell, layer_key in keyed(key):
            params.append(cell.init(layer_key, input_size))
            input_size = output_size(cell, input_size)
        return in_a_row(params)

    def initial_state(batch_shape):
        return tuple(cell.initial_state(batch_shape) for cell in cells)

    def noise(key, input_size, length):
        layers = []
        for cell, layer_key in keyed(key):
            draw = cell.noise
            layers.append(draw(layer_key, input_size, length) if draw else Noise())
            input_size = output_size(cell, input_size)
        return Noise(*map(tuple, zip(*layers, strict=True)))

    def through(run, params, state, x, noise):
        """Layer after layer, `run` being one step or a whole sequence."""
        nothing = (None,) * len(cells)
        per_layer = zip(
            cells,
            parts_of(params, names),
            state,
            noise.per_sequence or nothing,
            noise.per_step or nothing,
            strict=True,
        )
        after = []
        for cell, layer_params, layer_state, *layer_noise in per_layer:
            new, x = run(cell, layer_params, layer_state, x, Noise(*layer_noise))
            after.append(new)
        return tuple(after), x

    def step(params, state, x, noise=None):
        return through(taken, params, state, x, noise or Noise())

    def sequence(walk, params, state, xs, masks, noise):
        def run(cell, params, state, xs, noise):
            return walk(cell, params, state, xs, masks, noise)

        return through(run, params, state, xs, noise)

    # Layers such as dropout pass on the width of the one below.
    known = (cell.output_size for cell in cells)
    width = next((size for size in reversed(list(known)) if size is not None), None)
    whole_only, embed_first = any(cell.step is None for cell in cells), cells[0].embed

    def embed(params, vectors):
        assert embed_first is not None  # or the stack has no `embed`
        return {**params, "0": embed_first(params["0"], vectors)}

    return Cell(
        init,
        initial_state,
        None if whole_only else step,
        noise,
        sequence,
        embed=embed_first and embed,
        output_size=width,
        state_size=_all_known([cell.state_size for cell in cells]),
    )


Merge: TypeAlias = (
    Literal["concatenate", "sum", "mean"] | Callable[[Array, Array], Array]
)
_MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "concatenate": lambda a, b: jnp.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
}


@constructor
def bidirectional(
    forward: Cell, backward: Cell | None = None, *, merge: Merge = "concatenate"
) -> Cell:
    """Reads a sequence in both directions, and merges the two outputs.

    ::

        y_t = merge(forward(x_1 … x_t), backward(x_T … x_t))

    The output of a step depends on later inputs, so this cell has no ``step``: it
    encodes whole sequences and cannot generate. Resets cut both directions at the same
    places. With `lengths`, the backward cell starts at each sequence's last valid step.

    Args:
      forward: The cell that reads from the first step to the last.
      backward: The cell that reads from the last to the first. Default: another
        `forward`, with parameters of its own.
      merge: How the outputs of the two become one: ``"concatenate"`` puts them side by
        side, ``"sum"`` and ``"mean"`` want them equally wide. A function gets both,
        ``[T, B, H]`` each, and returns ``[T, B, …]``.

    Returns:
      A cell without ``step`` whose state is a pair. Its parameters are a dict,
      ``forward`` and ``backward``.

    Raises:
      ValueError: If `merge` is none of these, or wants outputs of equal width and they
        differ; on use, if the parameters are not such a dict.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.bidirectional(jt.gru(4))
      >>> params = cell.init(jax.random.key(0), 3)
      >>> start = cell.initial_state((2,))
      >>> _, ys = jt.unroll(cell, params, start, jnp.ones((2, 5, 3)))
      >>> ys.shape, sorted(params)
      ((2, 5, 8), ['backward', 'forward'])

    References:
      Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997.
    """
    both = (forward, forward if backward is None else backward)
    names = "forward", "backward"
    if isinstance(merge, str) and merge not in _MERGES:
        known = ", ".join(map(repr, _MERGES))
        raise InputError(f"merge: expected {known} or a function, got {shown(merge)}")
    a, b = (cell.output_size for cell in both)
    width = None
    if isinstance(merge, str) and a is not None and b is not None:
        width = a + b if merge == "concatenate" else a
        if merge != "concatenate" and a != b:
            raise InputError(
                f"merge: {merge!r} expects cells with outputs of equal width, got {a} "
                f"and {b}"
            )
    merged = _MERGES[merge] if isinstance(merge, str) else merge

    def init(key, input_size):
        keys = jax.random.split(key)
        params = [c.init(k, input_size) for c, k in zip(both, keys, strict=True)]
        return joined(dict(zip(names, params, strict=True)))

    def initial_state(batch_shape):
        return tuple(cell.initial_state(batch_shape) for cell in both)

    def noise(key, input_size, length):
        keys = jax.random.split(key)
        drawn = [
            cell.noise(k, input_size, length) if cell.noise else Noise()
            for cell, k in zip(both, keys, strict=True)
        ]
        return Noise(*map(tuple, zip(*drawn, strict=True)))

    def sequence(walk, params, state, xs, masks, noise):
        nothing = (None, None)
        per_cell = zip(
            (walk, partial(backwards, walk)),
            both,
            parts_of(params, names),
            state,
            noise.per_sequence or nothing,
            noise.per_step or nothing,
            strict=True,
        )
        after, outputs = [], []
        for run, cell, cell_params, cell_state, *cell_noise in per_cell:
            new, ys = run(cell, cell_params, cell_state, xs, masks, Noise(*cell_noise))
            after.append(new)
            outputs.append(ys)
        ys = merged(*outputs)
        # Of two outputs of zero, a function need not make zero.
        return tuple(after), ys if isinstance(merge, str) else kept(masks.valid, ys)

    return Cell(
        init,
        initial_state,
        None,
        noise,
        sequence,
        output_size=width,
        state_size=_all_known([cell.state_size for cell in both]),
    )


@constructor
def residual(cell: Cell) -> Cell:
    """Adds a cell's input to its output: ``y_t = x_t + cell(x_t)``.

    Args:
      cell: A cell whose output is as wide as its input.

    Returns:
      A cell with the same parameters and state.

    Raises:
      ValueError: On first use, if input and output differ in width.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.residual(jt.gru(4))
      >>> params = cell.init(jax.random.key(0), 4)
      >>> _, y = cell.step(params, cell.initial_state((2,)), jnp.ones((2, 4)))
      >>> y.shape
      (2, 4)

    References:
      He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016.
    """

    def add(x, y):
        if x.shape != y.shape:
            raise ValueError(
                f"residual expects an output as wide as the input: got {y.shape} from "
                f"{x.shape}; put a layer of the right width below it"
            )
        return x + y

    one_step = cell.step

    def step(params, state, x, noise=None):
        assert one_step is not None  # or there is no `step` at all
        state, y = one_step(params, state, x, noise)
        return state, add(x, y)

    def sequence(walk, params, state, xs, masks, noise):
        state, ys = walk(cell, params, state, xs, masks, noise)
        return state, add(xs, ys)

    return cell._replace(
        step=one_step and step, sequence=sequence, backends=(), embed=None, gates=None
    )


@constructor
def with_step(cell: Cell, step: Step) -> Cell:
    """The same cell with another step.

    Fields that depend on the old step are cleared: ``backends``, ``sequence``,
    ``embed``, ``gates`` and ``output_size``. Parameters, state and noise stay those of
    `cell`. ``cell._replace(step=step)`` is refused, since it would keep the backends,
    which compute the old step.

    Args:
      cell: Any cell.
      step: ``(params, state, x, noise=None) -> (state, y)``.

    Returns:
      A cell that runs over a sequence only by `step`.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.gru(4)
      >>> def clipped(params, state, x, noise=None):
      ...     state, y = cell.step(params, state, x, noise)
      ...     return jnp.clip(state, -0.5, 0.5), y
      >>> params = cell.init(jax.random.key(0), 3)
      >>> h, _ = jt.unroll(
      ...     jt.with_step(cell, clipped), params, None, jnp.ones((2, 9, 3))
      ... )
      >>> bool((abs(h) <= 0.5).all())
      True
    """
    return cell._replace(
        step=step, sequence=None, backends=(), embed=None, gates=None, output_size=None
    )


@constructor
def with_initial_state(cell: Cell, initial_state: InitialState) -> Cell:
    """The same cell with another state to start from, and to go back to at a reset.

    The backends of `cell` start from its own initial state, so the new cell goes step
    by step. If only the start of a sequence is another, and no reset goes back to it,
    pass it to `jaxtext.unroll` as its state instead.

    Args:
      cell: A cell with a step.
      initial_state: ``(batch_shape) -> state``, in the structure, the shapes and the
        types of the cell's own.

    Returns:
      A cell that runs over a sequence only by its step.

    Raises:
      InputError: If the cell has no step. Change the cells that it is made of.

    Example:
      >>> import jaxtext as jt
      >>> cell = jt.with_initial_state(
      ...     jt.gru(4), lambda batch_shape: jnp.ones((*batch_shape, 4))
      ... )
      >>> cell.initial_state((1,))
      Array([[1., 1., 1., 1.]], dtype=float32)
    """
    if cell.step is None:
        raise InputError(
            f"cell: expected one with a step, got {cell}; change the initial states of "
            "the cells that it is made of"
        )
    return cell._replace(initial_state=initial_state, sequence=None, backends=())


def output_size(cell: Cell, input_size: int) -> int:
    """Width ``H`` of a cell's output for an input of width ``D``, without running it.

    It is ``cell.output_size``, or found by tracing where the cell does not say.

    Example:
      >>> import jaxtext as jt
      >>> output_size(jt.stack(jt.lstm(8), jt.gru(5)), 3)
      5
      >>> output_size(jt.dropout(0.5), 3)
      3
    """
    if cell.output_size is not None:
        return cell.output_size

    def one_step():
        params, state = cell.init(jax.random.key(0), input_size), cell.initial_state(())
        return unroll(cell, params, state, jnp.zeros((1, input_size)))[1]

    return jax.eval_shape(one_step).shape[-1]


def _all_known(sizes):
    return None if any(size is None for size in sizes) else tuple(sizes)
