"""Data parallelism. No other file knows about more than one device.

Each device holds all parameters and its share of the streams. Parameters, optimizer
state, key and step are replicated, so they are not sent again in each step.

There may be several processes with devices of their own (`jaxtext.runs.distributed`).
All processes take the same steps. Each reads its own rows of a batch and sends them to
its devices.

Each device runs the step on its share explicitly. Partitioning by the compiler, with
``jax.jit`` alone, would need less code, but it cannot divide a Pallas or cuDNN kernel.
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
from jaxtext.training.state import TrainState, copied, predicting
from jaxtext.training.step import Metrics, make_train_step
from jaxtext.types import Device, Params

_AXIS = "devices"
_SAME, _SPLIT = PartitionSpec(), PartitionSpec(_AXIS)


class DataParallel(NamedTuple):
    """A compiled training step on several devices.

    Attributes:
      rows: The rows of a batch that belong to this process: all, if it is the only one.
      step: ``(state, batch) -> (state, metrics)``. It takes what `place` and `shard`
        return. The given state is donated: its buffers are reused for the new one.
      place: Puts a state on the devices and divides its carry between them. Each
        process passes the same whole state.
      shard: Puts a batch on the devices and divides it between them. Each process
        passes its own rows, in the order of the batch.
      collect: Turns a placed state into one whose carry is ``[B, …]``, which does not
        depend on the number of devices. In a single process, the result is on one
        device. In several, it consists of global arrays: the carry is divided between
        the processes, and the rest is replicated. All processes have to call it.
      params: ``(state) -> params``, the parameters of a placed state to predict with:
        their average, if one is kept. They are on one device of this process, and no
        communication is needed. The next step donates them with the state.
      lower: ``(state, batch) -> jax.stages.Lowered``, the step ready to be compiled. It
        takes what `place` and `shard` take, or their shapes. The devices need not be
        there (``jax.experimental.topologies``). Only for a single process.
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
    """Compiles the training step for several devices, each with its share of the batch.

    Except for rounding, the result is that of one device: losses and gradients are
    summed over the devices and divided by the number of valid targets on all of them,
    and noise depends on stream and step, not on the device.

    Args:
      model: The model.
      optimizer: As for `make_train_step`. Its arguments are the same on every device.
      batch_size: ``B``, a multiple of the number of devices.
      devices: The devices. Default: all, including those of other processes. Each
        process must have the same number of them.
      slices: As for `make_train_step`; each device's share is divided.
      average_decay: As for `make_train_step`.
      label_smoothing: As for `make_train_step`.
      strategy: ``"pmap"`` uses `jax.pmap`; a placed carry and batch have the device
        axis in front. ``"sharded"`` uses `jax.shard_map` in `jax.jit`; they are global
        arrays ``[B, …]``. Both compute the same step.

    Returns:
      The step, with the functions that move states and batches to and from the devices.

    Raises:
      InputError: If the batch size is not a multiple of devices times slices, there is
        no such strategy, or a number is out of range.

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
    # Devices of one process stand together, so that its rows are one part of the batch.
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
            f"batch_size: expected a multiple of {unit}, for {n} devices with {slices} "
            f"slices each, got {batch_size}; use one such as "
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
        # A copy, because device_put may return the caller's own buffers, which the step
        # would then donate.
        state = copied(state)
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
    """As in one process, with the local devices and this process's part of the batch.

    The parts of all processes are then declared to be one global array, for which
    nothing is sent. ``pmap`` takes and returns the local part, so only `collect`
    declares it.
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
        # pmap would wait for the key that the previous step returned, to inspect it.
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
        raise NotImplementedError("lower: expected a single process, got several")

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
        # As in pmap. With the check, JAX would sum the gradient of replicated
        # parameters over the devices, and the step would do so again.
        check_vma=False,
    )
    return jax.jit(
        mapped,
        in_shardings=(shardings, split),
        out_shardings=(shardings, same),
        donate_argnums=0,
    )


def _fields(same, split):
    """One value for each field of a state: `split` for the carry, `same` for others."""
    return TrainState(*[same] * len(TrainState._fields))._replace(carry=split)


def _rows(n, tree):
    """[B, …] -> [n, B / n, …], one row for each device."""
    return jax.tree.map(lambda x: x.reshape(n, x.shape[0] // n, *x.shape[1:]), tree)


def _whole(tree):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _as_is(tree):
    return tree
