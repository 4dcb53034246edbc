"""One compiled training step of the language model, on random text."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from measuring.ours import CELLS

import jaxtext as jt
from jaxtext.types import BackendName


def compile_step(
    *,
    cell: str,
    hidden: int,
    batch_size: int,
    seq_len: int,
    backend: BackendName,
    remat: Any,
    vocab_size: int = 65,
) -> tuple[Any, Callable[[], object]]:
    """Compiles a step with AdamW of one layer.

    Returns:
      The compiled step, which has `memory_analysis()`, and a function that runs it.
    """
    model = jt.LanguageModel(
        jt.stack(CELLS[cell](hidden)), vocab_size, backend=backend, remat=remat
    )
    optimizer = optax.adamw(1e-3)
    ids = np.random.default_rng(0).integers(
        0, vocab_size, 2 * batch_size * seq_len, np.uint8
    )
    batch = jt.text.Streams(ids, batch_size, seq_len).batch(seed=0, k=0)
    state = jt.training.create_state(model, optimizer, jax.random.key(0), batch_size)
    step = jax.jit(jt.training.make_train_step(model, optimizer))
    compiled = step.lower(state, batch).compile()
    return compiled, lambda: jax.block_until_ready(compiled(state, batch))
