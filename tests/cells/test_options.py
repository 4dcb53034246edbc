"""Biases, activations, initializers and merges, as options of the cells."""

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers

import jaxtext as jt
from jaxtext.interop.layers import layers_of

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}
CASE = contracts.Case()


@pytest.mark.parametrize("backend", ["scan", "fused"])
@pytest.mark.parametrize("name", CELLS)
def test_without_biases_is_with_biases_of_zero(name, backend):
    cell, plain = CELLS[name](4, use_bias=False), CELLS[name](4)
    params, state, xs = contracts.make(cell, CASE)
    assert sorted(params) == ["kernel", "recurrent_kernel"]
    zeros = jax.tree.map(jnp.zeros_like, plain.init(jax.random.key(0), contracts.D))

    def loss(params, cell):
        found = jt.unroll(cell, params, state, xs, backend=backend)
        return contracts.total(found), found

    value = jax.value_and_grad(loss, has_aux=True)
    (_, found), gradient = value(params, cell)
    (_, expected), with_biases = value(zeros | params, plain)
    contracts.assert_close(found, expected)
    contracts.assert_close(gradient, {k: with_biases[k] for k in gradient}, 1e-5)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_kernels_without_biases(name):
    cell = CELLS[name](4, use_bias=False)
    contracts.neither_backend_nor_remat_changes_anything(
        cell, contracts.Case(backend="mosaic")
    )


def test_activations_take_the_place_of_tanh():
    x, relu = jnp.array([[0.5, -2.0]]), jax.nn.relu
    eye = {"kernel": jnp.eye(2), "recurrent_kernel": jnp.zeros((2, 2))}
    cell = jt.rnn(2, activation=relu, use_bias=False)
    _, y = cell.step(eye, None, x)
    np.testing.assert_array_equal(y, [[0.5, 0]])
    for make, gates in ((jt.lstm, 4), (jt.gru, 3)):
        cell = make(2, activation=relu, use_bias=False)
        params = {k: jnp.tile(v, gates) for k, v in eye.items()}
        state, y = cell.step(params, None, x)
        sigmoid = jax.nn.sigmoid(x)
        if make is jt.lstm:
            np.testing.assert_allclose(state.c, sigmoid * relu(x))
            np.testing.assert_allclose(y, sigmoid * relu(state.c))
        else:
            np.testing.assert_allclose(y, (1 - sigmoid) * relu(x))


@pytest.mark.parametrize("name", CELLS)
def test_a_derivative_by_hand_is_not_for_other_activations(name):
    cell = CELLS[name](4, activation=jax.nn.relu)
    params, state, xs = contracts.make(cell, CASE)
    (reason,) = jt.explain_backend(cell, params, state, xs)
    assert reason.startswith("scan")
    assert "(fused: its derivative is written for activation=jnp.tanh)" in reason
    with pytest.raises(
        ValueError, match=r"'fused' cannot do this .* activation=jnp.tanh"
    ):
        jt.unroll(cell, params, state, xs, backend="fused")
    assert CELLS[name](4, activation=jax.lax.tanh) is CELLS[name](4)


@pytest.mark.parametrize("name", CELLS)
def test_initializers_draw_each_gate_on_its_own(name):
    drawn = []

    def noting(key, shape, dtype=jnp.float32, out_sharding=None):
        del out_sharding
        drawn.append(shape)
        return jax.random.normal(key, shape, dtype)

    options = dict.fromkeys(
        ("kernel_init", "recurrent_kernel_init", "bias_init"), noting
    )
    cell, plain = CELLS[name](4, **options), CELLS[name](4)
    params = cell.init(jax.random.key(0), 5)
    expected = plain.init(jax.random.key(0), 5)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, expected)
    gates = params["kernel"].shape[1] // 4
    assert drawn.count((5, 4)) == drawn.count((4, 4)) == gates
    assert drawn.count((4,)) == gates + (name == "gru")
    columns = np.concatenate([x.reshape(-1) for x in jax.tree.leaves(params)])
    assert len(set(columns.tolist())) == len(columns)  # nothing is drawn twice


def test_biases_start_where_they_are_told():
    bias = jt.lstm(3).init(jax.random.key(0), 2)["bias"]
    np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], 3))
    cell = jt.lstm(3, bias_init=initializers.constant(2.0))
    np.testing.assert_array_equal(cell.init(jax.random.key(0), 2)["bias"], 2)
    for wrong in ({"use_bias": False}, {"bias_init": initializers.zeros}):
        with pytest.raises(ValueError, match="chrono: it says how biases start"):
            jt.lstm(3, chrono=9, **wrong)
    with pytest.raises(
        ValueError, match="kernel_init: expected a function, got 'zeros'"
    ):
        jt.lstm(3, kernel_init="zeros")


MERGES = {
    "concatenate": lambda a, b: np.concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
}


@pytest.mark.parametrize("merge", [*MERGES, jnp.maximum])
def test_both_directions_become_one(merge):
    cell = jt.bidirectional(jt.gru(4), jt.rnn(4), merge=merge)
    params, state, xs = contracts.make(cell, CASE)
    lengths = CASE.lengths()
    final, ys = jt.unroll(cell, params, state, xs, lengths=lengths)
    ahead, a = jt.unroll(jt.gru(4), params["forward"], state[0], xs, lengths=lengths)
    back, b = jt.unroll(
        jt.rnn(4), params["backward"], state[1], xs, lengths=lengths, reverse=True
    )
    merged = MERGES[merge] if isinstance(merge, str) else merge
    contracts.assert_close((final, ys), ((ahead, back), jnp.asarray(merged(a, b))))
    assert cell.output_size in (None, ys.shape[-1])


def test_what_a_function_makes_of_padding_is_zero():
    cell = jt.bidirectional(jt.gru(4), merge=lambda a, b: a + b + 1)
    params, state, xs = contracts.make(cell, CASE)
    contracts.nan_in_padding_never_leaks(cell, CASE)
    _, ys = jt.unroll(cell, params, state, xs, lengths=[1, 0, 7])
    assert not ys[1].any()
    assert not ys[0, 1:].any()
    assert ys[2].all()


def test_what_cannot_be_merged_is_refused():
    with pytest.raises(ValueError, match=r"merge: 'sum' expects .* width, got 4 and 3"):
        jt.bidirectional(jt.gru(4), jt.gru(3), merge="sum")
    with pytest.raises(
        ValueError, match=r"merge: expected 'concatenate', .*got 'concat'"
    ):
        jt.bidirectional(jt.gru(4), merge="concat")


@pytest.mark.parametrize(
    "cell",
    [
        jt.rnn(4, activation=jax.nn.relu),
        jt.lstm(4, activation=jnp.sin),
        jt.gru(4, use_bias=False),
        jt.bidirectional(jt.gru(4), merge="sum"),
        jt.bidirectional(jt.gru(4), merge=jnp.maximum),
    ],
)
def test_what_other_libraries_have_no_place_for_is_not_converted(cell):
    params = cell.init(jax.random.key(0), 5)
    with pytest.raises(ValueError, match=r"expected jt.rnn, jt.lstm or jt.gru, alone"):
        layers_of(cell, params)
