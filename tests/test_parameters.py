"""Parameters are nested dicts of arrays with string keys, as Flax's tools expect."""

import re
from functools import partial

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx, serialization, traverse_util
from flax.nnx import bridge
from flax.nnx.bridge import variables as bridged
from test_contracts import CELLS as WITH_ARRAYS

import jaxtext as jt
from jaxtext.cells.affine import glorot

D, H = 5, 3
TYPES = {"dtype": "float32", "param_dtype": "float32"}
CELLS = {name: make_cell(**TYPES) for name, make_cell in WITH_ARRAYS.items()} | {
    "dropout": jt.dropout(0.1),
    "nothing but dropout": jt.stack(jt.dropout(0.1), jt.variational_dropout(0.1)),
    "dropout both ways": jt.bidirectional(jt.dropout(0.1)),
    "dropout one way": jt.bidirectional(jt.residual(jt.dropout(0.1)), jt.rnn(H)),
    "nothing at the bottom": jt.stack(jt.stack(jt.dropout(0.1)), jt.rnn(H)),
    "twelve layers": jt.stack(*[jt.rnn(2)] * 12),
    "mogrifier of no rounds": jt.mogrifier(jt.lstm(H), 0),
    "mogrifier of one round": jt.mogrifier(jt.lstm(H), 1),
}
EMPTY = {"dropout", "nothing but dropout", "dropout both ways"}
MODEL = jt.LanguageModel(jt.stack(jt.lstm(H), jt.dropout(0.1), jt.gru(H)), 7)
IDS = np.arange(12).reshape(2, 6) % 7


def start(cell):
    return cell.init(jax.random.key(0), D)


def model_params(model=MODEL):
    return model.init(jax.random.key(0), model.initial_state((2,)), IDS)["params"]


def outputs(cell, params):
    xs = jax.random.normal(jax.random.key(1), (2, 3, D))
    return jt.unroll(cell, params, cell.initial_state((2,)), xs, backend="scan")


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", CELLS)
def test_keys_are_strings_and_every_part_has_arrays(name):
    params = start(CELLS[name])
    assert type(params) is dict
    assert bool(params) == (name not in EMPTY)

    def look(part):
        if isinstance(part, jax.Array):
            return
        assert type(part) is dict
        assert part
        for key, of_key in part.items():
            assert type(key) is str
            look(of_key)

    for part in params.values():
        look(part)


@pytest.mark.parametrize("name", CELLS)
def test_flattened_by_path_and_put_together_again(name):
    params = start(CELLS[name])
    flat = traverse_util.flatten_dict(params)
    assert len(flat) == len(jax.tree.leaves(params))
    assert all(isinstance(x, jax.Array) for x in flat.values())
    assert_same_bits(traverse_util.unflatten_dict(flat), params)
    by_slash = traverse_util.flatten_dict(params, sep="/")
    assert_same_bits(traverse_util.unflatten_dict(by_slash, sep="/"), params)
    # JAX names the leaves alike.
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    keys = {jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in paths}
    assert keys == set(by_slash)


@pytest.mark.parametrize("name", CELLS)
def test_flax_saves_and_restores_them(name):
    cell = CELLS[name]
    params = start(cell)
    packed = serialization.to_bytes(params)
    assert_same_bits(serialization.from_bytes(params, packed), params)
    # Without anything to go by, too: what is written has the structure.
    alone = jax.tree.map(jnp.asarray, serialization.msgpack_restore(packed))
    assert_same_bits(alone, params)
    assert_same_bits(outputs(cell, alone), outputs(cell, params))


@pytest.mark.parametrize("name", CELLS)
def test_every_leaf_is_reached_by_its_path(name):
    params = start(CELLS[name])
    seen = traverse_util.path_aware_map(lambda path, x: ("/".join(path), x), params)
    flat = traverse_util.flatten_dict(seen, sep="/")
    assert all(path == of_leaf[0] for path, of_leaf in flat.items())
    # A rule for each, as partitioning by names has it: the first that fits.
    rules = [
        (r"(kernel|projection|gates/\d+)$", jax.sharding.PartitionSpec(None, "model")),
        (r"(bias|scale|peephole|diagonal)$", jax.sharding.PartitionSpec("model")),
    ]
    specs = {
        path: next(spec for pattern, spec in rules if re.search(pattern, path))
        for path in flat
    }
    heads = int(name == "heads")  # an axis of their own, in front
    for path, spec in specs.items():
        assert flat[path][1].ndim == heads + len(spec)


