"""The kernels for GPU are the scan, interpreted; and Triton takes them as they are."""

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jaxtext as jt
from jaxtext.kernels.triton import operands
from jaxtext.types import Masks, Target
from jaxtext.versions import pallas_triton_is_deprecated

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}
GPU = Target("gpu", "NVIDIA H100 80GB HBM3")
OPTIONS = {
    "plain": {},
    "everything": {"masks": True, "reverse": True},
    "gates again": {"masks": True, "remat": "gates"},
    "chunks": {"masks": True, "remat": 3},
}
# (batch, length, input, hidden): within one tile, and more than one of either axis.
SIZES = [(1, 1, 1, 1), (3, 7, 5, 4), (17, 4, 3, 65), (5, 6, 2, 130)]


def gradients(cell, case, options, *operands):
    """The value of a scalar of all results, and its gradients."""
    options = dict(options)
    if options.pop("masks", False):
        lengths = np.arange(case.batch) * 3 % (case.length + 1)
        options |= {"lengths": lengths, "resets": case.resets()}

    def loss(params, state, xs):
        return contracts.total(case.unroll(cell, params, state, xs, **options))

    argnums = (0, 1, 2) if jnp.issubdtype(operands[-1].dtype, jnp.floating) else (0, 1)
    return jax.jit(jax.value_and_grad(loss, argnums))(*operands)


@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("rnn", "everything", 2),
        ("lstm", "everything", 2),
        ("gru", "everything", 2),
        ("lstm", "plain", 3),
        ("gru", "plain", 0),
        ("lstm", "gates again", 1),
        ("gru", "gates again", 1),
        ("rnn", "chunks", 1),
    ],
)
def test_triton_is_autodiff(name, options, sizes):
    *sizes, hidden = SIZES[sizes]
    with jax.enable_x64(True):
        cell = CELLS[name](hidden, dtype="float64", param_dtype="float64")
        case = contracts.Case(*sizes, "float64", "triton")
        arrays = contracts.make(cell, case)
        found, expected = (
            gradients(cell, case._replace(backend=way), OPTIONS[options], *arrays)
            for way in ("triton", "scan")
        )
        contracts.assert_close(found, expected, 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CELLS)
def test_types_that_a_gpu_has(name, dtype):
    cell = CELLS[name](20, dtype=dtype)
    case = contracts.Case(3, 7, 5, dtype)
    arrays = contracts.make(cell, case, symbols=name == "gru")
    found, expected = (
        gradients(cell, case._replace(backend=way), OPTIONS["everything"], *arrays)
        for way in ("triton", "scan")
    )
    case.assert_close(found, expected, times=10)


@pytest.mark.skipif(
    pallas_triton_is_deprecated(),
    reason="lowering is compiling too, for which the plugin for CUDA has to be there",
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CELLS)
def test_triton_takes_the_kernels(name, dtype, pretend):
    """Down to what a GPU's plugin compiles, which needs none to be there."""
    pretend(operands, GPU)
    cell = CELLS[name](72, dtype=dtype)
    case = contracts.Case(17, 7, 5, dtype, "triton")
    arrays = contracts.make(cell, case)

    def run(*arrays):
        return gradients(cell, case, OPTIONS["everything"], *arrays)

    traced = jax.jit(run).trace(*arrays)
    program = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert program.count("custom_call @__gpu$xla.gpu.triton") == 2


@pytest.mark.parametrize(
    ("name", "hidden", "dtype", "device", "reason"),
    [
        ("lstm", 128, "bfloat16", GPU, None),
        ("lstm", 96, "float32", GPU, None),
        ("lstm", 128, "float32", GPU, "256 KiB do not stay in the cache"),
        ("gru", 160, "bfloat16", GPU, None),
        ("gru", 192, "bfloat16", GPU, "216 KiB"),
        ("rnn", 256, "bfloat16", GPU, None),
        ("rnn", 8, "float16", GPU, "float32 and bfloat16, not in float16"),
        ("rnn", 8, "float32", Target("tpu", "TPU v5e"), "for GPU"),
    ],
)
def test_what_it_lacks(name, hidden, dtype, device, reason):
    cell = CELLS[name](hidden, dtype=dtype)
    params, state = cell.init(jax.random.key(0), 5), cell.initial_state((3,))
    asked = cell, params, state, jnp.zeros((7, 3, 5)), Masks(), "triton", device
    if reason is None:
        assert jt.dispatch.choose(*asked).backend.name == "triton"
    else:
        with pytest.raises(ValueError, match=reason):
            jt.dispatch.choose(*asked)


def test_within_shard_map_a_gpu_gets_the_kernels(pretend):
    """Where masks are the same on all devices, and where they differ."""
    pretend(operands, GPU)
    cell = jt.gru(4)
    params, _, xs = contracts.make(cell)
    mesh = jax.sharding.AbstractMesh((3,), ("data",), axis_types=(AxisType.Auto,))

    def loss(params, xs, resets):
        start = cell.initial_state(xs.shape[:1])
        lengths = jnp.full(xs.shape[:1], 5)
        options = {"lengths": lengths, "resets": resets, "backend": "triton"}
        return contracts.total(jt.unroll(cell, params, start, xs, **options))

    def run(params, xs, resets):
        value, gradients = jax.value_and_grad(loss)(params, xs, resets)
        return jax.lax.psum(value, "data"), gradients

    specs = P(), P("data"), P("data")
    run = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=P())
    program = jax.make_jaxpr(run)(params, xs, np.zeros((3, 7), bool))
    assert str(program).count("pallas_call[") == 2
