"""What a checkpoint contains, and how a training state is stored in it."""

from typing import Any, NamedTuple

import jax

from jaxtext.training.state import TrainState, keeps_average, predicting


class Checkpoint(NamedTuple):
    """What was read from a checkpoint."""

    step: int  # how many steps had been taken
    about: dict[str, Any]  # the JSON that was saved with it
    arrays: Any  # those that were asked for


def items_of(state: TrainState) -> dict[str, Any]:
    """Divides a training state into the items that are saved.

    The parameters to predict with are an item of their own. So they can be read
    without the rest, and callers do not need to know whether they are an average.
    """
    rest = state._asdict()
    del rest["average"]
    if not keeps_average(state):
        rest["params"] = ()
    return {"params": predicting(state), "training": rest}


def state_of(items: dict[str, Any]) -> TrainState:
    """Puts a training state together again; the inverse of `items_of`."""
    params, rest = items["params"], items["training"]
    if jax.tree.leaves(rest["params"]):
        return TrainState(**rest, average=params)
    return TrainState(**rest | {"params": params})