def test_frozen_parameters_are_parameters():
    cell = jt.stack(jt.bidirectional(jt.gru(H)), jt.dropout(0.1), jt.rnn(H))
    params = start(cell)
    frozen = flax.core.freeze(params)
    assert_same_bits(outputs(cell, frozen), outputs(cell, params))


@pytest.mark.parametrize("name", ["stack", "bidirectional", "mogrifier"])
def test_a_whole_starts_as_its_parts_do(name):
    key = jax.random.key(4)
    if name == "stack":
        cell = jt.stack(jt.gru(H), jt.dropout(0.1), jt.lstm(2))
        first, _, last = jax.random.split(key, 3)
        expected = {"0": jt.gru(H).init(first, D), "2": jt.lstm(2).init(last, H)}
    elif name == "bidirectional":
        cell = jt.bidirectional(jt.gru(H), jt.rnn(2))
        ahead, back = jax.random.split(key)
        forward, backward = jt.gru(H).init(ahead, D), jt.rnn(2).init(back, D)
        expected = {"forward": forward, "backward": backward}
    else:
        cell = jt.mogrifier(jt.lstm(H), 3)
        gates = partial(glorot, gates=1, dtype=jnp.float32)
        of_cell, q1, r2, q3 = jax.random.split(key, 4)
        expected = {
            "cell": jt.lstm(H).init(of_cell, D),
            "input_gates": {"0": gates(q1, H, D), "1": gates(q3, H, D)},
            "hidden_gates": {"0": gates(r2, D, H)},
        }
    assert_same_bits(cell.init(key, D), expected)


def test_layers_keep_their_order_beyond_the_tenth():
    """A dict's leaves come in the order of strings, in which 10 is before 2."""
    cells = [jt.rnn(2 + n) for n in range(12)]
    cell = jt.stack(*cells)
    params = jax.tree.map(jnp.array, start(cell))
    assert list(params)[:4] == ["0", "1", "10", "11"]
    xs = jax.random.normal(jax.random.key(1), (2, 3, D))
    ys = xs
    for n, one in enumerate(cells):
        _, ys = jt.unroll(one, params[str(n)], one.initial_state((2,)), ys)
    _, found = jt.unroll(cell, params, cell.initial_state((2,)), xs)
    np.testing.assert_allclose(found, ys, rtol=1e-6)


