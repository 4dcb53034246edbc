"""The hand-derived backward pass is the derivative of the step, in float64."""

import contracts
import derivatives
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import scalar, scans
from jax.test_util import check_grads

import jaxtext as jt
from jaxtext.kernels.fused import backward, chunks, forward

CELLS = {
    "rnn": jt.rnn,
    "lstm": jt.lstm,
    "gru": jt.gru,
    "layer_norm_rnn": jt.layer_norm_rnn,
    "layer_norm_lstm": jt.layer_norm_lstm,
    "layer_norm_gru": jt.layer_norm_gru,
}
LENGTHS = np.array([4, 0, 7])
RESETS = np.arange(7) % 3 == np.arange(3)[:, None]
OPTIONS = {
    "plain": {},
    "lengths": {"lengths": LENGTHS},
    "resets": {"resets": RESETS},
    "everything": {"lengths": LENGTHS, "resets": RESETS, "reverse": True},
    "gates again": {"lengths": LENGTHS, "resets": RESETS, "remat": "gates"},
    "chunks": {"lengths": LENGTHS, "resets": RESETS, "remat": 3, "reverse": True},
}


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def make(name, symbols=False, batch=(3,)):
    cell = CELLS[name](4, dtype=jnp.float64, param_dtype=jnp.float64)
    params, state, xs = contracts.make(cell, symbols=symbols)
    return cell, params, state, xs


@pytest.mark.everyday("options symbols", "name")
@pytest.mark.parametrize("symbols", [False, True], ids=["floats", "symbols"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", CELLS)
def test_fused_is_autodiff(name, options, symbols, float64):
    derivatives.assert_first("fused", 1e-10, *make(name, symbols), **OPTIONS[options])


@pytest.mark.everyday(name=("gru",))
@pytest.mark.parametrize("name", CELLS)
def test_second_order(name, float64):
    cell, params, state, xs = make(name)
    loss = jax.jit(scalar(cell, backend="fused", **OPTIONS["everything"]))
    check_grads(loss, (params, state, xs), order=2, modes=["rev"])


@pytest.mark.everyday("options symbols", "name")
@pytest.mark.parametrize(
    ("options", "symbols"),
    [("plain", False), ("plain", True), ("gates again", False), ("chunks", True)],
)
@pytest.mark.parametrize("name", CELLS)
def test_second_order_is_that_of_the_scan(name, options, symbols, float64):
    derivatives.assert_second("fused", 1e-9, *make(name, symbols), **OPTIONS[options])


def test_forward_mode_is_refused_and_scan_serves_it():
    cell = jt.gru(2)
    params, state, xs = contracts.make(cell)
    along = (params, state, xs)
    with pytest.raises(ValueError, match="write backend='scan' in place of 'fused'"):
        jax.jvp(scalar(cell, backend="fused"), along, along)
    jax.jvp(scalar(cell, backend="scan"), along, along)


@pytest.mark.everyday("name", "param_dtype")
@pytest.mark.parametrize("param_dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", CELLS)
def test_bfloat16_keeps_its_types_and_is_near(name, param_dtype):
    cell = CELLS[name](8, dtype=jnp.bfloat16, param_dtype=param_dtype)
    params, state, xs = contracts.make(cell)

    def run(backend):
        gradient = jax.jit(jax.grad(scalar(cell, backend=backend), (0, 1, 2)))
        outputs = jt.unroll(cell, params, state, xs, backend=backend)
        return outputs, gradient(params, state, xs)

    contracts.assert_near(run("fused"), run("scan"))


@pytest.mark.everyday("name", "at_once", "steps")
@pytest.mark.parametrize("steps", [1, 3, 7])
@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_chunks_change_nothing(name, at_once, steps, float64, monkeypatch):
    monkeypatch.setattr(forward, "_is_at_once", lambda *_: at_once)
    for module in (forward, backward):
        monkeypatch.setattr(module, "chunk_length", lambda *_: steps)
    cell, params, state, xs = make(name)
    found, expected = (
        jax.jit(
            jax.grad(scalar(cell, backend=backend, **OPTIONS["everything"]), (0, 1, 2))
        )(params, state, xs)
        for backend in ("fused", "scan")
    )
    contracts.assert_close(found, expected, 1e-10)
    found, expected = (
        jt.unroll(cell, params, state, xs, backend=backend, **OPTIONS["everything"])
        for backend in ("fused", "scan")
    )
    contracts.assert_close(found, expected, 1e-10)


@pytest.mark.parametrize("backend", ["fused", "scan"])
def test_no_loop_over_steps_sums_weight_gradients(backend):
    """What the backward pass is for: they are products over a whole chunk."""
    cell = jt.lstm(4)
    params, state, xs = contracts.make(cell)
    program = jax.make_jaxpr(jax.grad(scalar(cell, backend=backend)))
    loops = list(scans(program(params, state, xs).jaxpr))
    assert len(loops) == (3 if backend == "fused" else 2)  # over chunks, over steps
    from_loops = {v.aval.shape for v in loops[-1].outvars}
    weights = {leaf.shape for leaf in jax.tree.leaves(params)}
    assert bool(weights & from_loops) == (backend == "scan")


@pytest.mark.everyday(name=("lstm",))
@pytest.mark.parametrize("name", CELLS)
def test_nothing_to_walk(name):
    cell = CELLS[name](4)
    for batch, length in [((3,), 0), ((0,), 7)]:
        params = cell.init(jax.random.key(0), 5)
        state, xs = cell.initial_state(batch), jnp.ones((*batch, length, 5))
        found, expected = (
            jax.grad(scalar(cell, backend=backend), (0, 1, 2))(params, state, xs)
            for backend in ("fused", "scan")
        )
        contracts.assert_close(found, expected)


@pytest.mark.parametrize(
    ("length", "most", "chunk"),
    [(7, 0, 1), (50, 30, 50), (100, 30, 25), (101, 30, 30)],
)
def test_chunks_divide_the_sequence_where_they_can(length, most, chunk):
    assert chunks.chunk_length(length, most) == chunk
