"""What one step of training is: the state, the step, data parallelism and the loop.

- `create_state` makes a `TrainState`, which `make_train_step` takes one step further.
- `data_parallel` divides each batch between devices.
- `evaluate`, `evaluate_dynamic`, `predictions` and `surprisals` measure a model on a
  text.

`jaxtext.runs` is what keeps a long run alive: checkpoints, signals, several processes.
"""

import importlib
import warnings
from typing import Any

from jaxtext.training.dynamic import DynamicRule, evaluate_dynamic, gradient_rms
from jaxtext.training.evaluate import evaluate, evaluate_batches
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
