"""Data parallelism: the only file that knows of more than one device.

Every device holds the same parameters and its own share of the streams. Parameters,
optimizer state, key and step are the same everywhere: nothing is stacked, and nothing
is sent again at each step.

Either way each device runs the step on its share. Partitioning by the compiler, with
``jax.jit`` alone, would need less said, but it cannot divide a kernel (Pallas, cuDNN).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

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
_SAME, _SPLIT = PartitionSpec(), PartitionSpec(_AXIS)


class DataParallel(NamedTuple):
    """A compiled training step over several devices, and the way in and out.

    Attributes:
      step: ``(state, batch) -> (state, metrics)``. It takes what `place` and `shard`
        return, and the state given is consumed: its buffers hold the new one.
      place: Puts a state on the devices, its carry split between them.
      shard: Puts a batch on the devices, split between them.
      collect: Turns a placed state back into one on a single device whose carry is
        ``[B, …]``: what is saved does not depend on how many devices there were.
      lower: ``(state, batch) -> jax.stages.Lowered``, the step ready to be compiled.
        It takes what `place` and `shard` take, or the shapes thereof, and the devices
        may be such as are not there (``jax.experimental.topologies``).
    """

    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    place: Callable[[TrainState], TrainState]
    shard: Callable[[Batch], Batch]
    collect: Callable[[TrainState], TrainState]
    lower: Callable[[TrainState, Batch], jax.stages.Lowered]


def data_parallel(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    devices: Sequence[Device] | None = None,
    *,
    slices: int = 1,
    strategy: Literal["pmap", "sharded"] = "pmap",
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
      strategy: ``"pmap"``, by `jax.pmap`, where a placed carry and batch have an axis
        of devices in front, or ``"sharded"``, by `jax.shard_map` under `jax.jit`, where
        they are ``[B, …]`` still, as global arrays. The step is the same.

    Raises:
      InputError: If the batch does not divide, or no strategy has that name.

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
    if strategy not in ("pmap", "sharded"):
        raise InputError(f"strategy: expected pmap or sharded, got {strategy!r}")
    mesh = Mesh(np.array(devices), (_AXIS,))
    same, split = NamedSharding(mesh, _SAME), NamedSharding(mesh, _SPLIT)
    train_step = make_train_step(model, optimizer, axis_name=_AXIS, slices=slices)
    if strategy == "pmap":
        step, rows, whole = _by_pmap(train_step, devices), partial(_rows, n), _whole
    else:
        step, rows, whole = _by_shard_map(train_step, same, split), _as_is, _as_is

    def place(state):
        # A copy, because device_put may hand the caller's own buffers on, and
        # donation would then destroy what the caller still holds.
        state = jax.tree.map(lambda x: x.copy(), state)
        state = state._replace(carry=rows(state.carry))
        return jax.device_put(state, _fields(same, split))

    def shard(batch):
        return jax.device_put(rows(batch), split)

    def collect(state):
        state = jax.device_put(state, devices[0])
        return state._replace(carry=whole(state.carry))

    def lower(state, batch):
        carry, batch = jax.eval_shape(rows, (state.carry, batch))
        return step.lower(state._replace(carry=carry), batch)

    return DataParallel(step, place, shard, collect, lower)


def _by_pmap(train_step, devices):
    axes = _fields(None, 0)
    return jax.pmap(
        train_step,
        axis_name=_AXIS,
        in_axes=(axes, 0),
        out_axes=(axes, None),
        devices=devices,
        donate_argnums=0,
    )


def _by_shard_map(train_step, same, split):
    specs, shardings = _fields(_SAME, _SPLIT), _fields(same, split)
    mapped = jax.shard_map(
        train_step,
        mesh=same.mesh,
        in_specs=(specs, _SPLIT),
        out_specs=(specs, _SAME),
        # As in pmap. The check would have the gradient of what is the same everywhere
        # arrive summed over the devices, for the step to average it once more.
        check_vma=False,
    )
    return jax.jit(
        mapped,
        in_shardings=(shardings, split),
        out_shardings=(shardings, same),
        donate_argnums=0,
    )


def _fields(same, split):
    """What is said of each field of a state, of which the carry alone is split."""
    return TrainState(same, same, split, same, same, same)


def _rows(n, tree):
    """[B, …] -> [n, B / n, …], one row a device."""
    return jax.tree.map(lambda x: x.reshape(n, x.shape[0] // n, *x.shape[1:]), tree)


def _whole(tree):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _as_is(tree):
    return tree
