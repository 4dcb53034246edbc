"""A cell as a value: its readable form, its sizes, equality, and another step."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_contracts import CELLS, MEETINGS

import jaxtext as jt

KINDS = {"dtype": "float32", "param_dtype": "float32"}
XS = np.ones((2, 7, 5), "float32")


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_its_form_is_the_call_that_makes_it(name, dtype):
    cell = CELLS[name](dtype=dtype, param_dtype="float32")
    assert eval(repr(cell), {"jt": jt, "jnp": jnp, "jax": jax}) == cell
    assert ("bfloat16" in repr(cell)) == (dtype == "bfloat16")


def test_defaults_are_left_out():
    cell = jt.stack(
        jt.lstm(8, use_bias=False, chrono=None),
        jt.zoneout(jt.gru(8, reset_after=True), np.float32(0.5)),
    )
    expected = "jt.stack(jt.lstm(8, use_bias=False), jt.zoneout(jt.gru(8), 0.5))"
    assert repr(cell) == expected
    assert repr(jt.Cell(cell.init, cell.initial_state, None)) == (
        "jt.Cell(init, initial_state, None)"
    )


@pytest.mark.parametrize("name", CELLS)
def test_sizes_are_those_of_the_arrays(name):
    cell = CELLS[name](**KINDS)
    params, state = cell.init(jax.random.key(0), 5), cell.initial_state((2,))
    _, ys = jt.unroll(cell, params, state, XS)
    assert cell.output_size == ys.shape[-1]
    assert jax.tree.structure(cell.state_size) == jax.tree.structure(state)
    assert jax.tree.leaves(cell.state_size) == [
        x.shape[-1] for x in jax.tree.leaves(state)
    ]


def test_what_depends_on_the_input_has_no_size():
    assert jt.dropout(0.5).output_size is None
    assert jt.stack(jt.dropout(0.5)).output_size is None
    assert jt.bidirectional(jt.dropout(0.5)).output_size is None
    assert jt.stack(jt.lstm(4), jt.dropout(0.5)).output_size == 4


EQUAL = [
    (lambda: jt.lstm(4), lambda: jt.lstm(hidden=np.int64(4), chrono=None)),
    (
        lambda: jt.lstm(4, dtype=jnp.bfloat16),
        lambda: jt.lstm(4, param_dtype=np.float32, dtype="bfloat16"),
    ),
    (lambda: jt.rnn(4), lambda: jt.rnn(4, activation=jax.lax.tanh, use_bias=1)),
    (
        lambda: jt.gru(4, kernel_init=jax.nn.initializers.zeros),
        lambda: jt.gru(4, reset_after=True, kernel_init=jax.nn.initializers.zeros),
    ),
    (
        lambda: jt.stack(jt.gru(4), jt.dropout(0.5)),
        lambda: jt.stack([jt.gru(4), jt.dropout(np.float32(0.5))]),
    ),
    (
        lambda: jt.zoneout(jt.lstm(4), jt.LSTMState(0.5, 0.25)),
        lambda: jt.zoneout(jt.lstm(4), jt.LSTMState(np.array(0.5), jnp.float32(0.25))),
    ),
    (lambda: jt.mogrifier(jt.lstm(4)), lambda: jt.mogrifier(jt.lstm(4), rounds=5)),
    (
        lambda: jt.bidirectional(jt.gru(4)),
        lambda: jt.bidirectional(jt.gru(4), None, merge="concatenate"),
    ),
    (
        lambda: jt.with_step(jt.gru(4), _doubled),
        lambda: jt.with_step(step=_doubled, cell=jt.gru(hidden=4)),
    ),
]


def _doubled(params, state, x, noise=None):
    state, y = jt.gru(4).step(params, state, x, noise)
    return state, 2 * y


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_configurations_are_one_static_argument(one, other):
    traced = []

    def count(cell):
        traced.append(cell)
        return jnp.zeros(())

    run = jax.jit(count, static_argnums=0)
    assert one() == other()
    assert hash(one()) == hash(other())
    for make in (one, other, one):
        run(make())
    assert len(traced) == 1


def test_another_step_is_the_one_that_runs():
    """Also where the cell has a backend of its own, which knows only the old step."""
    cell = jt.gru(4)
    other = jt.with_step(cell, _doubled)
    params = cell.init(jax.random.key(0), 5)
    final, ys = jt.unroll(cell, params, None, XS)
    for backend in ("auto", "scan"):
        found = jt.unroll(other, params, None, XS, backend=backend)
        np.testing.assert_allclose(found[0], final, 1e-6)
        np.testing.assert_allclose(found[1], 2 * ys, 1e-6)
    with pytest.raises(ValueError, match=r"'fused' cannot .* no such backend"):
        jt.unroll(other, params, None, XS, backend="fused")
    with pytest.raises(ValueError, match="state: expected shape"):
        other.step(params, jnp.zeros((3, 4)), XS[:, 0])
    assert repr(other) == "jt.with_step(jt.gru(4), _doubled)"


def test_another_step_of_a_stack_runs_and_embeds_nothing():
    """A model may read symbols by the old step's kernel; not by a step of one's own."""
    cell = jt.stack(jt.gru(4), jt.rnn(3))

    def step(params, state, x, noise=None):
        return cell.step(params, state, x**2, noise)

    other = jt.with_step(cell, step)
    params = cell.init(jax.random.key(0), 5)
    xs = jnp.linspace(-1, 1, XS.size).reshape(XS.shape)
    np.testing.assert_allclose(
        jt.unroll(other, params, None, xs)[1],
        jt.unroll(cell, params, None, xs**2)[1],
        atol=1e-6,
    )
    assert cell.embed is not None
    assert other.embed is None
    assert other.output_size is None
    assert other.gates is None


def _ones(cell):
    def initial_state(batch_shape):
        return jax.tree.map(jnp.ones_like, cell.initial_state(batch_shape))

    return initial_state


def _steps(cell, params, xs, resets):
    """What the cell computes from ones, and from ones again after each reset."""
    state, ys = None, []
    for t in range(xs.shape[1]):
        fresh = cell.initial_state((len(xs),))
        state = jax.tree.map(
            lambda new, old, t=t: jnp.where(resets[:, t, None], new, old),
            jax.tree.map(jnp.ones_like, fresh),
            jax.tree.map(jnp.ones_like, fresh) if state is None else state,
        )
        state, y = cell.step(params, state, xs[:, t])
        ys.append(y)
    return jnp.stack(ys, 1)


@pytest.mark.everyday(name=("gru", "heads", "stack"))
@pytest.mark.parametrize("name", [n for n in CELLS if "bidirectional" not in n])
def test_another_initial_state_is_the_one_that_counts(name):
    cell = CELLS[name](**KINDS)
    other = jt.with_initial_state(cell, _ones(cell))
    params = cell.init(jax.random.key(0), 5)
    resets = np.arange(7) == np.array([[3], [5]])
    expected = _steps(cell, params, XS, resets)
    for backend in ("auto", "scan"):
        _, ys = jt.unroll(other, params, None, XS, resets=resets, backend=backend)
        np.testing.assert_allclose(ys, expected, 1e-5, 1e-6)
    found = other.step(params, None, XS[:, 0])[1]
    np.testing.assert_allclose(found, expected[:, 0], 1e-5, 1e-6)


def test_a_cell_without_a_step_keeps_its_initial_state():
    cell = jt.bidirectional(jt.gru(4))
    with pytest.raises(ValueError, match="cell: expected one with a step"):
        jt.with_initial_state(cell, _ones(cell))


@pytest.mark.parametrize("field", ["step", "initial_state"])
@pytest.mark.parametrize(("name", "backend"), MEETINGS)
def test_a_replaced_function_is_never_ignored(name, backend, field):
    """Where a backend or a part would go on with the old one, it is refused."""
    cell = CELLS[name](**KINDS)
    said = f"{field}: expected together with .* alone; write jt.with_{field}"
    if backend == "scan" and not cell.backends and cell.sequence is None:
        return  # nothing else knows the old one
    with pytest.raises(ValueError, match=said):
        cell._replace(**{field: lambda *args: None})


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_pickled_by_the_call_that_makes_it(name):
    cell = CELLS[name](**KINDS)
    for other in (pickle.loads(pickle.dumps(cell)), copy.deepcopy(cell)):
        assert other is cell
    model = jt.LanguageModel(cell, vocab_size=7)
    assert pickle.loads(pickle.dumps(model)) == model


def test_a_cell_of_ones_own_is_pickled_by_its_functions():
    cell = jt.Cell(_no_parameters, jt.gru(4).initial_state.__wrapped__, _doubled)
    with pytest.raises(AttributeError, match="local object"):
        pickle.dumps(cell)
    cell = jt.Cell(_no_parameters, _no_parameters, _doubled)
    assert pickle.loads(pickle.dumps(cell)) == cell


def _no_parameters(*args):
    del args
    return {}
