"""Recurrent networks over text in JAX: cells as pure functions that compose.

>>> import jax, jaxtext as jt
>>> cell = jt.gru(256)  # jt.rnn, jt.lstm, jt.gru: swapping the cell is one word
>>> params = cell.init(jax.random.key(0), 65)
>>> state = cell.initial_state((8,))
>>> state, ys = jt.unroll(cell, params, state, jax.numpy.zeros((8, 100), int))
>>> ys.shape
(8, 100, 256)

Names are loaded on first use, from the list in ``__init__.pyi``. So ``import jaxtext``
takes milliseconds, a program that trains nothing never loads Flax and Orbax, and
`jaxtext.versions` can set XLA's flags before JAX is imported.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
