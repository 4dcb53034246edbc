"""Recurrent cells, one file each: the equations, their source, init and state."""

from jaxtext.cells.coupled_lstm import coupled_lstm
from jaxtext.cells.gru import gru
from jaxtext.cells.layer_norm_gru import layer_norm_gru
from jaxtext.cells.layer_norm_lstm import layer_norm_lstm
from jaxtext.cells.layer_norm_rnn import layer_norm_rnn
from jaxtext.cells.lstm import LSTMState, lstm
from jaxtext.cells.min_gru import min_gru
from jaxtext.cells.min_lstm import min_lstm
from jaxtext.cells.minimal_gated_unit import minimal_gated_unit
from jaxtext.cells.mogrifier import mogrifier
from jaxtext.cells.para_gru import para_gru
from jaxtext.cells.para_lstm import para_lstm
from jaxtext.cells.peephole_lstm import peephole_lstm
from jaxtext.cells.projected_lstm import projected_lstm
from jaxtext.cells.rnn import rnn

__all__ = [
    "LSTMState",
    "coupled_lstm",
    "gru",
    "layer_norm_gru",
    "layer_norm_lstm",
    "layer_norm_rnn",
    "lstm",
    "min_gru",
    "min_lstm",
    "minimal_gated_unit",
    "mogrifier",
    "para_gru",
    "para_lstm",
    "peephole_lstm",
    "projected_lstm",
    "rnn",
]
