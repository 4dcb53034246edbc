"""The language model as a module of ``flax.nnx``."""

import jax
import jax.numpy as jnp
from flax import nnx

from jaxtext.interop.nnx_modules import dropout_key
from jaxtext.model import LanguageModel
from jaxtext.types import Array, Params, Shape, State


class NNXLanguageModel(nnx.Module):
    """A `jaxtext.LanguageModel` as a module of ``flax.nnx``.

    It computes the same numbers as the linen module, bit for bit. Its parameters have
    the same paths, and each is an ``nnx.Param``. Weights go both ways::

        nnx.update(module, params)       # from the linen module's variables["params"]
        params = module.parameters()     # and back

    Functions that take a linen model and its parameters, such as
    `jaxtext.generation.generate` and `jaxtext.training.evaluate`, take ``module.linen``
    and ``module.parameters()``.

    Args:
      linen: The model, with all its options.
      rngs: The parameters are drawn from its stream ``params``.

    Example:
      >>> import jaxtext as jt, optax
      >>> linen = jt.LanguageModel(jt.gru(8), vocab_size=5)
      >>> module = NNXLanguageModel(linen, rngs=nnx.Rngs(0))
      >>> optimizer = nnx.Optimizer(module, optax.adam(1e-2), wrt=nnx.Param)
      >>> def loss(module, ids):
      ...     _, logits = module(None, ids[:, :-1])
      ...     losses = optax.softmax_cross_entropy_with_integer_labels(
      ...         logits, ids[:, 1:]
      ...     )
      ...     return losses.mean()
      >>> _ = optimizer.update(module, nnx.grad(loss)(module, jnp.array([[1, 2, 3]])))
      >>> prompts, key = [[1, 2]], jax.random.key(0)
      >>> (ids,) = jt.generation.generate(
      ...     module.linen, module.parameters(), prompts, 10, key=key
      ... )
      >>> ids.shape
      (1, 10)
    """

    def __init__(self, linen: LanguageModel, *, rngs: nnx.Rngs):
        self.linen = linen
        ids = jnp.zeros((1, 1), jnp.int32)
        params = linen.init(rngs.params(), None, ids)["params"]
        for name, of_name in params.items():
            setattr(self, name, nnx.data(jax.tree.map(nnx.Param, of_name)))

    def __call__(
        self,
        state: State,
        ids: Array,
        *,
        rngs: nnx.Rngs | None = None,
        lengths: Array | None = None,
        resets: Array | None = None,
        streams: Array | None = None,
        last: int | None = None,
    ) -> tuple[State, Array]:
        """Reads part of a text.

        Args:
          state: As for `jaxtext.LanguageModel`, like all arguments but `rngs`.
          ids: ``[B, T]`` integers in ``[0, V)``.
          rngs: Noise is drawn from its stream ``dropout``. Without one there is no
            noise.
          lengths: ``[B]`` integers, how many symbols of each row are valid.
          resets: ``[B, T]`` booleans, true where a new text starts.
          streams: ``[B]`` integers, the index of each sequence.
          last: Compute logits for the last `last` positions only.

        Returns:
          The state after it, and logits ``[B, T, V]`` or ``[B, last, V]``, float32.
        """
        key = dropout_key(rngs)
        return self.linen.apply(
            {"params": self.parameters()},
            state,
            ids,
            lengths=lengths,
            resets=resets,
            streams=streams,
            last=last,
            rngs={} if key is None else {"dropout": key},
        )

    def step(self, state: State, ids: Array) -> tuple[State, Array]:
        """Reads one symbol of each sequence, ``ids [B]``; logits are ``[B, V]``."""
        variables = {"params": self.parameters()}
        return self.linen.apply(variables, state, ids, method="step")

    def initial_state(self, batch_shape: Shape) -> State:
        """The recurrent state to start a text with, for this batch shape."""
        return self.linen.initial_state(batch_shape)

    def parameters(self) -> Params:
        """The current parameters, as the linen module takes them."""
        return nnx.to_pure_dict(nnx.state(self, nnx.Param))
