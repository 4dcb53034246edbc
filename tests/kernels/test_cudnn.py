"""cuDNN's LSTM is the scan, through the packing, lengths and rolls that a GPU gets.

No GPU is needed: there `jax.experimental.rnn` runs cuDNN, and here, on the same
operands, its own reference. That the call is made is read off the traced program.
"""

from functools import partial

import contracts
import derivatives
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import scalar
from jax.experimental import rnn
from jax.extend.core import jaxprs_in_params

import jaxtext as jt
from jaxtext.kernels import cudnn
from jaxtext.kernels.gates import Weights
from jaxtext.types import Target
from jaxtext.walk import over_time

GPU = Target("gpu", "NVIDIA H100 80GB HBM3")
LENGTHS = np.array([4, 0, 7])
# Before the first step, twice in a row, before the last, and none in one sequence.
RESETS = np.zeros((3, 7), bool)
RESETS[0, [0, 2, 3]] = RESETS[1, [4, 6]] = True
OPTIONS = {
    "plain": {},
    "resets": {"resets": RESETS},
    "resets at the first step": {"resets": np.arange(7) == [[0]] * 3},
    "resets at every step": {"resets": np.ones((3, 7), bool)},
    "resets, lengths": {"resets": RESETS, "lengths": LENGTHS},
    "resets, lengths, backwards": {
        "resets": RESETS[:, ::-1],
        "lengths": LENGTHS,
        "reverse": True,
    },
    "resets, again": {"resets": RESETS, "remat": "gates"},
    "lengths": {"lengths": LENGTHS},
    "lengths, backwards": {"lengths": LENGTHS, "reverse": True},
    "again": {"lengths": LENGTHS, "remat": "gates"},
    "chunks": {"lengths": LENGTHS, "remat": 3, "reverse": True},
}
EVERYDAY = (
    *("plain", "lengths, backwards", "again", "chunks"),
    *("resets at the first step", "resets, lengths, backwards"),
)


@pytest.fixture
def float64():
    """There no rounding hides an error, though cuDNN itself has float32 alone."""
    with jax.enable_x64(True):
        yield


def make(symbols=False):
    """An LSTM in float64, or whatever the default type is."""
    dtype = jnp.result_type(float)
    cell = jt.lstm(4, dtype=dtype, param_dtype=dtype)
    return cell, *contracts.make(cell, symbols=symbols)


@pytest.mark.everyday("options", "symbols", options=EVERYDAY)
@pytest.mark.parametrize("symbols", [False, True], ids=["floats", "symbols"])
@pytest.mark.parametrize("options", OPTIONS)
def test_cudnn_is_autodiff(options, symbols, float64):
    derivatives.assert_first("cudnn", 1e-12, *make(symbols), **OPTIONS[options])


def test_weights_are_where_unpacking_finds_them():
    weights = Weights(*map(jnp.asarray, (np.eye(5, 12), np.eye(3, 12), np.arange(12))))
    flat = cudnn.pack(weights)
    assert flat.shape == (rnn.get_num_params_in_lstm(5, 3, 1, False),)
    w, u, b, second = rnn.unpack_lstm_weights(flat, 5, 3, 1, False)
    found = w[0].T, u[0].T, b[0]
    for theirs, ours in zip(found, weights[:3], strict=True):
        np.testing.assert_array_equal(theirs, ours)
    assert not second[0].any()
    for back, ours in zip(
        cudnn.unpack(flat, (5, 3, 1, 0.0, False)), weights, strict=True
    ):
        assert (back is ours is None) or (back == ours).all()


@pytest.mark.everyday("batch", "reverse")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("batch", "length", "width", "hidden"), [(1, 1, 1, 1), (4, 6, 3, 9), (2, 9, 7, 2)]
)
def test_any_sizes(batch, length, width, hidden, reverse):
    cell = jt.lstm(hidden)
    params, state, xs = contracts.make(cell, contracts.Case(batch, length, width))
    options = {"lengths": np.arange(batch) % (length + 1), "reverse": reverse}
    found, expected = (
        jax.jit(
            jax.value_and_grad(scalar(cell, backend=backend, **options), (0, 1, 2))
        )(params, state, xs)
        for backend in ("cudnn", "scan")
    )
    contracts.assert_close(found, expected, 5e-6)


def test_weights_of_their_own_for_each_of_a_vmap(float64):
    cell, params, state, xs = make()
    params = jax.tree.map(lambda w: jnp.stack([w, 2 * w, -w]), params)

    def gradients(backend):
        loss = scalar(cell, backend=backend, lengths=np.array(5))
        gradient = jax.value_and_grad(loss, (0, 1, 2))
        return jax.jit(jax.vmap(gradient))(params, state, xs)

    contracts.assert_close(gradients("cudnn"), gradients("scan"), 1e-12)


def test_second_order_is_that_of_the_scan(float64):
    derivatives.assert_second("cudnn", 1e-9, *make(), **OPTIONS["chunks"])


