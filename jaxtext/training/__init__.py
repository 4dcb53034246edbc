"""Training: the state, the step, data parallelism, checkpoints and the loop."""

from jaxtext.training.evaluate import evaluate
from jaxtext.training.parallel import DataParallel, data_parallel
from jaxtext.training.state import TrainState, create_state, predicting
from jaxtext.training.step import Metrics, make_train_step

__all__ = [
    "DataParallel",
    "Metrics",
    "TrainState",
    "create_state",
    "data_parallel",
    "evaluate",
    "make_train_step",
    "predicting",
]
