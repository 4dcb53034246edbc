"""The scan whose weight gradients wait has the derivative of the plain one."""

import contracts
import derivatives
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxtext as jt
from jaxtext.kernels import autodiff
from jaxtext.kernels.autodiff import backward, forward
from jaxtext.kernels.products import multiply

H = 4
CELLS = {
    "gru, reset before": lambda **t: jt.gru(H, reset_after=False, **t),
    "coupled_lstm": lambda **t: jt.coupled_lstm(H, **t),
    "peephole_lstm": lambda **t: jt.peephole_lstm(H, **t),
    "projected_lstm": lambda **t: jt.projected_lstm(H, 3, **t),
    "minimal_gated_unit": lambda **t: jt.minimal_gated_unit(H, **t),
    "mogrifier": lambda **t: _mogrifier(jt.peephole_lstm(H, **t)),
    "zoneout": lambda **t: jt.zoneout(jt.gru(H, **t), 0.3),
    "recurrent_dropout": lambda **t: jt.recurrent_dropout(
        jt.zoneout(_mogrifier(jt.lstm(H, **t)), 0.3), 0.3
    ),
    "rnn": lambda **t: jt.zoneout(jt.rnn(H, **t), 0.3),
    "without biases": lambda **t: jt.zoneout(jt.lstm(H, use_bias=False, **t), 0.3),
}
LENGTHS = np.array([4, 0, 7])
RESETS = np.arange(7) % 3 == np.arange(3)[:, None]
OPTIONS = {
    "plain": {},
    "everything": {"lengths": LENGTHS, "resets": RESETS, "reverse": True},
    "sums again": {"lengths": LENGTHS, "resets": RESETS, "remat": "gates"},
    "chunks": {"lengths": LENGTHS, "resets": RESETS, "remat": 3, "reverse": True},
}


def _mogrifier(cell):
    param_dtype = cell.init(jax.random.key(0), 1)["kernel"].dtype
    return jt.mogrifier(cell, 3, param_dtype=param_dtype)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def make(name, symbols=False):
    cell = CELLS[name](dtype=jnp.float64, param_dtype=jnp.float64)
    return cell, *contracts.make(cell, symbols=symbols)


def scalar(cell, **options):
    return derivatives.scalar(cell, key=jax.random.key(3), **options)


