"""The language model around a cell: symbols in, logits of the next symbol out."""

from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxtext.checks import decided, integers
from jaxtext.compose import output_size
from jaxtext.errors import InputError
from jaxtext.expected import a_cell
from jaxtext.kernels.products import along, rows
from jaxtext.keys import folded, typed_key
from jaxtext.noise import weight_drop
from jaxtext.quantities import count, shown
from jaxtext.types import Array, BackendName, Cell, DType, Params, Shape, State
from jaxtext.unroll import unroll
from jaxtext.walk import Remat


class LanguageModel(nn.Module):
    """Predicts each symbol of a text from all the symbols before it.

    ::

        h_t = cell(x_t)        x_t = one_hot(s_t), or E[s_t] with an embedding E [V, D]
        p(s_tp1 | s_1 … s_t) = softmax(h_t W + b)        W = Eᵀ where they are tied

    An ordinary Flax module: ``init`` and ``apply``, parameters in the collection
    ``params`` (the cell's own under ``recurrent``), noise from the stream ``dropout``
    and none where that stream is not given.

    Attributes:
      cell: The recurrent part, usually a `jaxtext.stack`.
      vocab_size: ``V``, the number of symbols.
      dtype: The type of the last product; logits are float32 whatever it is.
      backend: How the cell is taken over a text, as `jaxtext.unroll` knows it.
      remat: What is computed again in the backward pass, likewise.
      embedding: ``D``, the width of vectors that stand for the symbols. ``None``: the
        cell reads the symbols themselves, as one-hot rows, so that its own input
        kernel holds a vector for each.
      tied: Whether the embedding is also the last product's matrix. It is then as wide
        as the cell's output, and `embedding` need not say so.
      weight_drop: The rate at which entries of the recurrent kernels are dropped, one
        mask for all sequences of a call (`jaxtext.weight_drop`).

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
      Tied: Press and Wolf, "Using the output embedding to improve language models",
      2017; Inan, Khosravi and Socher, "Tying word vectors and word classifiers", 2017.
    """

    cell: Cell
    vocab_size: int
    dtype: DType = jnp.float32
    backend: BackendName = "auto"
    remat: Remat = None
    embedding: int | None = None
    tied: bool = False
    weight_drop: float = 0.0

    if TYPE_CHECKING:  # Flax declares unions that no caller can use as they are
        init: ClassVar[Any]
        apply: ClassVar[Any]

    def setup(self) -> None:
        """Declares the parameters, which a pass and a single step share."""
        a_cell("cell", self.cell)
        count("vocab_size", self.vocab_size)
        width = self.input_size
        self.vectors: Array | None = None
        if width is not None:
            # Rows of length one, so that logits of what is tied are about one.
            normal = nn.initializers.normal(width**-0.5)
            self.vectors = self.param("embedding", normal, (self.vocab_size, width))
        self.recurrent: Params = self.param(
            "recurrent", self.cell.init, self.vocab_size if width is None else width
        )
        if self.tied:
            zeros = nn.initializers.zeros
            self.bias: Array = self.param("bias", zeros, (self.vocab_size,))
        else:
            self.output: nn.Dense = nn.Dense(self.vocab_size, dtype=self.dtype)

    def __call__(
        self,
        state: State,
        ids: Array,
        *,
        resets: Array | None = None,
        streams: Array | None = None,
        last: int | None = None,
    ) -> tuple[State, Array]:
        """Reads a stretch of text.

        Args:
          state: The recurrent state before it, batch axes ``B``.
          ids: ``[B, T]`` integers in ``[0, V)``.
          resets: ``[B, T]`` booleans, true where a new text starts.
          streams: ``[B]`` integers that key the noise of each sequence. By default
            ``0 … B - 1``; where a batch is spread over devices, its share of them.
          last: Predict after the last `last` symbols only. Default: after each.

        Returns:
          The state after it, and logits ``[B, T, V]`` (``[B, last, V]``), float32.
        """
        ids = integers("ids", ids)
        if last is not None:
            last = count("last", last)
            if decided(lambda: last > ids.shape[-1], otherwise=False):
                raise InputError(
                    f"last: expected at most as many as there are ids, got {last} of "
                    f"{shown(ids)}"
                )
        key = self.make_rng("dropout") if self.has_rng("dropout") else None
        if key is not None and streams is not None:
            key = folded(typed_key(key), integers("streams", streams))
        params, xs = self._read(self._thinned(), ids)
        state, hs = unroll(
            self.cell,
            params,
            state,
            xs,
            key=key,
            resets=resets,
            backend=self.backend,
            remat=self.remat,
        )
        return state, self._logits(hs if last is None else hs[..., -last:, :])

    def step(self, state: State, ids: Array) -> tuple[State, Array]:
        """Reads one symbol, as when generating.

        Args:
          state: The recurrent state before it.
          ids: ``[B]`` integers in ``[0, V)``.

        Returns:
          The state after it, and logits ``[B, V]``, float32.

        Raises:
          ValueError: If the cell has no step, being bidirectional: what it says of a
            symbol depends on those after it, which generation has yet to write.
        """
        if self.cell.step is None:
            raise ValueError(
                "expected a cell that reads forwards, to generate with; got one that "
                "has to see the whole sequence (is part of it bidirectional?)"
            )
        params, x = self._read(self.recurrent, integers("ids", ids))
        state, h = self.cell.step(params, state, x)
        return state, self._logits(h)

    def initial_state(self, batch_shape: Shape) -> State:
        """The recurrent state before any text, for a batch of this shape."""
        return self.cell.initial_state(batch_shape)

    @property
    def input_size(self) -> int | None:
        """``D``, the width of the cell's input; ``None`` where it reads symbols."""
        if not self.tied:
            return (
                None if self.embedding is None else count("embedding", self.embedding)
            )
        # The width of a cell's output does not depend on that of its input, unless it
        # passes on what it reads; then only a width that is said can be right.
        guess = self.embedding or 1
        width = output_size(self.cell, guess)
        if self.embedding not in (None, width):
            raise ValueError(
                f"tied: expected an embedding as wide as the cell's output, {width}, "
                f"got {self.embedding}; leave it out"
            )
        return width

    def _read(self, params: Params, ids: Array) -> tuple[Params, Array]:
        """By which parameters the cell reads what.

        Where there are more places than symbols, an embedding is multiplied by the
        first kernel for each symbol once, and not at each place.
        """
        if self.vectors is None:
            return params, ids
        many = decided(lambda: ids.size >= self.vocab_size, otherwise=True)
        if self.cell.embed is not None and many:
            return self.cell.embed(params, self.vectors), ids
        return params, rows(self.vectors.astype(self.dtype), ids)

    def _thinned(self) -> Params:
        """The cell's parameters, entries dropped where there is noise."""
        if not (self.weight_drop and self.has_rng("dropout")):
            return self.recurrent
        return weight_drop(
            self.recurrent, self.weight_drop, typed_key(self.make_rng("dropout"))
        )

    def _logits(self, hs: Array) -> Array:
        if not self.tied:
            return self.output(hs).astype(jnp.float32)
        assert self.vectors is not None
        kernel = self.vectors.T.astype(self.dtype)
        logits = hs.astype(self.dtype) @ kernel
        logits += along(self.bias, logits).astype(self.dtype)
        return logits.astype(jnp.float32)
