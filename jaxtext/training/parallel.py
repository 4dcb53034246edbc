"""Data parallelism: the only file that knows of more than one device.

Every device holds the same parameters and its own share of the streams. Parameters,
optimizer state, key and step are the same everywhere: nothing is stacked, and nothing
is sent again at each step.

There may be several processes, each with devices of its own (`distributed`). All of
them take the same steps; each reads and sends the rows of a batch that are its own.

Either way each device runs the step on its share. Partitioning by the compiler, with
``jax.jit`` alone, would need less said, but it cannot divide a kernel (Pallas, cuDNN).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import numpy as np
import optax
from jax.experimental.multihost_utils import host_local_array_to_global_array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.quantities import count
from jaxtext.text.batches import Batch
from jaxtext.training.state import TrainState, predicting
from jaxtext.training.step import Metrics, make_train_step
from jaxtext.types import Device, Params

_AXIS = "devices"
_SAME, _SPLIT = PartitionSpec(), PartitionSpec(_AXIS)


class DataParallel(NamedTuple):
    """A compiled training step over several devices, and the way in and out.

    Attributes:
      rows: Which rows of a batch are this process's: all, if it is the only one.
      step: ``(state, batch) -> (state, metrics)``. It takes what `place` and `shard`
        return, and the state given is consumed: its buffers hold the new one.
      place: Puts a state on the devices, its carry split between them. Every process
        gives the whole state, the same one.
      shard: Puts a batch on the devices, split between them. Every process gives its
        own rows, in the order of the batch.
      collect: Turns a placed state back into one whose carry is ``[B, …]``: what is
        saved does not depend on how many devices there were. In one process it is on
        one device. In several it consists of global arrays, the carry split between
        the processes and all else the same in each; they all have to call it.
      params: The parameters to predict with, of a placed state, on one device of this
        process, without a word to the others: their average, if one is kept. The next
        step consumes them with the state.
      lower: ``(state, batch) -> jax.stages.Lowered``, the step ready to be compiled.
        It takes what `place` and `shard` take, or the shapes thereof, and the devices
        may be such as are not there (``jax.experimental.topologies``). Only in a
        process that is alone.
    """

    rows: slice
    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    place: Callable[[TrainState], TrainState]
    shard: Callable[[Batch], Batch]
    collect: Callable[[TrainState], TrainState]
    params: Callable[[TrainState], Params]
    lower: Callable[[TrainState, Batch], jax.stages.Lowered]


def data_parallel(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    devices: Sequence[Device] | None = None,
    *,
    slices: int = 1,
    average_decay: float = 0.0,
    label_smoothing: float = 0.0,
    strategy: Literal["pmap", "sharded"] = "pmap",
) -> DataParallel:
    """Spreads the training step over devices, each with its share of the streams.

    The losses are those of one device but for rounding: gradients are added up over
    the devices, and noise is keyed by stream and step, never by device.

    Args:
      model: The model.
      optimizer: As for `make_train_step`; what it is told is the same on every device.
      batch_size: ``B``, divisible by the number of devices.
      devices: Default: all there are, those of other processes included. Every
        process has to have as many of them.
      slices: As for `make_train_step`, of each device's share of the batch.
      average_decay: As for `make_train_step`.
      label_smoothing: As for `make_train_step`.
      strategy: ``"pmap"``, by `jax.pmap`, where a placed carry and batch have an axis
        of devices in front, or ``"sharded"``, by `jax.shard_map` under `jax.jit`, where
        they are ``[B, …]`` still, as global arrays. The step is the same.

    Raises:
      InputError: If the batch does not divide, no strategy has that name, or a number
        is out of range.

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
    # Those of a process side by side: its rows are then one part of the batch.
    devices = sorted(
        jax.devices() if devices is None else devices, key=lambda d: d.process_index
    )
    if not devices:
        raise InputError("devices: expected at least one, got none")
    batch_size, slices = count("batch_size", batch_size), count("slices", slices)
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
    train_step = make_train_step(
        model,
        optimizer,
        axis_name=_AXIS,
        slices=slices,
        average_decay=average_decay,
        label_smoothing=label_smoothing,
    )
    if strategy == "pmap":
        step = _by_pmap(train_step, devices)
    else:
        step = _by_shard_map(train_step, mesh)
    if jax.process_count() == 1:
        return _in_one_process(step, mesh, batch_size, strategy)
    return _in_several_processes(step, mesh, batch_size, strategy)


