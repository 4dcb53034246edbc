"""Data parallelism with ``jax.pmap``: the only file that knows of more than one device.

Every device holds the same parameters and its own share of the streams. Parameters,
optimizer state, key and step enter and leave unmapped, so nothing is stacked and
nothing is sent again at each step; the carry and the batch have a device axis in
front, which exists in this file alone.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.text.batches import Batch
from jaxtext.training.state import TrainState
from jaxtext.training.step import Metrics, make_train_step
from jaxtext.types import Device

_AXIS = "devices"
# Only the carry is mapped: params, opt_state, carry, key, step.
_AXES = TrainState._make((None, None, 0, None, None))


class DataParallel(NamedTuple):
    """A compiled training step over several devices, and the way in and out.

    Attributes:
      step: ``(state, batch) -> (state, metrics)``. It takes what `place` and `shard`
        return, and the state given is consumed: its buffers hold the new one.
      place: Puts a state on the devices, its carry split between them.
      shard: Puts a batch on the devices, split between them.
      collect: Turns a placed state back into one on a single device whose carry is
        ``[B, …]``: what is saved does not depend on how many devices there were.
    """

    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    place: Callable[[TrainState], TrainState]
    shard: Callable[[Batch], Batch]
    collect: Callable[[TrainState], TrainState]


def data_parallel(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    devices: Sequence[Device] | None = None,
    *,
    slices: int = 1,
) -> DataParallel:
    """Spreads the training step over devices, each with its share of the streams.

    The losses are those of one device but for rounding: gradients are averaged over
    the devices, and noise is keyed by stream and step, never by device.

    Args:
      model: The model.
      optimizer: Any Optax transformation.
      batch_size: ``B``, divisible by the number of devices.
      devices: Default: all local devices.
      slices: As for `make_train_step`, of each device's share of the batch.

    Raises:
      InputError: If the batch does not divide.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=65)
      >>> optimizer = optax.adam(1e-3)
      >>> parallel = data_parallel(model, optimizer, 2, jax.local_devices()[:1])
      >>> batches = jt.text.Streams(np.arange(200) % 65, 2, 10)
      >>> state = jt.training.create_state(model, optimizer, jax.random.key(0), 2)
      >>> state, metrics = parallel.step(
      ...     parallel.place(state), parallel.shard(batches.batch(seed=0, k=0))
      ... )
      >>> parallel.collect(state).carry.shape
      (2, 8)
    """
    devices = jax.local_devices() if devices is None else list(devices)
    n = len(devices)
    if batch_size % (n * slices):
        unit = n * slices
        raise InputError(
            f"a batch of {batch_size} does not divide between {n} devices, {slices} "
            f"slices each; use a multiple of {unit}, such as "
            f"{-(-batch_size // unit) * unit}"
        )
    mesh = Mesh(np.array(devices), (_AXIS,))
    replicated = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(_AXIS))

    def spread(tree):
        """[B, …] -> [n, B / n, …], one row a device."""
        rows = jax.tree.map(lambda x: x.reshape(n, x.shape[0] // n, *x.shape[1:]), tree)
        return jax.device_put(rows, split)

    def place(state):
        # A copy, because device_put may hand the caller's own buffers on, and
        # donation would then destroy what the caller still holds.
        state = jax.tree.map(lambda x: x.copy(), state)
        placed = jax.device_put(state._replace(carry=()), replicated)
        return placed._replace(carry=spread(state.carry))

    def collect(state):
        state = jax.device_put(state, devices[0])
        carry = jax.tree.map(lambda x: x.reshape(batch_size, *x.shape[2:]), state.carry)
        return state._replace(carry=carry)

    step = jax.pmap(
        make_train_step(model, optimizer, axis_name=_AXIS, slices=slices),
        axis_name=_AXIS,
        in_axes=(_AXES, 0),
        out_axes=(_AXES, None),
        devices=devices,
        donate_argnums=0,
    )
    return DataParallel(step, place, spread, collect)
