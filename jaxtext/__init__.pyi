"""The public names. `jaxtext/__init__.py` loads each when it is first used."""

from . import (
    dispatch,
    errors,
    generation,
    interop,
    runs,
    text,
    training,
    types,
    versions,
)
from .cells import (
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
from .compose import bidirectional, dropout, residual, stack
from .model import LanguageModel
from .noise import (
    recurrent_dropout,
    variational_dropout,
    weight_drop,
    zoneout,
)
from .types import Backend, BackendName, Cell, Masks, Noise, Target
from .unroll import explain_backend, unroll

__all__ = [
    "Backend",
    "BackendName",
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
    "errors",
    "explain_backend",
    "generation",
    "gru",
    "interop",
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
    "runs",
    "stack",
    "text",
    "training",
    "types",
    "unroll",
    "variational_dropout",
    "versions",
    "weight_drop",
    "zoneout",
]

__version__: str
