"""Training steps and evaluation, as pure functions.

- `create_state` creates a `TrainState`. `make_train_step` makes the function from one
  state and a batch to the next state.
- `extend_vocabulary` gives a trained model more symbols, to go on with another text.
- `data_parallel` runs that step on several devices, each with its share of the batch.
- `evaluate` and `evaluate_batches` measure the loss of a model, `evaluate_dynamic` that
  of a model which goes on learning. `surprisals` and `predictions` give it symbol by
  symbol.

For checkpoints, signals and several processes, see `jaxtext.runs`.
"""

import importlib
import warnings
from typing import Any

from jaxtext.training.dynamic import DynamicRule, evaluate_dynamic, gradient_rms
from jaxtext.training.evaluate import evaluate, evaluate_batches
from jaxtext.training.extend import extend_vocabulary
from jaxtext.training.parallel import DataParallel, data_parallel
from jaxtext.training.state import TrainState, create_state, predicting
from jaxtext.training.step import Metrics, make_train_step
from jaxtext.training.surprisal import Predicted, predictions, surprisals

__all__ = [
    "DataParallel",
    "DynamicRule",
    "Metrics",
    "Predicted",
    "TrainState",
    "create_state",
    "data_parallel",
    "evaluate",
    "evaluate_batches",
    "evaluate_dynamic",
    "extend_vocabulary",
    "gradient_rms",
    "make_train_step",
    "predicting",
    "predictions",
    "surprisals",
]

_MOVED = {"agreement", "checkpoint", "distributed", "interrupt", "log", "workdir"}


def __getattr__(name: str) -> Any:
    """Finds the modules that are now in `jaxtext.runs` under their old names."""
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"jaxtext.training.{name} is now jaxtext.runs.{name}",
        DeprecationWarning,
        stacklevel=2,
    )
    return importlib.import_module(f"jaxtext.runs.{name}")