@pytest.mark.parametrize("param_dtype", [jnp.float32, jnp.bfloat16])
def test_types_of_the_parameters_are_kept(param_dtype):
    cell = jt.lstm(4, param_dtype=param_dtype)
    params, state, xs = contracts.make(cell)
    gradients = (
        jax.jit(jax.grad(scalar(cell, backend=backend), (0, 1, 2)))(params, state, xs)
        for backend in ("cudnn", "scan")
    )
    contracts.assert_near(*gradients)


def calls(jaxpr):
    """Every call of cuDNN in a program, also within the functions that it calls."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("rnn_fwd", "rnn_bwd"):
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from calls(inner)


@pytest.mark.everyday("wrap", "options")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["forward", "backward"]),
        ({"lengths": LENGTHS}, ["forward", "backward"]),
        ({"remat": "gates"}, ["forward", "forward", "backward"]),
        # Segments that begin within a sequence have an input more, and leave no tape.
        (
            {"resets": RESETS},
            ["forward", "forward wider", "backward", "forward wider", "backward wider"],
        ),
    ],
)
@pytest.mark.parametrize("wrap", [jax.jit, jax.vmap], ids=["jit", "vmap"])
def test_a_gpu_gets_cudnn(wrap, options, expected, monkeypatch, pretend):
    pretend(cudnn, GPU)
    sizes = "compute_rnn_workspace_reserve_space_sizes"  # only cuDNN itself knows
    monkeypatch.setattr(rnn.gpu_rnn, sizes, lambda *_: (1, 2), raising=False)
    cell = jt.lstm(4)
    params, state, xs = contracts.make(cell)

    def gradients(state, xs):
        loss = scalar(cell, backend="cudnn", **options)
        return jax.grad(loss, (0, 1, 2))(params, state, xs)

    if wrap is jax.vmap:
        state, xs = jax.tree.map(lambda x: x[None], (state, xs))
    found = list(calls(jax.make_jaxpr(wrap(gradients))(state, xs).jaxpr))
    names = {"rnn_fwd": "forward", "rnn_bwd": "backward"}
    inputs = {5: "", 6: " wider"}
    assert expected == [
        names[call.primitive.name] + inputs[call.params["input_size"]] for call in found
    ]
    for call in found:
        assert call.params["hidden_size"] == 4
        assert (call.params["num_layers"], call.params["bidirectional"]) == (1, False)


def test_cudnn_never_gets_a_sequence_of_no_steps(monkeypatch):
    """It fails there: https://github.com/jax-ml/jax/issues/17966."""
    seen = []
    there = cudnn._there
    monkeypatch.setattr(
        cudnn,
        "_there",
        lambda call: jax.debug.callback(seen.append, call.lengths) or there(call),
    )
    cell = jt.lstm(4)
    params, state, xs = contracts.make(cell)
    jt.unroll(cell, params, state, xs, lengths=LENGTHS, backend="cudnn")
    jax.effects_barrier()
    assert seen[0].tolist() == [4, 1, 7]


@pytest.mark.parametrize(
    ("dtype", "device", "options", "reason"),
    [
        ("float32", GPU, {}, None),
        ("float32", GPU, {"symbols": 256}, None),
        ("float32", GPU, {"symbols": 50257}, "at most 4096 symbols, not 50257"),
        ("float32", GPU, {"resets": np.zeros((8, 3), bool)}, None),
        ("bfloat16", GPU, {}, None),
        ("float16", GPU, {}, None),
        ("float64", GPU, {}, "float32, not in float64"),
        ("float32", Target("gpu", "AMD Instinct MI300X"), {}, "NVIDIA"),
        ("float32", Target("tpu", "TPU v5e"), {}, "NVIDIA"),
    ],
)
def test_what_it_lacks(dtype, device, options, reason, float64):
    cell = jt.lstm(4, dtype=dtype)
    params = cell.init(jax.random.key(0), options.get("symbols", 5))
    xs = jnp.zeros((7, 3), int) if "symbols" in options else jnp.zeros((7, 3, 5))
    masks = jt.types.Masks(options.get("resets"))
    operands = cell, params, cell.initial_state((3,)), xs, masks, "cudnn", device
    if reason is None:
        assert jt.dispatch.choose(*operands).backend.name == "cudnn"
    else:
        with pytest.raises(ValueError, match=reason):
            jt.dispatch.choose(*operands)


def test_masks_may_have_holes():
    """Which lengths never make; a reset at a step that does not count still resets."""
    random = np.random.default_rng(0)
    cell = jt.lstm(4)
    params, state, xs = contracts.make(cell)
    xs = xs.swapaxes(0, 1)
    for _ in range(20):
        resets, valid = random.random((2, 7, 3)) < 0.4
        gaps = jnp.asarray(np.concatenate([resets, np.zeros((1, 3), bool)]))
        masks = jt.types.Masks(gaps, jnp.asarray(valid))
        found, expected = (
            jax.jit(partial(over_time, cell, backend=backend))(
                params, state, xs, masks, jt.types.Noise()
            )
            for backend in ("cudnn", "scan")
        )
        contracts.assert_close(found, expected)


def test_only_an_lstm_has_it():
    assert "cudnn" in {way.name for way in jt.lstm(4).backends}
    assert "cudnn" not in {way.name for way in jt.gru(4).backends}
