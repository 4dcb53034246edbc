"""Backends within `jax.shard_map`: sums over devices come out as JAX has them."""

from functools import partial

import contracts
import jax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxtext as jt


@pytest.mark.parametrize("symbols", [False, True], ids=["floats", "symbols"])
@pytest.mark.parametrize("backend", ["fused", "scan"])
def test_gradients_within_shard_map(backend, symbols):
    cell = jt.stack(jt.lstm(4), jt.gru(3))
    params, _, xs = contracts.make(cell, contracts.Case(batch=8), symbols=symbols)
    resets = contracts.Case(batch=8).resets()

    def loss(params, xs, resets):
        state = cell.initial_state(xs.shape[:1])  # the same on every device
        final, ys = jt.unroll(cell, params, state, xs, resets=resets, backend=backend)
        return contracts.total((final, ys))

    mesh = jax.make_mesh((8,), ("data",))
    specs = P(), P("data"), P("data")

    @jax.jit
    @partial(jax.shard_map, mesh=mesh, in_specs=specs, out_specs=P())
    def gradient(params, xs, resets):
        value, gradient = jax.value_and_grad(loss)(params, xs, resets)
        return jax.lax.psum(value, "data"), gradient

    alone = jax.value_and_grad(loss)(params, xs, resets)
    operands = jax.device_put(
        (params, xs, resets), tuple(NamedSharding(mesh, spec) for spec in specs)
    )
    contracts.assert_close(gradient(*operands), alone, 5e-5)
