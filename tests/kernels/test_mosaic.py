"""The kernels for TPU, interpreted here: values and gradients of the float64 scan."""

from functools import partial

import contracts
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies

import jaxtext as jt
from jaxtext.kernels import deferred
from jaxtext.kernels.mosaic import grid, tiles

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}
NORMALISED = {
    "layer_norm_rnn": jt.layer_norm_rnn,
    "layer_norm_lstm": jt.layer_norm_lstm,
    "layer_norm_gru": jt.layer_norm_gru,
}
# Of the norm of each array.
TOLERANCE = {"float64": 1e-12, "float32": 3e-6, "bfloat16": 0.02}
# A deviation that is divided by may be as small as the rounding of few units. The scan
# in bfloat16, too, is farther from the one in float64 with layer norm.
FEWEST_NORMALISED, TIMES = 16, 5


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def outcome(make_cell, dtype, backend, arrays, options):
    """State, outputs, and gradients by parameters, state and floats, as float64."""
    cell = make_cell(dtype=dtype, param_dtype=dtype)
    symbols = jnp.issubdtype(arrays[2].dtype, jnp.integer)
    unroll = partial(jt.unroll, cell, backend=backend, **options)

    @jax.jit
    def run(*arrays):
        gradient = jax.grad(
            lambda *arrays: contracts.total(unroll(*arrays)), (0, 1, 2)[: 3 - symbols]
        )
        return unroll(*arrays), gradient(*arrays)

    return jax.tree.map(lambda x: np.asarray(x, np.float64), run(*arrays))


def assert_near_scan(make_cell, dtype, arrays, times=1, **options):
    """`arrays` are float64, but hold nothing that `dtype` cannot say."""
    expected = outcome(make_cell, "float64", "scan", arrays, options)
    like = make_cell(dtype=dtype, param_dtype=dtype).initial_state(())
    params, state, xs = arrays
    narrow = (
        jax.tree.map(lambda x: x.astype(dtype), params),
        jax.tree.map(lambda x, of: x.astype(of.dtype), state, like),
        xs if jnp.issubdtype(xs.dtype, jnp.integer) else xs.astype(dtype),
    )
    found = outcome(make_cell, dtype, "mosaic", narrow, options)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(a - b) <= times * TOLERANCE[dtype] * max(
            np.linalg.norm(b), b.size**0.5
        )


def draw(name, sizes, dtype, *, symbols=False):
    """A cell, and float64 arrays for it that `dtype` can say."""
    batch, length, hidden = sizes
    make_cell = partial((CELLS | NORMALISED)[name], hidden)
    cell = make_cell(dtype="float64", param_dtype="float64")
    case = contracts.Case(batch, length, 5, "float64")
    arrays = contracts.make(cell, case, symbols=symbols)
    random = np.random.default_rng(0)
    masks = {
        "lengths": random.integers(0, length + 1, batch),
        "resets": random.random((batch, length)) < 0.3,
    }

    def said(x):
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        return x.astype(dtype).astype(x.dtype) if floating else x

    return make_cell, jax.tree.map(said, arrays), masks


