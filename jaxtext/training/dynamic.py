"""Dynamic evaluation: the model goes on learning from the text it is tested on.

Each segment of the text is first predicted and counted. Then its gradient updates the
parameters, which also decay towards the trained ones. The model never learns from
symbols that it has yet to predict, so the loss is a fair code length. It is the loss of
an adaptive predictor, so do not compare it with that of a static model.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxtext.checks import fitted
from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.of_model import model_params
from jaxtext.text.batches import Batch
from jaxtext.text.file_array import Ids
from jaxtext.training.objective import a_batch, count_targets, read, valid_targets
from jaxtext.training.surprisal import in_windows
from jaxtext.types import Array, Params, State


@dataclass(frozen=True)
class DynamicRule:
    """The hyperparameters of dynamic evaluation.

    Args:
      segment: ``n``, the number of symbols between two updates.
      rate: ``η``, the learning rate of an update.
      decay: ``λ``, how fast the parameters return to the trained ones.
      epsilon: ``ε``, which limits the updates of parameters with tiny gradients.

    Raises:
      InputError: If `segment` is below 1, or another value is negative or not finite.
    """

    segment: int = 20
    rate: float = 1e-4
    decay: float = 2e-3
    epsilon: float = 2e-5

    def __post_init__(self) -> None:
        if self.segment < 1:
            raise InputError(f"segment: expected at least 1 symbol, got {self.segment}")
        for name in ("rate", "decay", "epsilon"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise InputError(
                    f"{name}: expected a finite number of 0 or more, got {value}"
                )


def gradient_rms(
    model: LanguageModel, params: Params, batches: Iterable[Batch]
) -> Params:
    """The root mean square of each parameter's gradient over training batches.

    ::

        RMS_g = √(1/K Σ_k (∂L_k/∂θ)²)

    ``L_k`` is the mean loss over the valid targets of batch ``k``, without dropout. The
    state is carried from batch to batch, as in training.

    Args:
      model: The model.
      params: The trained parameters, ``θ``.
      batches: ``K`` batches of the same size, at least one, such as those of
        `jaxtext.text.Streams`.

    Returns:
      A pytree like `params`.

    Raises:
      InputError: If there is no batch.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=4)
      >>> ids = np.array([0, 1, 2, 3] * 20)
      >>> state = model.initial_state((1,))
      >>> variables = model.init(jax.random.key(0), state, ids[None])
      >>> streams = jt.text.Streams(ids, batch_size=2, seq_len=5)
      >>> batches = (streams.batch(seed=0, k=k) for k in range(4))
      >>> rms = gradient_rms(model, variables["params"], batches)
      >>> rms["output"]["bias"].shape
      (4,)
    """
    params = model_params(model, params)
    squares, state, count = jax.tree.map(jnp.zeros_like, params), None, 0
    for batch in batches:
        a_batch(batch)
        if state is None:
            state = model.initial_state((len(batch.inputs),))
        squares, state = _add_squares(model, params, squares, state, batch)
        count += 1
    if not count:
        raise InputError("batches: expected at least one, got none")
    return jax.tree.map(lambda x: jnp.sqrt(x / count), squares)


def evaluate_dynamic(
    model: LanguageModel,
    params: Params,
    rms: Params,
    ids: Ids,
    rule: DynamicRule = DynamicRule(),
    *,
    chunk: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """The mean cross-entropy of a text under dynamic evaluation, in nats per symbol.

    The text is read from the zero state, and the state is carried to the end. It is
    divided into segments ``s_1, s_2, …`` of ``n`` symbols, the last of which may be
    shorter::

        loss += Σ_{x in s_i} -log p(x | all before it; θ_im1)
        g     = ∂L(s_i; θ_im1)/∂θ,  L the mean over the segment
        θ_i   = θ_im1 - η g / (RMS_g + ε) + λ (θ_0 - θ_im1) ⊙ min(RMS_norm, 1/λ)

        RMS_norm = RMS_g / mean(RMS_g)

    ``θ_0`` are the trained parameters. The gradient does not reach back beyond its
    segment. The mean of ``RMS_g`` is over all numbers of all arrays, so it does not
    depend on whether a cell keeps its weights in one array or in several.

    Args:
      model: The model.
      params: The trained parameters.
      rms: ``RMS_g``, from `gradient_rms` on text that the model was trained on.
      ids: ``[n]`` integers, at least two. A file is read piece by piece.
      rule: The hyperparameters.
      chunk: How many segments one call of the compiled function reads.
      progress: Called after each such call with the number of symbols predicted so far
        and in all. An error that it raises ends the evaluation.

    Returns:
      Nats per symbol.

    Raises:
      InputError: If there are fewer than two symbols, or the loss is not finite, as
        with a rate that is too high.

    References:
      Krause, Kahembwe, Murray and Renals, "Dynamic evaluation of neural sequence
      models", 2018, section 4, with the global prior scaled by the RMS.
    """
    params = model_params(model, params)
    rms = fitted("rms", params, rms, cast=False)
    n = len(ids) - 1
    if n < 1:
        raise InputError(f"ids: expected at least 2 symbols, got {len(ids)}")
    segment = min(rule.segment, n)
    chunk = min(chunk, -(-n // segment))
    scalars = scaled(rule, rms)
    total, done = 0.0, 0
    # A copy, because the compiled function donates it.
    carry = jax.tree.map(jnp.copy, (params, model.initial_state((1,))))
    for part in in_windows(ids, segment, chunk):
        segments = [x[:, None] for x in (part.inputs, part.targets, part.counts)]
        done += int(part.counts.sum())
        carry, losses = _walk(model, carry, params, rms, scalars, segments)
        total += float(np.asarray(losses).sum(dtype=np.float64))
        if not np.isfinite(total):
            raise InputError(
                f"dynamic evaluation diverged within the first {done:,} symbols at "
                f"rate {rule.rate}; lower it"
            )
        if progress is not None:
            progress(done, n)
    return total / n


def scaled(rule: DynamicRule, rms: Params) -> tuple[float, float, float]:
    """``η``, ``ε`` and ``λ / mean(RMS_g)``, which `learnt` takes."""
    sizes = [x.size for x in jax.tree.leaves(rms)]
    mean = sum(float(x.sum()) for x in jax.tree.leaves(rms)) / sum(sizes)
    mean = mean or 1.0  # if all gradients are 0, so are all updates
    return rule.rate, rule.epsilon, rule.decay / mean


def learnt(
    model: LanguageModel,
    carry: tuple[Params, State],
    trained: Params,
    rms: Params,
    scalars: tuple[ArrayLike, ArrayLike, ArrayLike],
    inputs: Array,
    targets: Array,
    counts: Array,
) -> tuple[tuple[Params, State], Array]:
    """One segment of dynamic evaluation, by the equations of `evaluate_dynamic`.

    Args:
      model: The model.
      carry: ``θ_im1``, and the state before the segment.
      trained: ``θ_0``.
      rms: ``RMS_g``.
      scalars: What `scaled` returns.
      inputs: ``[1, n]`` integers, the symbols that are read.
      targets: ``[1, n]`` integers, the symbols that follow each of them.
      counts: ``[1, n]`` booleans, which targets count in the loss.

    Returns:
      ``θ_i`` and the state after the segment; and the sum of the losses.
    """
    params, state = carry
    rate, epsilon, pull = scalars
    gradient = jax.grad(_segment_loss, has_aux=True)
    grads, (state, loss) = gradient(params, model, state, inputs, targets, counts)

    def update(now, grad, start, rms):
        # λ min(RMS_norm, 1/λ), in a form that allows λ = 0.
        back = jnp.minimum(pull * rms, 1.0) * (start - now)
        return now - rate * grad / (rms + epsilon) + back

    return (jax.tree.map(update, params, grads, trained, rms), state), loss


def _batch_loss(params, model, state, batch):
    """The mean loss of a batch, and the state after it."""
    state, losses = read(model, params, state, batch)
    total = jnp.sum(losses, where=valid_targets(batch))
    return total / count_targets(batch), state


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def _add_squares(model, params, squares, state, batch):
    grads, state = jax.grad(_batch_loss, has_aux=True)(params, model, state, batch)
    return jax.tree.map(lambda total, g: total + g * g, squares, grads), state


def _segment_loss(params, model, state, inputs, targets, counts):
    """The objective of a segment; the state after it, and the sum of valid losses."""
    inputs, targets = inputs.astype(jnp.int32), targets.astype(jnp.int32)
    variables = {"params": params}
    state, losses = model.apply(variables, state, inputs, targets, method="losses")
    total = jnp.sum(losses, where=counts)
    # This is the mean, except in a last segment that is shorter than the others. No
    # segment follows that one, so its gradient has no effect.
    return total / targets.size, (state, total)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _walk(model, carry, trained, rms, scalars, segments):
    """Goes through segments ``[chunk, 1, n]``; returns carry and losses ``[chunk]``."""

    def of_segment(carry, part):
        return learnt(model, carry, trained, rms, scalars, *part)

    return jax.lax.scan(of_segment, carry, segments)