def _in_one_process(step, mesh, batch_size, strategy):
    n, device = mesh.size, mesh.devices[0]
    same, split = NamedSharding(mesh, _SAME), NamedSharding(mesh, _SPLIT)
    rows, whole = (partial(_rows, n), _whole) if strategy == "pmap" else (_as_is,) * 2

    def place(state):
        # A copy, because device_put may hand the caller's own buffers on, and
        # donation would then destroy what the caller still holds.
        state = jax.tree.map(lambda x: x.copy(), state)
        state = state._replace(carry=rows(state.carry))
        return jax.device_put(state, _fields(same, split))

    def shard(batch):
        return jax.device_put(rows(batch), split)

    def collect(state):
        state = jax.device_put(state, device)
        return state._replace(carry=whole(state.carry))

    def params(state):
        return jax.device_put(predicting(state), device)

    def lower(state, batch):
        carry, batch = jax.eval_shape(rows, (state.carry, batch))
        return step.lower(state._replace(carry=carry), batch)

    return DataParallel(slice(batch_size), step, place, shard, collect, params, lower)


def _in_several_processes(step, mesh, batch_size, strategy):
    """As in one process, between the devices of this one, which hold its part.

    That the part is one of an array over all processes is then said, and nothing is
    sent. ``pmap`` takes and returns the part, and it is said for `collect` alone.
    """
    local = mesh.local_mesh
    each = batch_size // mesh.size
    first = list(mesh.devices).index(local.devices[0])
    mine = slice(first * each, (first + local.size) * each)
    own = _in_one_process(step, local, local.size * each, strategy)
    merge = jax.jit(_whole, out_shardings=NamedSharding(mesh, _SPLIT))

    def everywhere(state):
        return host_local_array_to_global_array(state, mesh, _fields(_SAME, _SPLIT))

    def place(state):
        carry = jax.tree.map(lambda x: x[mine], state.carry)
        state = own.place(state._replace(carry=carry))
        return state if strategy == "pmap" else everywhere(state)

    def shard(batch):
        batch = own.shard(batch)
        if strategy == "pmap":
            return batch
        return host_local_array_to_global_array(batch, mesh, _SPLIT)

    def pmapped(state, batch):
        # pmap would wait for a key that the step before returns, to look at it.
        after, metrics = step(state, batch)
        return after._replace(key=state.key), metrics

    def collect(state):
        if strategy == "sharded":
            return state
        state = everywhere(state)
        return state._replace(carry=merge(state.carry))

    def params(state):
        return jax.tree.map(lambda x: x.addressable_data(0), predicting(state))

    def lower(state, batch):
        raise NotImplementedError("the step is lowered in a process that is alone")

    return DataParallel(
        mine,
        pmapped if strategy == "pmap" else step,
        place,
        shard,
        collect,
        params,
        lower,
    )


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


def _by_shard_map(train_step, mesh):
    same, split = NamedSharding(mesh, _SAME), NamedSharding(mesh, _SPLIT)
    specs, shardings = _fields(_SAME, _SPLIT), _fields(same, split)
    mapped = jax.shard_map(
        train_step,
        mesh=mesh,
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
    return TrainState(*[same] * len(TrainState._fields))._replace(carry=split)


def _rows(n, tree):
    """[B, …] -> [n, B / n, …], one row a device."""
    return jax.tree.map(lambda x: x.reshape(n, x.shape[0] // n, *x.shape[1:]), tree)


def _whole(tree):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _as_is(tree):
    return tree
