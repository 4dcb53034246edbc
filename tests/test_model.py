"""The language model against its equations, and what a step has to agree with."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError

V = 7
IDS = jnp.array([[3, 1, 4, 1, 5], [2, 6, 5, 3, 5]])
KEY = jax.random.key(0)


def made(cell, **options):
    model = jt.LanguageModel(cell, V, **options)
    variables = model.init(KEY, model.initial_state((2,)), IDS)
    return model, variables


def read(model, variables, **options):
    return model.apply(variables, model.initial_state((2,)), IDS, **options)[1]


def test_embedding_goes_into_the_cell():
    model, variables = made(jt.lstm(4), embedding=3)
    params = variables["params"]
    assert params["embedding"].shape == (V, 3)
    assert params["recurrent"]["kernel"].shape == (3, 16)
    cell = jt.lstm(4)
    xs = params["embedding"][IDS]
    _, hs = jt.unroll(cell, params["recurrent"], cell.initial_state((2,)), xs)
    expected = hs @ params["output"]["kernel"] + params["output"]["bias"]
    np.testing.assert_allclose(read(model, variables), expected, rtol=1e-6, atol=1e-6)


def test_tied_logits_are_products_with_the_embedding():
    model, variables = made(jt.stack(jt.lstm(4), jt.gru(6)), tied=True)
    params = variables["params"]
    assert params["embedding"].shape == (V, 6)
    assert "output" not in params
    params["bias"] = jnp.arange(V, dtype=jnp.float32)
    cell = jt.stack(jt.lstm(4), jt.gru(6))
    xs = params["embedding"][IDS]
    _, hs = jt.unroll(cell, params["recurrent"], cell.initial_state((2,)), xs)
    expected = hs @ params["embedding"].T + jnp.arange(V)
    np.testing.assert_allclose(read(model, variables), expected, rtol=1e-5, atol=1e-6)


def test_products_are_as_many_as_symbols():
    def rows(length):
        """Of the widest product with the input kernel, ``[…, 3] @ [3, 16]``."""
        model = jt.LanguageModel(jt.lstm(4), V, embedding=3)
        ids, start = jnp.zeros((2, length), int), model.initial_state((2,))
        variables = model.init(KEY, start, ids)
        text = jax.jit(model.apply).lower(variables, start, ids).as_text()
        products = re.findall(r"tensor<([\dx]+)x3xf32>, tensor<3x16xf32>\)", text)
        return max(np.prod([int(n) for n in x.split("x")]) for x in products)

    assert rows(length=3) == 6
    assert rows(length=4) == V
    assert rows(length=50) == V


def test_tied_has_one_width():
    with pytest.raises(ValueError, match=r"the width of the cell's output, 4, got 3"):
        made(jt.lstm(4), tied=True, embedding=3)


@pytest.mark.parametrize(
    "options",
    [{}, {"embedding": 3}, {"tied": True}, {"tied": True, "frequent": (3, 0, 5)}],
)
def test_steps_are_a_pass(options):
    model, variables = made(jt.stack(jt.gru(4), jt.dropout(0.5)), **options)
    whole = read(model, variables)
    state = model.initial_state((2,))
    for t in range(IDS.shape[1]):
        state, logits = model.apply(variables, state, IDS[:, t], method="step")
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-5, atol=1e-6)


def test_weights_are_dropped_with_noise_alone_one_mask_for_all():
    model, variables = made(jt.lstm(64), weight_drop=0.5)
    plain = jt.LanguageModel(jt.lstm(64), V)
    np.testing.assert_array_equal(read(model, variables), read(plain, variables))

    alike = jnp.stack([IDS[0], IDS[0]])
    state = model.initial_state((2,))
    _, logits = model.apply(
        variables, state, alike, rngs={"dropout": KEY}, streams=jnp.array([0, 5])
    )
    np.testing.assert_array_equal(logits[0], logits[1])
    assert not np.allclose(logits, read(plain, variables)[:1], atol=1e-4)


def test_dropped_weights_leave_other_noise_as_it_was():
    cell = jt.stack(jt.lstm(4), jt.dropout(0.5))
    model, variables = made(cell, weight_drop=1e-9)  # drops nothing
    plain = jt.LanguageModel(cell, V)
    noisy = {"rngs": {"dropout": KEY}}
    np.testing.assert_allclose(
        read(model, variables, **noisy), read(plain, variables, **noisy), rtol=1e-6
    )


@pytest.mark.parametrize("options", [{"embedding": 3}, {"tied": True}])
def test_bfloat16_keeps_parameters_and_logits_float32(options):
    cell = jt.lstm(4, dtype=jnp.bfloat16)
    model, variables = made(cell, dtype=jnp.bfloat16, **options)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert read(model, variables).dtype == jnp.float32


@pytest.mark.parametrize("options", [{}, {"embedding": 3}, {"tied": True}])
def test_a_padded_sequence_is_read_as_it_is_alone(options):
    model, variables = made(jt.stack(jt.lstm(4), jt.gru(4)), **options)
    padded = jnp.array([[3, 1, 4, -9, 99], [2, 6, 5, 3, 5]])
    start = model.initial_state((2,))
    lengths = jnp.array([3, 5])
    state, logits = model.apply(variables, start, padded, lengths=lengths)
    for row, length in enumerate((3, 5)):
        alone = padded[row : row + 1, :length]
        expected = model.apply(variables, model.initial_state((1,)), alone)
        found = jax.tree.map(lambda x, row=row: x[row : row + 1], (state, logits))
        found = found[0], found[1][:, :length]
        for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"embedding": 3}, {"tied": True}])
def test_losses_are_those_of_the_logits(options):
    model, variables = made(jt.stack(jt.gru(4), jt.dropout(0.5)), **options)
    targets, noise = IDS[::-1, -3:], {"rngs": {"dropout": KEY}}
    given = {"lengths": jnp.array([5, 3]), "streams": jnp.array([4, 2]), **noise}
    state, losses = model.apply(variables, None, IDS, targets, method="losses", **given)
    expected, logits = model.apply(variables, None, IDS, last=3, **given)
    jax.tree.map(np.testing.assert_array_equal, state, expected)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3), (2, 6), (3,)])
def test_targets_belong_to_the_rows(shape):
    model, variables = made(jt.gru(4))
    with pytest.raises(InputError, match=r"targets: expected the rows of ids"):
        model.apply(variables, None, IDS, jnp.zeros(shape, int), method="losses")


FREQUENT = {"frequent": (3, 0, 5)}
ADAPTIVE = pytest.mark.parametrize(
    "options", [FREQUENT, FREQUENT | {"embedding": 3}, FREQUENT | {"tied": True}]
)


@ADAPTIVE
def test_an_adaptive_softmax_is_one_distribution_by_id(options):
    """Checked against its equations, with the rows of each symbol looked up by hand."""
    model, variables = made(jt.gru(4), **options)
    params, xs = variables["params"], IDS
    if options.get("tied"):
        xs = params["embedding"][jnp.array([1, 4, 5, 0, 6, 2, 7])[IDS]]
    elif "embedding" in options:
        xs = params["embedding"][IDS]
    _, hs = jt.unroll(jt.gru(4), params["recurrent"], None, xs)
    if options.get("tied"):
        z = hs @ params["embedding"].T + params["bias"]
    else:
        z = hs @ params["output"]["kernel"] + params["output"]["bias"]
    assert z.shape[-1] == V + 1
    first, rare = jax.nn.softmax(z[..., :4]), jax.nn.softmax(z[..., 4:])
    expected = jnp.zeros((*IDS.shape, V))
    for row, symbol in enumerate((3, 0, 5)):
        expected = expected.at[..., symbol].set(first[..., row])
    for row, symbol in enumerate((1, 2, 4, 6)):
        expected = expected.at[..., symbol].set(first[..., 3] * rare[..., row])
    found = jnp.exp(read(model, variables))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)


@ADAPTIVE
def test_losses_of_an_adaptive_softmax_are_those_of_its_logits(options):
    model, variables = made(jt.gru(4), **options)

    def ours(params):
        return model.apply({"params": params}, None, IDS, IDS, method="losses")[1].sum()

    def expected(params):
        _, logits = model.apply({"params": params}, None, IDS)
        return optax.softmax_cross_entropy_with_integer_labels(logits, IDS).sum()

    params = variables["params"]
    found, wanted = (jax.value_and_grad(f)(params) for f in (ours, expected))
    for a, b in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frequent", [(1, 1), (0, V), (-1,), tuple(range(V))])
def test_frequent_symbols_are_some_of_all(frequent):
    with pytest.raises(
        InputError, match=rf"frequent: expected fewer than {V} distinct"
    ):
        made(jt.gru(4), frequent=frequent)
