"""Rules of decoding: functions from logits to logits, in nats.

What a rule takes away gets the logit ``-inf``. A rule always leaves the symbol that it
ranks first, and equal symbols are kept or taken away together. Definitions are those of
the processors in Hugging Face's Transformers.

``B`` is the number of rows and ``V`` that of symbols. The other arguments are numbers,
or ``[B, 1]``, a number for each row. All of them may be traced.
"""

import jax
import jax.numpy as jnp

from jaxtext.generation.heaviest import heaviest
from jaxtext.types import Array


def repetition_penalty(logits: Array, repeated: Array, penalty: Array) -> Array:
    """Makes symbols that were there already less likely.

    ::

        z_v = logits_v / penalty if logits_v > 0, else logits_v * penalty

    Args:
      logits: ``[B, V]``.
      repeated: ``[B, V]`` booleans, the symbols that this is done to.
      penalty: Above 1 makes them less likely, below 1 likelier; 1 has no effect.

    References:
      Keskar et al., "CTRL: a conditional transformer language model for controllable
      generation", 2019, section 4.1; for negative logits, Transformers'
      ``RepetitionPenaltyLogitsProcessor``.
    """
    penalized = jnp.where(logits < 0, logits * penalty, logits / penalty)
    return jnp.where(repeated, penalized, logits)


def allow(logits: Array, allowed: Array) -> Array:
    """Takes away all symbols but the allowed ones.

    The relative probabilities of what remains stay as they are.

    Args:
      logits: ``[B, V]``.
      allowed: ``[B, V]`` or ``[1, V]`` booleans.
    """
    return jnp.where(allowed, logits, -jnp.inf)


def top_k(logits: Array, k: Array) -> Array:
    """Keeps the `k` likeliest symbols, and any that is as likely as the last of them.

    References:
      Fan, Lewis and Dauphin, "Hierarchical neural story generation", 2018.
    """
    ones = jnp.ones_like(logits)
    return allow(logits, heaviest(logits, ones, jnp.asarray(k, logits.dtype)))


def top_p(logits: Array, p: Array) -> Array:
    """Keeps the nucleus: the likeliest symbols that together have a probability of `p`.

    It is the smallest such set. In other words, a symbol is kept if those likelier than
    it have a probability of less than `p`.

    References:
      Holtzman et al., "The curious case of neural text degeneration", 2020.
    """
    kept = heaviest(logits, jax.nn.softmax(logits), p)
    return allow(logits, kept | _everything(p))


def min_p(logits: Array, p: Array) -> Array:
    """Keeps symbols that are at least `p` times as likely as the likeliest.

    References:
      Nguyen et al., "Turning up the heat: min-p sampling for creative and coherent LLM
      outputs", 2024.
    """
    best = jnp.max(logits, axis=-1, keepdims=True)
    return allow(logits, logits >= best + jnp.log(p))


def typical_p(logits: Array, p: Array) -> Array:
    """Keeps symbols that are about as surprising as the model expects to be surprised.

    ::

        distance_v = |-log p_v - H|        H = -Σ_v p_v log p_v

    The nearest symbols are kept that together have a probability of `p`. The likeliest
    symbol may be taken away.

    References:
      Meister et al., "Locally typical sampling", 2022.
    """
    log_p = jax.nn.log_softmax(logits)
    probability = jnp.exp(log_p)
    # What was taken away has no part in the entropy: 0 log 0 = 0.
    finite = jnp.where(probability > 0, log_p, 0)
    entropy = -jnp.sum(probability * finite, axis=-1, keepdims=True)
    kept = heaviest(-jnp.abs(-log_p - entropy), probability, p)
    return allow(logits, kept | _everything(p))


def _everything(p):
    """Whether `p` is 1: then rounding of the sum must not take the last ones away."""
    return jnp.asarray(p) >= 1
