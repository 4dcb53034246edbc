"""The kernels for TPU, compiled by Mosaic for TPUs that are not there."""

from importlib.util import find_spec

import compile_tpu  # noqa: F401  what libtpu reads is set before it is loaded
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxtext as jt
from tpu_step import chips as tpu_chips

pytestmark = pytest.mark.skipif(
    find_spec("libtpu") is None,
    reason="libtpu is not installed: pip install 'jaxtext[tpu]'",
)
B, T, D = 20, 19, 7  # the last block of time is not full


def compiled(topology, cell, precision=None, mapped=()):
    """The gradient with lengths and resets, as text, by what `auto` chooses.

    Args:
      topology: The chips.
      cell: The cell.
      precision: Of products.
      mapped: Axes of the state to map over, the outermost `jax.vmap` first.
    """
    devices, _ = tpu_chips.find_slice(topology)
    mesh = Mesh(devices[:1], ("devices",))
    sharding = NamedSharding(mesh, PartitionSpec())

    def there(function):
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            jax.eval_shape(function),
        )

    def loss(params, state, xs, lengths, resets):
        def run(state):
            return jt.unroll(cell, params, state, xs, lengths=lengths, resets=resets)

        for axis in reversed(mapped):
            run = jax.vmap(run, in_axes=axis, out_axes=axis)
        leaves = jax.tree.leaves(run(state))
        return sum(jnp.sum(x.astype(jnp.float32)) for x in leaves)

    def several(state):
        for axis in reversed(mapped):
            state = jax.tree.map(lambda x, a=axis: jnp.stack([x, x], a), state)
        return state

    operands = (
        there(lambda: cell.init(jax.random.key(0), D)),
        there(lambda: several(cell.initial_state((B,)))),
        there(lambda: jnp.zeros((B, T, D))),
        there(lambda: jnp.zeros(B, int)),
        there(lambda: jnp.zeros((B, T), bool)),
    )
    with jax.set_mesh(mesh), jax.default_matmul_precision(precision):
        lowered = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*operands)
        return lowered.compile().as_text()


def kernels(text):
    return text.count('custom_call_target="tpu_custom_call"')


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("make_cell", [jt.rnn, jt.lstm, jt.gru])
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5p:2x2x1", "v6e:2x2"])
def test_forward_and_backward_are_one_kernel_each(topology, make_cell, dtype):
    assert kernels(compiled(topology, make_cell(130, dtype=dtype))) == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "make_cell", [jt.layer_norm_rnn, jt.layer_norm_lstm, jt.layer_norm_gru]
)
def test_cells_with_means_over_all_units(make_cell, dtype):
    assert kernels(compiled("v6e:2x2", make_cell(128, dtype=dtype))) == 2


@pytest.mark.parametrize("make_cell", [jt.rnn, jt.lstm, jt.gru])
def test_heads_are_one_kernel(make_cell):
    assert kernels(compiled("v6e:2x2", make_cell(256, heads=2))) == 2


@pytest.mark.parametrize("mapped", [(0,), (1,), (2,), (1, 1), (2, 0), (0, 2)])
def test_any_axis_may_be_mapped(mapped):
    assert kernels(compiled("v6e:2x2", jt.lstm(128), mapped=mapped)) == 2


@pytest.mark.parametrize("precision", ["high", "highest", "BF16_BF16_F32_X3"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_precise_products(dtype, precision):
    assert kernels(compiled("v5e:2x2", jt.gru(8, dtype=dtype), precision)) == 2


def test_what_does_not_fit_goes_by_the_scan():
    assert kernels(compiled("v5e:2x2", jt.lstm(6000))) == 0
