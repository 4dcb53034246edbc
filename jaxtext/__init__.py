"""Recurrent networks over text in JAX: cells as pure functions that compose.

>>> import jax, jaxtext as jt
>>> cell = jt.gru(256)  # jt.rnn, jt.lstm, jt.gru: swapping the cell is one word
>>> params = cell.init(jax.random.key(0), 65)
>>> state = cell.initial_state((8,))
>>> state, ys = jt.unroll(cell, params, state, jax.numpy.zeros((8, 100), int))
>>> ys.shape
(8, 100, 256)
"""

from jaxtext import dispatch, text, training
from jaxtext.cells import (
    LSTMState,
    coupled_lstm,
    gru,
    layer_norm_gru,
    layer_norm_lstm,
    layer_norm_rnn,
    lstm,
    min_gru,
    min_lstm,
    minimal_gated_unit,
    mogrifier,
    peephole_lstm,
    projected_lstm,
    rnn,
)
from jaxtext.compose import bidirectional, dropout, residual, stack
from jaxtext.model import LanguageModel
from jaxtext.noise import (
    recurrent_dropout,
    variational_dropout,
    weight_drop,
    zoneout,
)
from jaxtext.types import Backend, Cell, Masks, Noise, Target
from jaxtext.unroll import explain_backend, unroll

__all__ = [
    "Backend",
    "Cell",
    "LSTMState",
    "LanguageModel",
    "Masks",
    "Noise",
    "Target",
    "bidirectional",
    "coupled_lstm",
    "dispatch",
    "dropout",
    "explain_backend",
    "gru",
    "layer_norm_gru",
    "layer_norm_lstm",
    "layer_norm_rnn",
    "lstm",
    "min_gru",
    "min_lstm",
    "minimal_gated_unit",
    "mogrifier",
    "peephole_lstm",
    "projected_lstm",
    "recurrent_dropout",
    "residual",
    "rnn",
    "stack",
    "text",
    "training",
    "unroll",
    "variational_dropout",
    "weight_drop",
    "zoneout",
]
