"""The language model: a cell, the embedding before it and the output layer after it."""

from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxtext.checks import decided, flags, integers
from jaxtext.compose import output_size
from jaxtext.errors import InputError
from jaxtext.expected import a_cell
from jaxtext.kernels import adaptive_softmax, cross_entropy
from jaxtext.kernels.masks import select
from jaxtext.kernels.products import rows
from jaxtext.keys import folded, typed_key
from jaxtext.noise import weight_drop
from jaxtext.quantities import count, shown
from jaxtext.types import Array, BackendName, Cell, DType, Params, Shape, State
from jaxtext.unroll import unroll
from jaxtext.walk import Remat


class LanguageModel(nn.Module):
    """Predicts each symbol of a text from the symbols before it.

    ::

        h_t = cell(x_t)        x_t = one_hot(s_t), or E[s_t] with an embedding E [V, D]
        p(s_tp1 | s_1 … s_t) = softmax(h_t W + b)        W = Eᵀ if tied

    This is a `flax.linen` module. Its parameters are in the collection ``params``, with
    the cell's own under ``recurrent``. Dropout and other noise draw from the RNG stream
    ``dropout``; without that stream there is no noise.

    Attributes:
      cell: The recurrent part, usually a `jaxtext.stack`.
      vocab_size: ``V``, the number of symbols.
      dtype: The type that the output layer computes in. Logits are always float32.
      backend: How to run the cell over a sequence; see `jaxtext.unroll`.
      remat: What to recompute in the backward pass; see `jaxtext.unroll`.
      embedding: ``D``, the width of the embedding. ``None``: there is none, and the
        cell reads one-hot rows, so its input kernel has a row for each symbol.
      tied: Whether the output layer uses the embedding as its kernel. The embedding
        then has the width of the cell's output, and you can leave `embedding` out.
      weight_drop: The rate at which entries of the recurrent kernels are dropped. All
        sequences of a call share one mask; see `jaxtext.weight_drop`.
      frequent: The ids of the frequent symbols, for an adaptive softmax with two
        levels, such as `jaxtext.text.most_frequent` returns. It predicts a frequent
        symbol, or that a rare one follows, and then which; see
        `jaxtext.kernels.adaptive_softmax`. With thousands of symbols, `losses` then
        takes a fraction of the time. Logits are the logarithms of the probabilities.
        The output layer, and the embedding if `tied`, have a row for the frequent
        symbols, in this order, one for the class of rare symbols, and then the rare
        ones by id. Empty: an ordinary softmax.
      end: The id of the symbol that ends a document and begins the next one, such as
        `jaxtext.text.Vocabulary.end`. The state goes back to the initial one before
        the step that reads it, so nothing is remembered of the document before. It
        does so wherever the model reads: in training, evaluation and generation.
        ``None``: there is no such symbol.

    Example:
      >>> import jax
      >>> import jaxtext as jt
      >>> model = LanguageModel(jt.stack(jt.lstm(16), jt.dropout(0.2)), vocab_size=65)
      >>> ids = jnp.zeros((2, 10), jnp.int32)
      >>> start = model.initial_state((2,))
      >>> variables = model.init(jax.random.key(0), start, ids)
      >>> state, logits = model.apply(variables, start, ids)
      >>> logits.shape
      (2, 10, 65)

    References:
      Graves, "Generating sequences with recurrent neural networks", 2013, section 2.

      Grave et al., "Efficient softmax approximation for GPUs", 2017 (the adaptive
      softmax).

      Press and Wolf, "Using the output embedding to improve language models", 2017, and
      Inan, Khosravi and Socher, "Tying word vectors and word classifiers", 2017 (tied
      embeddings).
    """

    cell: Cell
    vocab_size: int
    dtype: DType = jnp.float32
    backend: BackendName = "auto"
    remat: Remat = None
    embedding: int | None = None
    tied: bool = False
    weight_drop: float = 0.0
    frequent: tuple[int, ...] = ()
    end: int | None = None

    if TYPE_CHECKING:  # Flax declares unions, which callers could not use directly
        init: ClassVar[Any]
        apply: ClassVar[Any]

    def setup(self) -> None:
        """Declares the parameters, which ``__call__`` and `step` share."""
        a_cell("cell", self.cell)
        count("vocab_size", self.vocab_size)
        if self.end is not None and count("end", self.end, 0) >= self.vocab_size:
            raise InputError(
                f"end: expected the id of one of {self.vocab_size} symbols, got "
                f"{self.end}; Vocabulary.end is that of the symbol that ends documents"
            )
        width = self.input_size
        self.vectors: Array | None = None
        if width is not None:
            shape = self.columns if self.tied else self.vocab_size, width
            self.vectors = self.param("embedding", _rows_of_length_one, shape)
        self.recurrent: Params = self.param(
            "recurrent", self.cell.init, self.vocab_size if width is None else width
        )
        if self.tied:
            zeros = nn.initializers.zeros
            self.bias: Array = self.param("bias", zeros, (self.columns,))
        else:
            self.output: nn.Module = _Output(self.columns)

    def __call__(
        self,
        state: State,
        ids: Array,
        *,
        lengths: Array | None = None,
        resets: Array | None = None,
        streams: Array | None = None,
        last: int | None = None,
    ) -> tuple[State, Array]:
        """Reads part of a text.

        Args:
          state: The recurrent state before it, with the batch axes ``B``. ``None``: the
            initial state.
          ids: ``[B, T]`` integers in ``[0, V)``.
          lengths: ``[B]`` integers, how many symbols of each row are valid; the rest is
            padding. The state that is returned is that after the last valid symbol.
            Padding may hold any integers, and its logits mean nothing. ``None``: all
            symbols are valid.
          resets: ``[B, T]`` booleans, true where a new text starts. One also starts
            where `end` is read.
          streams: ``[B]`` integers, the index of each sequence, from which its noise is
            drawn. Default: ``0 … B - 1``. When a batch is divided between devices, give
            each device the indices of its own sequences.
          last: Compute logits for the last `last` of the ``T`` positions only. Default:
            for all of them.

        Returns:
          The state after it, and logits ``[B, T, V]`` or ``[B, last, V]``, float32.

        Raises:
          InputError: If an argument has another type or shape, or `last` is above
            ``T``.
        """
        ids = integers("ids", ids)
        if last is not None:
            last = count("last", last)
            if decided(lambda: last > ids.shape[-1], otherwise=False):
                raise InputError(
                    f"last: expected at most the number of positions in ids, got "
                    f"{last} for {shown(ids)}"
                )
        state, hs = self._run(state, ids, lengths, resets, streams)
        return state, self._logits(hs if last is None else hs[..., -last:, :])

    def losses(
        self,
        state: State,
        ids: Array,
        targets: Array,
        *,
        lengths: Array | None = None,
        resets: Array | None = None,
        streams: Array | None = None,
    ) -> tuple[State, Array]:
        """Reads part of a text, and compares the predictions with what follows.

        ::

            losses_t = -log softmax(logits_t)[targets_t]

        It is called by ``model.apply(…, method="losses")``. The gradient takes less
        time and memory than that of logits and a loss after them, most of all if there
        are thousands of symbols. It has reverse mode only.

        Args:
          state: As for ``__call__``, like all arguments but `targets`.
          ids: ``[B, T]`` integers in ``[0, V)``.
          targets: ``[B, P]`` integers in ``[0, V)``, what follows each of the last
            ``P`` of the ``T`` symbols.
          lengths: ``[B]`` integers, how many symbols of each row are valid. The losses
            of padding mean nothing, and its targets may be any symbols.
          resets: ``[B, T]`` booleans, true where a new text starts.
          streams: ``[B]`` integers, the index of each sequence.

        Returns:
          The state after it, and losses ``[B, P]`` float32, in nats.

        Raises:
          InputError: If an argument has another type or shape, or ``P`` is above ``T``.
        """
        ids, targets = integers("ids", ids), integers("targets", targets)
        predicted = targets.shape[-1]
        if targets.shape[:-1] != ids.shape[:-1] or predicted > ids.shape[-1]:
            raise InputError(
                f"targets: expected the rows of ids, {shown(ids)}, and at most as many "
                f"positions, got {shown(targets)}"
            )
        state, hs = self._run(state, ids, lengths, resets, streams)
        hs = hs[..., ids.shape[-1] - predicted :, :].reshape(-1, hs.shape[-1])
        columns = self._column(targets.reshape(-1).astype(jnp.int32))
        operands = hs, *self._weights(hs), columns
        if self.frequent:
            frequent = len(self.frequent)
            found = adaptive_softmax.cross_entropy(*operands, frequent, self.dtype)
        else:
            found = cross_entropy.cross_entropy(*operands, self.dtype)
        return state, found.reshape(targets.shape)

    def step(self, state: State, ids: Array) -> tuple[State, Array]:
        """Reads one symbol, as in generation.

        Args:
          state: The recurrent state before it.
          ids: ``[B]`` integers in ``[0, V)``.

        Returns:
          The state after it, and logits ``[B, V]``, float32.

        Raises:
          ValueError: If the cell has no step, as when it is bidirectional: it needs the
            symbols that come after, which are not generated yet.
        """
        if self.cell.step is None:
            raise ValueError(
                "cell: expected one with a step, to generate with; got one that needs "
                "the whole sequence (is part of it bidirectional?)"
            )
        ids = integers("ids", ids)
        if self.end is not None:
            start = self.cell.initial_state(ids.shape)
            if state is None:
                state = start
            # The cell's step refuses another structure, and says what it expected.
            elif jax.tree.structure(state) == jax.tree.structure(start):
                state = select(ids == self.end, start, jax.tree.map(jnp.asarray, state))
        params, x = self._read(self.recurrent, ids)
        state, h = self.cell.step(params, state, x)
        return state, self._logits(h)

    def initial_state(self, batch_shape: Shape) -> State:
        """The recurrent state to start a text with, for this batch shape."""
        return self.cell.initial_state(batch_shape)

    @property
    def input_size(self) -> int | None:
        """``D``, the width of the cell's input; ``None`` if it reads symbols."""
        if not self.tied:
            return (
                None if self.embedding is None else count("embedding", self.embedding)
            )
        # The output of a cell that passes its input on, such as a residual one, is as
        # wide as that input. Then only a given width can be right.
        guess = self.embedding or 1
        width = output_size(self.cell, guess)
        if self.embedding not in (None, width):
            raise ValueError(
                "embedding: tied, so expected the width of the cell's output, "
                f"{width}, got {self.embedding}; leave embedding out"
            )
        return width

    @property
    def columns(self) -> int:
        """The width of the output layer."""
        return self.vocab_size + bool(self.frequent)

    def _column(self, ids: Array) -> Array:
        """The columns of symbols in the output layer."""
        if not self.frequent:
            return ids
        return rows(jnp.asarray(symbol_columns(self.frequent, self.vocab_size)), ids)

    def _run(self, state, ids, lengths, resets, streams) -> tuple[State, Array]:
        """The state after a text, and the outputs of the cell."""
        key = self.make_rng("dropout") if self.has_rng("dropout") else None
        if key is not None and streams is not None:
            key = folded(typed_key(key), integers("streams", streams))
        if self.end is not None:
            resets = self._beginnings(ids, resets)
        params, xs = self._read(self._thinned(), ids)
        return unroll(
            self.cell,
            params,
            state,
            xs,
            key=key,
            lengths=lengths,
            resets=resets,
            backend=self.backend,
            remat=self.remat,
        )

    def _read(self, params: Params, ids: Array) -> tuple[Params, Array]:
        """The parameters and the inputs to run the cell with.

        If there are more positions than symbols, the embedding is multiplied by the
        cell's first kernel once for each symbol, not once for each position.
        """
        if self.vectors is None:
            return params, ids
        if self.tied:
            ids = self._column(ids)
        many = decided(lambda: ids.size >= self.vocab_size, otherwise=True)
        if self.cell.embed is not None and many:
            return self.cell.embed(params, self.vectors), ids
        return params, rows(self.vectors.astype(self.dtype), ids)

    def _beginnings(self, ids: Array, resets: Array | None) -> Array:
        """Where a document begins, or a reset is asked for."""
        begins = ids == self.end
        if resets is None:
            return begins
        resets = flags("resets", resets)
        # `unroll` refuses another shape.
        return begins | resets if resets.shape == begins.shape else resets

    def _thinned(self) -> Params:
        """The cell's parameters, with entries dropped if there is noise."""
        if not (self.weight_drop and self.has_rng("dropout")):
            return self.recurrent
        return weight_drop(
            self.recurrent, self.weight_drop, typed_key(self.make_rng("dropout"))
        )

    def _weights(self, hs: Array) -> tuple[Array, Array]:
        """The kernel ``[H, V]`` and the bias ``[V]`` of the output layer."""
        if not self.tied:
            return self.output(hs.shape[-1])
        assert self.vectors is not None
        return self.vectors.T, self.bias

    def _logits(self, hs: Array) -> Array:
        z = cross_entropy.logits(hs, *self._weights(hs), self.dtype)
        if not self.frequent:
            return z
        frequent = len(self.frequent)
        places = symbol_columns(self.frequent, self.vocab_size)
        places -= places > frequent  # the class is not among the symbols
        return adaptive_softmax.log_probabilities(z, frequent)[..., places]


