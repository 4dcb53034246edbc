"""What `unroll` can return of each step: states, outputs and gates."""

from functools import partial

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from test_contracts import CELLS, WHOLE_ONLY

import jaxtext as jt

KINDS = {"dtype": "float32", "param_dtype": "float32"}
CASE = contracts.Case()


def everything(step):
    return step


def made(name):
    cell = CELLS[name](**KINDS)
    return cell, *contracts.make(cell, CASE)


@pytest.mark.parametrize("name", [name for name in CELLS if name not in WHOLE_ONLY])
def test_a_snapshot_is_what_a_step_leaves(name):
    """The state after `n` steps is the last one of the sequences cut there."""
    cell, params, state, xs = made(name)
    lengths = CASE.lengths()
    masks = {"resets": CASE.resets(), "key": jax.random.key(3), "backend": "scan"}

    @jax.jit
    def run(lengths):
        return jt.unroll(cell, params, state, xs, lengths=lengths, **masks)

    final, found = jt.unroll(
        cell, params, state, xs, lengths=lengths, **masks, emit=everything
    )
    contracts.assert_close((final, found.y), run(lengths))
    for t in range(CASE.length):
        here = jax.tree.map(lambda x, t=t: x[:, t], found.state)
        contracts.assert_close(here, run(np.minimum(lengths, t + 1))[0])


EQUATIONS = {
    "lstm": lambda i, f, g, o, state: f * state.c + i * g,
    "projected_lstm": lambda i, f, g, o, state: f * state.c + i * g,
    "peephole_lstm": lambda i, f, g, o, state: f * state.c + i * g,
    "layer_norm_lstm": lambda i, f, g, o, state: f * state.c + i * g,
    "mogrifier": lambda i, f, g, o, state: f * state.c + i * g,
    "recurrent_dropout": lambda i, f, g, o, state: f * state.c + i * g,
    "coupled_lstm": lambda i, g, o, state: (1 - i) * state.c + i * g,
    "gru": lambda r, z, n, state: (1 - z) * n + z * state,
    "gru, reset before": lambda r, z, n, state: (1 - z) * n + z * state,
    "layer_norm_gru": lambda r, z, n, state: (1 - z) * n + z * state,
    "minimal_gated_unit": lambda f, n, state: (1 - f) * state + f * n,
    "min_gru": lambda z, n, state: (1 - z) * state + z * n,
    "para_gru": lambda r, z, n, state: (1 - z) * n + z * state,
    "para_lstm": lambda f, g, o, state: f * state.c + (1 - f) * g,
    "min_lstm": lambda f, i, n, state: (f * state + i * n) / (f + i),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_gates_keep_to_the_equations_of_the_cell(name):
    cell, params, state, xs = made(name)
    options = {"key": jax.random.key(3), "emit": everything}
    _, found = jt.unroll(cell, params, state, xs, **options)
    before = jax.tree.map(
        lambda first, x: jnp.concatenate([first[:, None], x[:, :-1]], 1),
        state,
        found.state,
    )
    expected = EQUATIONS[name](**found.gates, state=before)
    memory = jax.tree.leaves(found.state)[0]
    np.testing.assert_allclose(expected, memory, 0, 2e-6)


def test_each_cell_of_others_has_its_own_entry():
    cell, params, state, xs = made("stack")
    _, found = jt.unroll(cell, params, state, xs, emit=everything)
    assert [sorted(gates) for gates in found.gates] == [
        ["f", "g", "i", "o"],
        [],
        ["n", "r", "z"],
        [],
    ]
    assert jax.tree.structure(found.state) == jax.tree.structure(state)


def test_both_directions_stay_where_their_inputs_are():
    cell, params, state, xs = made("bidirectional")
    masks = {"lengths": CASE.lengths(), "resets": CASE.resets(), "emit": everything}
    _, found = jt.unroll(cell, params, state, xs, **masks)
    ahead, back = jt.lstm(4), jt.gru(3)
    _, one = jt.unroll(ahead, params["forward"], state[0], xs, **masks)
    _, other = jt.unroll(back, params["backward"], state[1], xs, reverse=True, **masks)
    contracts.assert_close(found.state, (one.state, other.state))
    contracts.assert_close(found.gates, (one.gates, other.gates))
    contracts.assert_close(found.y, jnp.concatenate([one.y, other.y], -1))


def test_backwards_a_snapshot_is_what_came_from_behind():
    cell, params, state, xs = made("lstm")
    _, found = jt.unroll(cell, params, state, xs, reverse=True, emit=everything)
    for t in range(CASE.length):
        here = jax.tree.map(lambda x, t=t: x[:, t], found.state)
        final, _ = jt.unroll(cell, params, state, xs[:, t:], reverse=True)
        contracts.assert_close(here, final)


@pytest.mark.parametrize("remat", ["gates", 3])
@pytest.mark.parametrize("name", ["stack", "bidirectional"])
def test_what_is_computed_again_is_the_same(name, remat):
    cell, params, state, xs = made(name)
    masks = {"lengths": CASE.lengths(), "resets": CASE.resets()}

    @partial(jax.jit, static_argnums=2)
    def found(params, state, remat):
        def loss(params, state):
            found = jt.unroll(
                cell, params, state, xs, emit=everything, remat=remat, **masks
            )
            return contracts.total(found), found

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, state)

    again, plain = (found(params, state, how) for how in (remat, None))
    contracts.assert_close(again, plain, 1e-5)


