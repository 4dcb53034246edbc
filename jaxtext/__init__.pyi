"""The public names. `jaxtext/__init__.py` loads each when it is first used."""

from . import (
    compression,
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
    para_gru,
    para_lstm,
    peephole_lstm,
    projected_lstm,
    rnn,
)
from .compose import bidirectional, residual, stack, with_initial_state, with_step
from .dropout import dropout, variational_dropout
from .model import LanguageModel
from .noise import (
    recurrent_dropout,
    weight_drop,
    zoneout,
)
from .types import Backend, BackendName, Cell, Masks, Noise, Snapshot, Target
from .unroll import explain_backend, unroll

__all__ = [  # noqa: RUF022 (grouped by kind)
    # Cells.
    "rnn",
    "lstm",
    "LSTMState",
    "gru",
    "layer_norm_rnn",
    "layer_norm_lstm",
    "layer_norm_gru",
    "coupled_lstm",
    "peephole_lstm",
    "projected_lstm",
    "minimal_gated_unit",
    "min_gru",
    "min_lstm",
    "para_gru",
    "para_lstm",
    # Cells made of cells.
    "stack",
    "residual",
    "bidirectional",
    "mogrifier",
    "with_initial_state",
    "with_step",
    # Noise.
    "dropout",
    "variational_dropout",
    "recurrent_dropout",
    "zoneout",
    "weight_drop",
    # Over time.
    "unroll",
    "explain_backend",
    # The model.
    "LanguageModel",
    # What a cell is.
    "Cell",
    "Noise",
    "Masks",
    "Snapshot",
    "Backend",
    "BackendName",
    "Target",
    # Packages and modules.
    "text",
    "training",
    "runs",
    "generation",
    "compression",
    "interop",
    "types",
    "errors",
    "dispatch",
    "versions",
]

__version__: str
