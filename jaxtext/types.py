"""The axis legend, the array aliases and the one contract that everything obeys.

Axes, written as suffixes where a rank changes (``xs_TBD``):

====== =====================================================================
``B``  batch: independent sequences; stands for any number of leading axes
``T``  time: steps of a sequence
``D``  input width of a cell
``H``  hidden width of a cell, the width of its output
``V``  vocabulary: number of distinct symbols
``P``  predicted positions of a window, the last ``P`` of its ``T``
====== =====================================================================

In equations, ``x_t`` is the input at step ``t``, ``h_tm1`` the hidden state one step
before it, ``σ`` the logistic sigmoid and ``⊙`` the elementwise product.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import jax

from jaxtext.errors import InputError

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed PRNG key, from jax.random.key
Shape: TypeAlias = tuple[int, ...]
DType: TypeAlias = jax.typing.DTypeLike
Device: TypeAlias = Any  # a jax.Device, which type checkers do not take for a class
Params: TypeAlias = Any  # nested dicts of arrays, their keys strings
State: TypeAlias = Any  # a pytree of arrays, each with the batch axes first
Activation: TypeAlias = Callable[[Array], Array]  # elementwise
# What `jaxtext.unroll` takes as `backend`.
BackendName: TypeAlias = Literal[
    "auto", "scan", "fused", "mosaic", "mosaic_gpu", "cudnn", "parallel", "newton"
]


class Noise(NamedTuple):
    """Random numbers for one sequence, drawn before time is walked.

    Attributes:
      per_sequence: A pytree that holds for the whole sequence (a variational mask).
      per_step: A pytree whose leaves have a leading time axis.
    """

    per_sequence: Any = None
    per_step: Any = None


class Masks(NamedTuple):
    """What happens to the state around each step, time-major booleans.

    Attributes:
      resets: ``[T + 1, B]``, one entry for each gap around the steps: the state goes
        back to the initial one before step ``t``, or, at ``T``, after the last step.
        Backwards, the same gaps come in reverse order. ``None``: never.
      valid: ``[T, B]``, false in padding: the output is zero and the state is kept.
        ``None``: all steps are valid.
    """

    resets: Array | None = None
    valid: Array | None = None


class Target(NamedTuple):
    """The device that a program is for.

    Attributes:
      platform: ``"cpu"``, ``"gpu"`` or ``"tpu"``.
      kind: The maker's name of the device, such as ``"TPU v5 lite"``.
      devices: How many of them the compiler may divide the program between. One within
        ``jax.pmap`` and ``jax.shard_map``, where the program is divided already.
    """

    platform: str
    kind: str
    devices: int = 1


class Snapshot(NamedTuple):
    """What one step of one sequence leaves, as `jaxtext.unroll` hands it to `emit`.

    Attributes:
      state: The state after the step, in the structure of ``cell.initial_state``.
      y: The output, ``[H]``.
      gates: A dict of the step's gates, each ``[H]``, by the names that the cell's
        equations give them; ``{}`` if the cell has none or does not name them. Cells
        made of others have one entry for each, in the structure of their state.
    """

    state: State
    y: Array
    gates: Any


class Init(Protocol):
    """Makes parameters for inputs of width `input_size`."""

    def __call__(self, key: Key, input_size: int) -> Params: ...


class InitialState(Protocol):
    """Makes the state before the first step of a batch."""

    def __call__(self, batch_shape: Shape) -> State: ...


class Step(Protocol):
    """Takes a batch one step further: ``x [B, D]``, or symbols ``[B]``."""

    def __call__(
        self, params: Params, state: State, x: Array, noise: Noise | None = None
    ) -> tuple[State, Array]: ...


class Gates(Protocol):
    """Names the gates of the step that the same arguments would take."""

    def __call__(
        self, params: Params, state: State, x: Array, noise: Noise | None = None
    ) -> Mapping[str, Array]: ...


class DrawNoise(Protocol):
    """Draws the noise of one sequence of `length` steps."""

    def __call__(self, key: Key, input_size: int, length: int) -> Noise: ...


class Walk(Protocol):
    """Runs a cell over a sequence; see `Cell.sequence`."""

    def __call__(
        self,
        cell: "Cell",
        params: Params,
        state: State,
        xs: Array,
        masks: Masks,
        noise: Noise,
    ) -> tuple[State, Array]: ...


class Sequence(Protocol):
    """Runs a cell made of others over a sequence, by `walk` for each of them."""

    def __call__(
        self,
        walk: Walk,
        params: Params,
        state: State,
        xs: Array,
        masks: Masks,
        noise: Noise,
    ) -> tuple[State, Array]: ...


class Embed(Protocol):
    """Makes parameters that read symbols as `params` read ``vectors [V, D]``."""

    def __call__(self, params: Params, vectors: Array) -> Params: ...


class WholeSequence(Protocol):
    """Runs a cell over a sequence at once; see `Backend.sequence`."""

    def __call__(
        self,
        params: Params,
        state: State,
        xs: Array,
        masks: Masks,
        noise: Noise,
        keep: bool,
    ) -> tuple[State, Array]: ...


class Lacks(Protocol):
    """Says in words what is missing to do it, or ``None`` if nothing is."""

    def __call__(
        self, target: Target, params: Params, state: State, xs: Array, masks: Masks
    ) -> str | None: ...


class Backend(NamedTuple):
    """Another way over a sequence than a scan of ``step``, for the same function.

    Attributes:
      name: What ``unroll(backend=…)`` calls it.
      sequence: ``(params, state, xs, masks, noise, keep) -> (state, ys)``, time-major.
        `keep` says whether values within a step may be kept for the backward pass;
        otherwise they are computed again. ``masks.resets`` is ``[T, B]`` here: the gap
        after the last step is the caller's.
      lacks: ``(target, params, state, xs, masks) -> str | None``: what is missing to
        run it on a `Target`, in words, judged by shapes and types alone. ``None`` in
        place of the function: nothing is missing anywhere.
      divisible: Whether XLA can divide it between devices by itself.
      cell: The kind of cell it computes, under the name that ``jaxtext.evidence`` has
        its measurements by.
    """

    name: str
    sequence: WholeSequence
    lacks: Lacks | None = None
    divisible: bool = True
    cell: str = ""


class _Fields(NamedTuple):
    """The fields of a `Cell`, without what a cell does about them."""

    init: Init
    initial_state: InitialState
    step: Step | None
    noise: DrawNoise | None = None
    sequence: Sequence | None = None
    backends: tuple[Backend, ...] = ()
    embed: Embed | None = None
    gates: Gates | None = None
    output_size: int | None = None
    state_size: Any = None
    source: str = ""


# What the library makes of a function, and what would go on computing the old one.
_MADE_OF = {
    "step": ("backends", "sequence", "embed", "gates"),
    "initial_state": ("backends", "sequence"),
}


class Cell(_Fields):
    """A recurrent cell: pure functions that compose, as Optax's transformations do.

    A cell of your own needs the first three fields. Wrap a cell's step with
    `jaxtext.with_step`, which also clears the fields that know the old one.

    Attributes:
      init: ``(key, input_size) -> params``: arrays in nested dicts with string keys, as
        Flax's and Optax's tools expect; ``{}`` where there are none.
      initial_state: ``(batch_shape) -> state``.
      step: ``(params, state, x, noise=None) -> (state, y)``, one step in time of a
        batch: ``x`` is ``[B, D]``, or integers ``[B]`` that stand for one-hot rows;
        ``y`` is ``[B, H]``. ``None`` for a cell that has to see the whole sequence.
      noise: ``(key, input_size, length) -> Noise`` for one sequence, if the cell
        is random. Each call of ``unroll`` draws it once for each sequence; ``step``
        gets it batched and without the time axis. A symbol counts as one wide.
      sequence: ``(walk, params, state, xs, masks, noise) -> (state, ys)`` over
        time-major ``xs``, for a cell made of others: ``walk(cell, params, state, xs,
        masks, noise)`` runs one of them over a sequence as the caller asked. What it
        returns as the state is to be passed on as it is.
      backends: Other ways over a sequence than step by step.
      embed: ``(params, vectors [V, D]) -> params`` with which the cell reads symbols as
        it would read the vectors that they stand for: a step with them takes ``s`` to
        where one with `params` takes ``vectors[s]``. For a cell that only multiplies
        its input by a kernel. ``None``: the cell does more, or does not say.
      gates: ``(params, state, x, noise=None) -> dict``: the gates of that step,
        ``[B, H]`` each, by name. ``None``: the cell has none, or does not say.
      output_size: ``H``. ``None``: it depends on the input's width, as that of
        `dropout` does, or the cell does not say.
      state_size: The width of each part of the state, in the state's structure, such as
        ``LSTMState(c=256, h=256)``. ``None``: the cell does not say.
      source: The call that makes the cell, which ``repr`` shows.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        if self.source:
            return self.source
        functions = self.init, self.initial_state, self.step
        names = (getattr(f, "__name__", repr(f)) for f in functions)
        return f"jt.Cell({', '.join(names)})"

    if not TYPE_CHECKING:  # which take it for final

        def _replace(self, **changes: Any) -> "Cell":
            """The cell with other fields, as of any named tuple.

            Raises:
              InputError: If a function changes and a field that is made of the old one
                stays, such as a backend: it would still run.
            """
            for name, made in _MADE_OF.items():
                stale = [field for field in made if getattr(self, field)]
                stale = [field for field in stale if field not in changes]
                if name in changes and stale:
                    raise InputError(
                        f"{name}: expected together with {', '.join(stale)}, which "
                        f"compute the old one, got {name} alone; write "
                        f"jt.with_{name}(cell, …)"
                    )
            return type(self)(**{**self._asdict(), "source": "", **changes})

        __replace__ = _replace  # copy.replace

    def __reduce__(self) -> Any:
        """By the call that makes the cell: closures cannot be pickled."""
        call = getattr(self.init, "call", None)
        if self.source and call is not None:
            return call, ()
        return type(self), tuple(self)