@pytest.mark.everyday("options symbols", "name")
@pytest.mark.parametrize("symbols", [False, True], ids=["floats", "symbols"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", CELLS)
def test_it_is_autodiff_of_the_scan(name, options, symbols, float64):
    noise = {"key": jax.random.key(3)}
    operands = make(name, symbols)
    derivatives.assert_first("fused", 1e-10, *operands, **noise, **OPTIONS[options])


@pytest.mark.everyday(name=("peephole_lstm",))
@pytest.mark.parametrize("name", CELLS)
def test_second_order(name, float64):
    cell, params, state, xs = make(name)
    loss = jax.jit(scalar(cell, backend="fused", **OPTIONS["everything"]))
    check_grads(loss, (params, state, xs), order=2, modes=["rev"])


@pytest.mark.everyday("options symbols", thorough=["name symbols"])
@pytest.mark.parametrize(
    ("options", "symbols"),
    [("plain", False), ("plain", True), ("sums again", False), ("chunks", True)],
)
@pytest.mark.parametrize("name", CELLS)
def test_second_order_is_that_of_the_scan(name, options, symbols, float64):
    noise = {"key": jax.random.key(3)}
    operands = make(name, symbols)
    derivatives.assert_second("fused", 1e-9, *operands, **noise, **OPTIONS[options])


@pytest.mark.everyday("param_dtype")
@pytest.mark.parametrize("param_dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", CELLS)
def test_bfloat16_keeps_its_types_and_is_near(name, param_dtype):
    cell = CELLS[name](dtype=jnp.bfloat16, param_dtype=param_dtype)
    params, state, xs = contracts.make(cell)

    def run(backend):
        loss = scalar(cell, backend=backend)
        return jax.jit(jax.grad(loss, (0, 1, 2)))(params, state, xs)

    contracts.assert_near(run("fused"), run("scan"))


@pytest.mark.everyday("steps hoisted", thorough=["name hoisted"])
@pytest.mark.parametrize("steps", [1, 3, 7])
@pytest.mark.parametrize("hoisted", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_neither_chunks_nor_hoisting_change_anything(
    name, hoisted, steps, float64, monkeypatch
):
    monkeypatch.setattr(forward, "_is_hoisted", lambda *_: hoisted)
    monkeypatch.setattr(backward, "chunk_length", lambda *_: steps)
    cell, params, state, xs = make(name)

    def gradient(backend):
        loss = scalar(cell, backend=backend, **OPTIONS["everything"])
        return jax.jit(jax.grad(loss, (0, 1, 2)))(params, state, xs)

    contracts.assert_close(gradient("fused"), gradient("scan"), 1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_no_loop_over_steps_sums_weight_gradients(name):
    cell = CELLS[name]()
    params, state, xs = contracts.make(cell)

    def sums_weights(backend):
        program = jax.make_jaxpr(jax.grad(scalar(cell, backend=backend)))
        *_, innermost = derivatives.scans(program(params, state, xs).jaxpr)
        carried = {v.aval.shape for v in innermost.outvars}
        weights = {leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2}
        return bool(weights & carried)

    assert sums_weights("scan")
    assert not sums_weights("fused")


def test_a_step_of_ones_own_need_only_hand_its_products_on(float64):
    """Also by a part of a matrix, and with one that is used in other ways besides."""

    def init(key, input_size):
        w = jax.random.normal(key, (input_size, 2 * H))
        return {"w": w, "u": jnp.eye(H) / 2, "b": jnp.ones(H), "c": jnp.ones(())}

    def initial_state(batch_shape):
        return jnp.ones((*batch_shape, H))

    def step(params, state, x, noise=None, multiply=multiply):
        del noise
        u, dtype = params["u"], state.dtype
        a = multiply((x, params["w"][:, :H]), (state, u.T), dtype=dtype)
        b = multiply((jnp.sin(a), u @ u), bias=params["b"], dtype=dtype)
        c = multiply((b, params["w"][:H, H:]), dtype=dtype)
        h = jnp.tanh(c * params["c"] + u.sum(0) * x.sum(-1, keepdims=True))
        return h, jnp.concatenate([h, a], -1)

    cell = jt.Cell(
        init, initial_state, step, backends=autodiff.backends(step, initial_state)
    )
    operands = contracts.make(cell)
    for options in OPTIONS.values():
        found, expected = (
            jax.grad(scalar(cell, backend=backend, **options), (0, 1, 2))(*operands)
            for backend in ("fused", "scan")
        )
        contracts.assert_close(found, expected, 1e-10)


def test_around_a_step_that_does_not_hand_its_products_on_there_is_only_the_scan():
    inner = jt.lstm(H)

    def step(params, state, x, noise=None):
        return jt.lstm(H).step(params, state, x, noise)

    foreign = jt.with_step(inner, step)
    for around in (jt.mogrifier(foreign), jt.zoneout(jt.zoneout(foreign, 0.1), 0.1)):
        assert around.backends == ()
    for around in (jt.mogrifier(inner), jt.zoneout(jt.zoneout(inner, 0.1), 0.1)):
        assert [way.name for way in around.backends] == ["fused"]


@pytest.mark.parametrize("batch", [(0,), ()])
def test_batches_without_sequences_and_without_axes(batch):
    cell = CELLS["mogrifier"]()
    params = cell.init(jax.random.key(0), 5)
    state, xs = cell.initial_state(batch), jnp.ones((*batch, 7, 5))
    found, expected = (
        jax.grad(scalar(cell, backend=backend), (0, 1, 2))(params, state, xs)
        for backend in ("fused", "scan")
    )
    contracts.assert_close(found, expected)


def test_what_a_function_reads_is_found_through_what_it_computes_in_vain():
    def function(a, b, c):
        unused = a * b
        return jnp.sin(c), (unused + 1, b)[1]

    assert backward._read(function, 1.0, 2.0, 3.0) == (False, True, True)