@pytest.mark.everyday("name", "dtype")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CELLS)
@hypothesis.settings(
    max_examples=2,
    derandomize=True,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(data=strategies.data())
def test_any_size_is_near_the_scan_in_float64(name, dtype, data):
    sizes = [data.draw(strategies.integers(1, most)) for most in (20, 19, 200)]
    with jax.enable_x64(True):
        make_cell, arrays, masks = draw(name, sizes, dtype)
        options = {key: masks[key] for key in masks if data.draw(strategies.booleans())}
        assert_near_scan(
            make_cell,
            dtype,
            arrays,
            reverse=data.draw(strategies.booleans()),
            **options,
        )


@pytest.mark.everyday("name", "dtype")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", NORMALISED)
@hypothesis.settings(
    max_examples=2,
    derandomize=True,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(data=strategies.data())
def test_any_size_with_layer_norm_is_near_the_scan_in_float64(name, dtype, data):
    exact = dtype == "float64"
    bounds = (1, 20), (1, 19), (1 if exact else FEWEST_NORMALISED, 200)
    sizes = [data.draw(strategies.integers(*bound)) for bound in bounds]
    with jax.enable_x64(True):
        make_cell, arrays, masks = draw(name, sizes, dtype)
        options = {key: masks[key] for key in masks if data.draw(strategies.booleans())}
        assert_near_scan(
            make_cell,
            dtype,
            arrays,
            times=1 if exact else TIMES,
            reverse=data.draw(strategies.booleans()),
            **options,
        )


@pytest.mark.everyday("name", "remat")
@pytest.mark.parametrize("remat", [None, "gates", 4])
@pytest.mark.parametrize("name", CELLS | NORMALISED)
def test_blocks_of_time_and_tiles_of_the_batch(name, remat, float64, monkeypatch):
    """Three of time, the last one not full, and two of the batch."""
    monkeypatch.setattr(tiles, "_MOST_STEPS", 3)
    monkeypatch.setattr(tiles, "_MOST_ROWS", 8)
    monkeypatch.setattr(tiles, "_FEWEST_ROWS", 8)
    of = tiles.tiles(tiles.Sizes(7, 11, 4, 4, 2, 4, jnp.float64), 2**40)
    assert of is not None
    assert (of.batch, of.rows, of.steps) == (16, 8, 3)
    make_cell, arrays, masks = draw(name, (11, 7, 4), "float64")
    assert_near_scan(make_cell, "float64", arrays, remat=remat, **masks)


@pytest.mark.parametrize("most", [0, 4096])
def test_symbols_by_one_hot_rows_and_row_by_row(most, float64, monkeypatch):
    monkeypatch.setattr(deferred, "_MOST_ONE_HOT", most)
    make_cell, arrays, masks = draw("gru", (3, 6, 4), "float64", symbols=True)
    assert_near_scan(make_cell, "float64", arrays, **masks)


def test_second_order_is_that_of_the_scan(float64):
    make_cell, arrays, masks = draw("lstm", (2, 5, 3), "float64")
    cell = make_cell(dtype="float64", param_dtype="float64")

    def second(backend):
        def first(*arrays):
            unrolled = partial(jt.unroll, cell, backend=backend, **masks)
            return jax.grad(lambda *x: contracts.total(unrolled(*x)), (0, 1, 2))(
                *arrays
            )

        total = lambda *arrays: contracts.total(first(*arrays))  # noqa: E731
        return jax.jit(jax.grad(total, (0, 1, 2)))(*arrays)

    contracts.assert_close(second("mosaic"), second("scan"), 1e-9)


def test_products_are_as_exact_as_asked_for():
    default, highest = jax.lax.Precision.DEFAULT, jax.lax.Precision.HIGHEST
    asked = {None: default, "bfloat16": default, "high": highest, "highest": highest}
    for name, expected in asked.items():
        with jax.default_matmul_precision(name):
            assert grid.precision(jnp.float32) == expected
            assert grid.precision(jnp.bfloat16) == default


def test_weights_fit_as_a_whole_or_not_at_all():
    def of(hidden, batch, room):
        sizes = tiles.Sizes(100, batch, hidden, 4, 2, 4, jnp.bfloat16)
        return tiles.tiles(sizes, room * 2**20)

    large = of(2048, 512, 128)
    assert large is not None
    assert large.rows >= 64
    assert large.steps >= 1
    assert large.bytes <= 128 * 2**20
    assert of(2048, 512, 40) is None
    just_over = of(512, 272, 128)  # 256 and 16 would be padded to twice 256
    assert just_over is not None
    assert (just_over.rows, just_over.batch) == (144, 288)
    small = of(100, 3, 16)
    assert small is not None
    assert (small.batch, small.hidden, small.columns) == (16, 128, 128)


def test_a_step_with_means_is_taken_for_all_units_at_once():
    sizes = tiles.Sizes(100, 128, 1024, 4, 2, 8, jnp.bfloat16)
    plain = tiles.tiles(sizes, 128 * 2**20)
    found = tiles.tiles(sizes._replace(row_values=3), 128 * 2**20)
    assert plain is not None
    assert found is not None
    assert (plain.columns, found.columns) == (256, 1024)
    assert found.steps < plain.steps  # a step takes more room
    odd = tiles.tiles(sizes._replace(row_values=3, hidden=6), 2**40)
    assert odd is not None
    assert odd.hidden == 6