REFUSED = {
    "a tuple, as it was": (
        jt.stack(jt.rnn(H), jt.dropout(0.1), jt.rnn(H)),
        lambda params: (params["0"], (), params["2"]),
        r"params: expected a dict of '0', '2', got \(a dict of .*; "
        r"write {str\(i\): part for i, part in enumerate",
    ),
    "a pair, as it was": (
        jt.bidirectional(jt.rnn(H)),
        lambda params: (params["forward"], params["backward"]),
        r"expected a dict of 'backward', 'forward', got \(a dict .* name its parts",
    ),
    "gates in a tuple": (
        jt.mogrifier(jt.lstm(H), 3),
        lambda params: params | {"input_gates": tuple(params["input_gates"].values())},
        r"params\['input_gates'\]: expected a dict of '0', '1', got \(",
    ),
    "a tuple of another length": (
        jt.stack(jt.rnn(H), jt.rnn(H)),
        lambda params: (params["0"],),
        r"params: expected a dict of '0', '1', got \(",
    ),
    "a layer too few": (
        jt.stack(jt.rnn(H), jt.dropout(0.1), jt.rnn(H)),
        lambda params: {"0": params["0"]},
        "params: expected '0', '2', got '0'; '2' is missing",
    ),
    "a layer too many": (
        jt.stack(jt.rnn(H), jt.rnn(H)),
        lambda params: params | {"2": params["1"]},
        "params: expected '0', '1', got '0', '1', '2'; there is no place for '2'",
    ),
    "numbers for keys": (
        jt.stack(jt.rnn(H), jt.rnn(H)),
        lambda params: {int(key): of_key for key, of_key in params.items()},
        "params: expected '0', '1', got 0, 1; '0', '1' is missing",
    ),
    "those of a cell alone": (
        jt.stack(jt.rnn(H)),
        lambda params: params["0"],
        "there is no place for 'kernel', 'recurrent_kernel', 'bias'",
    ),
    "one direction": (
        jt.bidirectional(jt.rnn(H)),
        lambda params: {"forward": params["forward"]},
        "params: expected 'backward', 'forward', got 'forward'; 'backward' is",
    ),
    "none at all": (
        jt.stack(jt.rnn(H)),
        lambda params: dict(list(params.items())[:0]),
        "params: expected '0', got nothing; '0' is missing",
    ),
    "fewer gates": (
        jt.mogrifier(jt.lstm(H), 3),
        lambda params: {"cell": params["cell"], "input_gates": params["input_gates"]},
        "'hidden_gates' is missing",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parameters_of_something_else_are_named(name):
    cell, spoil, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        outputs(cell, spoil(start(cell)))
    if cell.step is not None:
        state = cell.initial_state(())
        with pytest.raises(ValueError, match=message):
            cell.step(spoil(start(cell)), state, jnp.zeros(D))


def test_what_the_error_about_a_tuple_says_to_write_works():
    cell = jt.stack(jt.rnn(H), jt.dropout(0.1), jt.rnn(H))
    good = start(cell)
    params = (good["0"], (), good["2"])
    params = {str(i): part for i, part in enumerate(params)}
    assert_same_bits(outputs(cell, params), outputs(cell, good))


def test_an_embedding_names_them_too():
    cell = jt.stack(jt.rnn(H), jt.rnn(H))
    assert cell.embed is not None
    with pytest.raises(ValueError, match=r"got \("):
        cell.embed(tuple(start(cell).values()), jnp.zeros((7, D)))


def test_biases_are_frozen_by_their_paths():
    params = model_params()
    labels = traverse_util.path_aware_map(
        lambda path, _: "frozen" if path[-1].endswith("bias") else "trained", params
    )
    optimizer = optax.multi_transform(
        {"trained": optax.sgd(1.0), "frozen": optax.set_to_zero()}, labels
    )
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(ones, optimizer.init(params), params)
    for path, update in traverse_util.flatten_dict(updates).items():
        assert (update == (0 if path[-1].endswith("bias") else -1)).all()


def test_decay_is_masked_by_path():
    params = model_params()

    def mask(params):
        return traverse_util.path_aware_map(
            lambda path, _: path[:2] == ("recurrent", "2"), params
        )

    optimizer = optax.masked(optax.add_decayed_weights(1.0), mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    flat = traverse_util.flatten_dict(updates)
    for path, param in traverse_util.flatten_dict(params).items():
        expected = param if path[:2] == ("recurrent", "2") else 0 * param
        np.testing.assert_array_equal(flat[path], expected)


def test_a_table_has_every_leaf():
    tabulate = nn.tabulate(
        MODEL, jax.random.key(0), console_kwargs={"width": 200, "no_color": True}
    )
    table = tabulate(MODEL.initial_state((2,)), IDS)
    table = re.sub(r"\x1b\[[\d;]*m", "", table)  # bold and the like
    for path, leaf in traverse_util.flatten_dict(model_params()).items():
        row = f"{path[-1]}: float32[{','.join(map(str, leaf.shape))}]"
        assert f" {row} " in table, path
    total = sum(x.size for x in jax.tree.leaves(model_params()))
    assert f"Total Parameters: {total:,}" in table


@pytest.mark.parametrize(
    "options",
    [{}, {"tied": True}, {"embedding": 4}],
    ids=["plain", "tied", "embedding"],
)
def test_a_model_within_nnx(options):
    linen = jt.LanguageModel(MODEL.cell, 7, **options)
    start = linen.initial_state((2,))
    model = bridge.ToNNX(linen, rngs=nnx.Rngs(0)).lazy_init(start, IDS)
    _, logits = model(start, IDS)
    own = {k: v for k, v in vars(model).items() if k in model_params(linen)}
    variables = bridged.nnx_attrs_to_linen_vars(own)
    expected = model_params(linen)
    assert jax.tree.structure(variables["params"]) == jax.tree.structure(expected)
    np.testing.assert_allclose(logits, linen.apply(variables, start, IDS)[1], rtol=1e-5)

    def loss(model):
        _, logits = model(start, IDS[:, :-1])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, IDS[:, 1:])
        return losses.mean()

    optimizer = nnx.Optimizer(model, optax.adam(3e-2), wrt=nnx.Param)

    @nnx.jit
    def train(model, optimizer):
        optimizer.update(model, nnx.grad(loss)(model))

    first = float(loss(model))
    for _ in range(10):
        train(model, optimizer)
    assert float(loss(model)) < first - 0.2


def test_parameters_within_an_nnx_cell_have_the_same_paths():
    from jaxtext.interop.nnx_modules import NNXCell

    module = NNXCell(MODEL.cell, D, rngs=nnx.Rngs(0))
    flat = dict(nnx.to_flat_state(nnx.state(module, nnx.Param)))
    expected = traverse_util.flatten_dict({"params": start(MODEL.cell)})
    assert set(flat) == set(expected)
