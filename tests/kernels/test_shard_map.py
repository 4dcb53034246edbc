"""Backends within `jax.shard_map`: sums over devices come out as JAX has them."""

from functools import partial

import contracts
import jax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxtext as jt

CASE = contracts.Case(batch=8)
CELL = jt.stack(jt.lstm(4), jt.dropout(0.3), jt.gru(3))
LSTMS = jt.stack(jt.lstm(4), jt.lstm(3))  # all that cuDNN has


def loss(backend, params, xs, resets, key=None, cell=CELL):
    start = cell.initial_state(xs.shape[:1])  # the same on every device
    options = {"resets": resets, "backend": backend, "key": key}
    return contracts.total(jt.unroll(cell, params, start, xs, **options))


def within_shard_map(function, *operands, specs):
    """The function's value and gradient, summed over eight devices."""
    mesh = jax.make_mesh((8,), ("data",))

    @jax.jit
    @partial(jax.shard_map, mesh=mesh, in_specs=specs, out_specs=P())
    def run(*operands):
        value, gradient = jax.value_and_grad(function)(*operands)
        return jax.lax.psum(value, "data"), gradient

    shardings = tuple(NamedSharding(mesh, spec) for spec in specs)
    return run(*jax.device_put(operands, shardings))


@pytest.mark.everyday("backend", "symbols")
@pytest.mark.parametrize("symbols", [False, True], ids=["floats", "symbols"])
@pytest.mark.parametrize("backend", ["fused", "scan", "cudnn"])
def test_a_batch_over_devices(backend, symbols):
    cell = LSTMS if backend == "cudnn" else CELL
    params, _, xs = contracts.make(cell, CASE, symbols=symbols)
    function = partial(loss, backend, cell=cell)
    operands, specs = (params, xs, CASE.resets()), (P(), P("data"), P("data"))
    found = within_shard_map(function, *operands, specs=specs)
    contracts.assert_close(found, jax.value_and_grad(function)(*operands), 5e-5)


@pytest.mark.parametrize("backend", ["fused", "scan"])
def test_only_resets_and_keys_differ_between_devices(backend):
    params, _, xs = contracts.make(CELL, contracts.Case(batch=1))
    resets, keys = CASE.resets(), jax.random.split(jax.random.key(3), 8)

    def function(params, xs, resets, keys):
        return loss(backend, params, xs, resets, keys[0])

    specs = P(), P(), P("data"), P("data")
    found = within_shard_map(function, params, xs, resets, keys, specs=specs)

    @jax.jit
    @jax.value_and_grad
    def one_by_one(params):
        def one(resets, key):
            return function(params, xs, resets[None], key[None])

        return jax.vmap(one)(resets, keys).sum()

    contracts.assert_close(found, one_by_one(params), 5e-5)
