# pyright: reportUnnecessaryTypeIgnoreComment=error
"""Right and wrong calls: pyright accepts this file only if it finds each wrong one."""

import jax
import jax.numpy as jnp

import jaxtext as jt

cell: jt.Cell = jt.stack(jt.lstm(8), jt.dropout(0.1), jt.gru(8, dtype="bfloat16"))
params = cell.init(jax.random.key(0), 5)
state = cell.initial_state((2,))
xs = jnp.zeros((2, 7), int)

state, ys = jt.unroll(cell, params, state, xs, lengths=jnp.array([3, 7]), remat="gates")
total: jax.Array = ys.sum()
said: list[str] = jt.explain_backend(cell, params, state, xs, backend="fused")
model = jt.LanguageModel(cell, 65, backend="scan", tied=True)
version: str = jt.__version__
corpus: jt.text.Corpus = jt.text.load(["text"])

jt.unroll(cell, params, state, xs, backend="nonsense")  # pyright: ignore[reportArgumentType]
jt.explain_backend(cell, params, state, xs, backend="cuda")  # pyright: ignore[reportArgumentType]
jt.LanguageModel(cell, 65, backend="nonsense")  # pyright: ignore[reportArgumentType]
jt.LanguageModel(cell)  # pyright: ignore[reportCallIssue]
jt.unroll(cell, params, state, xs, None)  # pyright: ignore[reportCallIssue]
jt.unroll(cell, params, state, xs, remat="all")  # pyright: ignore[reportArgumentType]
jt.lstm("256")  # pyright: ignore[reportArgumentType]
jt.stack(jt.lstm)  # pyright: ignore[reportArgumentType]
jt.nonsense()  # pyright: ignore[reportAttributeAccessIssue]
jt.text.load(["text"], vocab="words")  # pyright: ignore[reportArgumentType]