def test_in_padding_gates_are_zero_and_the_state_is_kept():
    cell, params, state, xs = made("lstm")
    lengths = CASE.lengths()
    final, found = jt.unroll(cell, params, state, xs, lengths=lengths, emit=everything)
    for b, n in enumerate(lengths.tolist()):
        for gate in found.gates.values():
            assert gate[b, :n].all()
            assert not gate[b, n:].any()
        after = jax.tree.map(lambda x, b=b, n=n: x[b, n:], found.state)
        kept = jax.tree.map(
            lambda x, like, b=b: jnp.broadcast_to(x[b], like.shape), final, after
        )
        contracts.assert_close(after, kept)


def test_it_may_return_anything_of_any_shape():
    cell, params, state, xs = made("gru")

    def norm(step):
        assert step.y.shape == (4,)
        return {"norm": jnp.linalg.norm(step.state), "pair": (step.y[:2], step.y[2:])}

    _, found = jt.unroll(cell, params, state, xs, emit=norm)
    _, ys = jt.unroll(cell, params, state, xs)
    np.testing.assert_allclose(found["norm"], jnp.linalg.norm(ys, axis=-1), 1e-6)
    assert found["pair"][1].shape == (3, 7, 2)
    _, turned = jt.unroll(
        cell, params, state, xs.swapaxes(0, 1), time_major=True, emit=norm
    )
    np.testing.assert_allclose(turned["norm"].T, found["norm"], 1e-6)
    _, none = jt.unroll(cell, params, state, xs[:, :0], emit=norm)
    assert none["norm"].shape == (3, 0)
    one = jax.tree.map(lambda x: x[0], (state, xs))
    _, alone = jt.unroll(cell, params, *one, emit=norm)
    np.testing.assert_allclose(alone["norm"], found["norm"][0], 1e-6)


def test_arrays_divided_by_an_explicit_mesh():
    cell, params, state, xs = made("lstm")
    mesh = jax.make_mesh((3,), ("batch",), axis_types=(AxisType.Explicit,))
    _, expected = jt.unroll(cell, params, state, xs, emit=everything)
    with jax.set_mesh(mesh):
        xs, state = jax.device_put((xs, state), P("batch"))
        _, found = jax.jit(
            lambda *operands: jt.unroll(cell, *operands, emit=everything)
        )(params, state, xs)
    assert jax.typeof(found.y).sharding.spec[0] == "batch"
    contracts.assert_close(jax.tree.map(np.asarray, found), expected)


def test_what_is_unused_is_not_computed():
    cell, params, state, xs = made("lstm")

    def program(**options):
        run = jax.jit(lambda xs: jt.unroll(cell, params, state, xs, **options)[1])
        return run.lower(xs).compile().memory_analysis().temp_size_in_bytes

    assert program(emit=lambda step: step.y) <= program(backend="scan")


def test_the_same_function_is_compiled_for_once():
    cell, params, state, xs = made("gru")
    traced = []

    def emit(step):
        traced.append(step)
        return step.state

    for _ in range(2):
        jt.unroll(cell, params, state, xs, emit=emit)
    assert len(traced) == 1


def test_what_cannot_say_it_is_refused():
    cell, params, state, xs = made("lstm")
    with pytest.raises(ValueError, match="emit: expected backend 'auto' or 'scan'"):
        jt.unroll(cell, params, state, xs, emit=everything, backend="fused")

    def sequence(walk, params, state, xs, masks, noise):
        del walk, params, masks, noise
        return state + xs.sum(0), xs

    own = jt.Cell(
        lambda key, input_size: {},
        lambda batch_shape: jnp.zeros((*batch_shape, 5)),
        None,
        sequence=sequence,
    )
    with pytest.raises(ValueError, match=r"emit: the cell .* by itself"):
        jt.unroll(own, {}, None, xs, emit=everything)
