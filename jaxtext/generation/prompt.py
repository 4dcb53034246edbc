"""Reads prompts of any length by a handful of compiled programs."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.checks import integers
from jaxtext.errors import InputError
from jaxtext.generation.process import Memory, after_prompt
from jaxtext.model import LanguageModel
from jaxtext.of_model import symbols
from jaxtext.quantities import shown
from jaxtext.types import Array, Params, State

_LEAST, _MOST = 16, 1024  # symbols that one program reads, all powers of two between


def checked(name: str, prompts: object, model: LanguageModel) -> np.ndarray:
    """Prompts ``[B, P]`` of at least one symbol each, on the host.

    Raises:
      InputError: If they are of another shape or type, or not of the vocabulary.
    """
    ids = np.asarray(integers(name, prompts))
    if ids.ndim != 2 or 0 in ids.shape:
        raise InputError(
            f"{name}: expected [B, P] with at least one symbol each, got {shown(ids)}"
        )
    symbols(name, ids, model.vocab_size)
    return ids.astype(np.int32)


def read(
    model: LanguageModel,
    params: Params,
    ids: np.ndarray,
    state: State,
    memory: Memory,
) -> tuple[tuple[State, Array], Memory]:
    """Reads prompts.

    They are padded to the next power of two, and long ones are read in parts, so that
    all lengths together take seven programs.

    Args:
      model: The model.
      params: Its parameters.
      ids: ``[B, P]`` int32, ``P`` at least 1.
      state: The state before them. ``None``: the initial one.
      memory: What the rules remember of the text before them.

    Returns:
      The state after them and the logits of the next symbol ``[B, V]``; and the memory.
    """
    logits = None
    if state is None:
        state = model.initial_state((len(ids),))
    for part, size in _parts(ids):
        state, logits, memory = _read(model, params, part, size, state, memory)
    assert logits is not None  # there is at least one symbol
    return (state, logits), memory


def _parts(ids) -> Iterator[tuple[np.ndarray, int]]:
    """Padded parts of prompts, and how many symbols of each count."""
    for begin in range(0, ids.shape[1], _MOST):
        part = ids[:, begin : begin + _MOST]
        size = part.shape[1]
        width = max(_LEAST, 1 << (size - 1).bit_length())
        yield np.pad(part, ((0, 0), (0, width - size))), size


@partial(jax.jit, static_argnums=0)
def _read(model, params, ids, size, state, memory):
    """The last symbol is read by a step, so that no other's logits are computed."""
    variables, rows = {"params": params}, len(ids)
    before = jnp.full(rows, size - 1)
    state, _ = model.apply(variables, state, ids[:, :-1], lengths=before, last=1)
    last = jax.lax.dynamic_index_in_dim(ids, size - 1, axis=1, keepdims=False)
    state, logits = model.apply(variables, state, last, method="step")
    return state, logits, after_prompt(memory, ids, size)