def symbol_columns(frequent: tuple[int, ...], vocab_size: int) -> np.ndarray:
    """The columns of all symbols: the frequent ones, the class, the rare ones."""
    first = np.asarray(frequent, np.int32)
    rare = np.setdiff1d(np.arange(vocab_size, dtype=np.int32), first)
    if len(first) + len(rare) != vocab_size or not len(rare):
        raise InputError(
            f"frequent: expected fewer than {vocab_size} distinct ids below "
            f"{vocab_size}, got {len(first)}: {shown(frequent[:8])}"
        )
    places = np.empty(vocab_size, np.int32)
    places[first] = np.arange(len(first))
    places[rare] = len(first) + 1 + np.arange(len(rare))
    return places


def _rows_of_length_one(key, shape):
    """Vectors of about length 1, so that tied logits are of order 1."""
    # Without the barrier XLA would multiply by one constant in place of two, and a
    # compiled `init` would return other bits.
    normal = jax.lax.optimization_barrier(jax.random.normal(key, shape))
    return normal * shape[-1] ** -0.5


class _Output(nn.Module):
    """The parameters of an output layer of its own."""

    vocab_size: int

    @nn.compact
    def __call__(self, width: int) -> tuple[Array, Array]:
        """The kernel ``[width, V]`` and the bias ``[V]``."""
        draw, zeros = nn.initializers.lecun_normal(), nn.initializers.zeros
        kernel = self.param("kernel", draw, (width, self.vocab_size))
        return kernel, self.param("bias", zeros, (self.vocab_size,))
