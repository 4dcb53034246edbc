"""Recurrent cells, one file each: the equations, their source, init and state."""

from jaxtext.cells.gru import gru
from jaxtext.cells.lstm import LSTMState, lstm
from jaxtext.cells.rnn import rnn

__all__ = ["LSTMState", "gru", "lstm", "rnn"]
