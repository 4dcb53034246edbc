"""What is taken for what it plainly means, and what is refused by name."""

import re
from collections import OrderedDict
from typing import NamedTuple

import contracts
import flax.core
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from test_contracts import CELLS, KINDS, MEETINGS

import jaxtext as jt
from jaxtext.runs import checkpoint, log, workdir
from jaxtext.target import target
from jaxtext.unroll import _compiled

TYPES = {"dtype": "float32", "param_dtype": "float32"}
CASE = contracts.Case(batch=2, length=4)


def made(name, **options):
    cell = CELLS[name](**TYPES)
    return cell, *contracts.make(cell, CASE, **options)


def run(cell, *operands, **options):
    return jt.unroll(cell, *operands, **options)


@pytest.mark.everyday("backend", "dtype")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32"])
@pytest.mark.parametrize(("name", "backend"), MEETINGS)
def test_a_state_of_another_type_is_cast_to_the_cells_own(name, backend, dtype):
    cell, params, state, xs = made(name)
    other = jax.tree.map(lambda x: x.astype(dtype), state)
    same = jax.tree.map(lambda x, own: x.astype(own.dtype), other, state)
    expected = run(cell, params, same, xs, backend=backend)
    contracts.assert_close(run(cell, params, other, xs, backend=backend), expected)
    if cell.step is not None:
        found = cell.step(params, other, xs[:, 0])
        contracts.assert_close(found, cell.step(params, same, xs[:, 0]))


@pytest.mark.everyday(name=KINDS)
@pytest.mark.parametrize("name", CELLS)
def test_no_state_is_the_initial_one(name):
    cell, params, _, xs = made(name)
    start = cell.initial_state((2,))
    contracts.assert_close(run(cell, params, None, xs), run(cell, params, start, xs))
    if cell.step is not None:
        found = cell.step(params, None, xs[:, 0])
        contracts.assert_close(found, cell.step(params, start, xs[:, 0]))


def _is_named(x):
    return hasattr(x, "_fields")


def _pairs(state):
    """The state, each ``LSTMState(c, h)`` as torch's pair of h and c."""

    def pair(x):
        return tuple(reversed(x)) if _is_named(x) else x

    return jax.tree.map(pair, state, is_leaf=_is_named)


class HaikuState(NamedTuple):  # as dm-haiku's, whose first field is the other one
    hidden: jax.Array
    cell: jax.Array


def _haikus(state):
    def named(x):
        return HaikuState(*reversed(x)) if _is_named(x) else x

    return jax.tree.map(named, state, is_leaf=_is_named)


@pytest.mark.parametrize("other", [_pairs, _haikus])
@pytest.mark.parametrize(("name", "backend"), MEETINGS)
def test_a_plain_pair_is_no_lstm_state(name, backend, other):
    cell, params, state, xs = made(name)
    if not any(map(_is_named, jax.tree.leaves(state, is_leaf=_is_named))):
        return  # nothing in it has an order that could be another
    said = r"state.*: expected LSTMState, got .* c, h here, and h, c in torch"
    with pytest.raises(ValueError, match=said):
        run(cell, params, other(state), xs, backend=backend)
    if cell.step is not None:
        with pytest.raises(ValueError, match=said):
            cell.step(params, other(state), xs[:, 0])


@pytest.mark.parametrize(("name", "backend"), MEETINGS)
def test_no_parameter_is_dropped(name, backend):
    cell, params, state, xs = made(name)
    paths = [path for path, _ in jax.tree.leaves_with_path(params)]
    for path in paths[:1] + paths[-1:]:
        more = jax.tree.map(jnp.copy, params)
        *upwards, _ = path
        place = more
        for key in upwards:
            place = place[key.key]
        place["another"] = jnp.zeros(3)
        said = "there is no place for 'another'"
        with pytest.raises(ValueError, match=said):
            run(cell, more, state, xs, backend=backend)
        if cell.step is not None:
            with pytest.raises(ValueError, match=said):
                cell.step(more, state, xs[:, 0])


# Numbers become flags before any cell or backend is looked at.
FLAGS = [(*meeting, np.uint8) for meeting in MEETINGS]
FLAGS += [
    (*meeting, flags) for meeting in MEETINGS[:4] for flags in (np.int32, float, list)
]


@pytest.mark.everyday("backend", "lengths", "flags")
@pytest.mark.parametrize("lengths", [None, [3, 4]])
@pytest.mark.parametrize(("name", "backend", "flags"), FLAGS)
def test_whatever_is_not_zero_is_true(name, backend, lengths, flags):
    cell, params, state, xs = made(name)
    numbers = np.array([[0, 2, 0, 255], [0, 0, 128, 0]])
    given = numbers.tolist() if flags is list else numbers.astype(flags)

    def masked(flags):
        masks = {"resets": flags, "mask": flags[::-1], "lengths": lengths}
        return run(cell, params, state, xs, backend=backend, **masks)

    contracts.assert_close(masked(given), masked(numbers != 0))


@pytest.mark.everyday("name", "symbols", name=KINDS)
@pytest.mark.parametrize("symbols", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_lists_are_arrays(name, symbols):
    cell, params, state, xs = made(name, symbols=symbols)
    masks = {"lengths": [3, 4], "resets": [[0, 1, 0, 0], [0, 0, 1, 0]]}
    arrays = jax.tree.map(jnp.asarray, masks, is_leaf=lambda x: isinstance(x, list))
    expected = run(cell, params, state, xs, **arrays)
    lists = jax.tree.map(lambda x: x.tolist(), (params, state, xs))
    contracts.assert_close(run(cell, *lists, **masks), expected)
    frozen = flax.core.freeze(params) if params else params
    contracts.assert_close(run(cell, frozen, state, xs, **masks), expected)


def test_models_and_texts_take_lists():
    model, ids = jt.LanguageModel(jt.gru(4), vocab_size=7), [[1, 2, 3], [4, 5, 6]]
    params = model.init(jax.random.key(0), None, ids)["params"]
    variables = {"params": params}
    expected = model.apply(variables, model.initial_state((2,)), np.array(ids))
    contracts.assert_close(model.apply(variables, None, ids), expected)
    stepped = model.apply(variables, None, [1, 4], method="step")[1]
    contracts.assert_close(stepped, expected[1][:, 0])
    key = jax.random.key(1)

    def written(prompts):
        return [*jt.generation.generate(model, params, prompts, 3, key=key)]

    np.testing.assert_array_equal(written(ids), written(np.array(ids)))
    text = [*range(7)] * 9
    assert jt.training.evaluate(model, params, text) == jt.training.evaluate(
        model, params, np.array(text)
    )
    streams = jt.text.Streams(text, np.int64(2), [4, 5])
    assert streams.batch(0, np.int32(1)).inputs.shape[0] == 2


def test_sizes_may_be_numpys():
    assert jt.lstm(np.int64(8)) is jt.lstm(hidden=8)
    assert jt.stack([jt.gru(8)]) is jt.stack(jt.gru(8))
    assert jt.dropout(np.float32(0.5)) is jt.dropout(np.array(0.5)) is jt.dropout(0.5)
    assert jt.gru(8, dtype="bfloat16") is jt.gru(8, dtype=jnp.bfloat16)
    state = jt.lstm(8).initial_state(np.int64(3))
    assert state.c.shape == jt.lstm(8).initial_state([3]).c.shape == (3, 8)


def test_paths_may_be_strings(tmp_path):
    run, text = str(tmp_path / "run"), tmp_path / "text"
    text.write_text("the quick brown fox\n" * 9)
    corpus = jt.text.load(str(text), cache=str(tmp_path / "cache"))
    assert len(jt.text.FileArray(str(text))) == len(corpus.ids)
    optimizer = optax.sgd(0.1)
    state = jt.training.create_state(MODEL, optimizer, jax.random.key(0), 2)
    with workdir.claim(run, {"cell": "gru"}):
        checkpoints = checkpoint.Checkpoints(run)
        checkpoints.save_latest(state, {"cell": "gru"})
        checkpoints.finish()
    assert workdir.read_identity(run) == {"cell": "gru"}
    found = checkpoint.restore_params(run, state.params)
    contracts.assert_close(found.arrays, state.params)
    log.MetricsLog(run, 0).append({"step": 1})
    assert log.read_metrics(f"{run}/metrics.jsonl") == [{"step": 1}]


@pytest.mark.everyday(name=("min_gru", *KINDS))
@pytest.mark.parametrize("name", CELLS)
def test_what_is_not_finite_and_cut_off_reaches_no_gradient(name):
    """By a reset before the first step that counts, or because there is none."""
    cell, params, state, xs = made(name)
    poisoned = jax.tree.map(lambda x: x.at[0].set(jnp.nan), state)
    zeroed = jax.tree.map(lambda x: x.at[0].set(0), state)
    backends = [b for n, b in MEETINGS if n == name]
    begins = jnp.zeros((2, 4), bool).at[0, 0].set(True)
    mask = jnp.ones((2, 4), bool).at[0, :2].set(False)
    for masks in ({"resets": begins},
                  {"resets": jnp.roll(begins, 1, axis=1), "mask": mask},
                  {"mask": mask.at[0].set(False)},
                  {"lengths": jnp.array([0, 4])}):  # fmt: skip
        for backend in backends:
            if "resets" in masks and cell.step is None:
                continue  # backwards, a segment is left by its first step

            def loss(params, state, backend=backend, masks=masks):
                ys = run(cell, params, state, xs, backend=backend, **masks)[1]
                return jnp.sum(jnp.sin(ys))

            found = jax.grad(loss)(params, poisoned)
            contracts.assert_close(found, jax.grad(loss)(params, zeroed), 1e-5)


def _adds(params, state, x, noise=None):
    del params, noise
    return type(state)({"h": state["h"] + x}), state["h"] + x


def _unknown(key, input_size):
    raise NotImplementedError("parameters come from elsewhere")


@pytest.mark.parametrize("init", [lambda key, input_size: {}, _unknown])
@pytest.mark.parametrize("mapping", [dict, flax.core.FrozenDict, OrderedDict])
@pytest.mark.parametrize("backends", [(), []])  # which cannot be hashed
def test_a_cell_of_ones_own_needs_nothing_more(init, mapping, backends):
    def initial_state(batch_shape):
        return mapping({"h": jnp.zeros((batch_shape[0], 3))})

    cell = jt.Cell(init, initial_state, _adds, backends=backends)
    for state in (None, initial_state((2,))):
        state, ys = jt.unroll(cell, {}, state, XS)
        assert type(state) is mapping
        np.testing.assert_allclose(ys, np.cumsum(XS, 1))


def test_nothing_compiles_twice():
    compiled = []

    def note(event, seconds, **_):
        del seconds
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    def everything(cell):
        for length in (3, 5):
            xs = jnp.ones((2, length, 3))
            jt.unroll(cell, params, None, xs, key=key)
            gradient = jax.grad(lambda p, xs=xs: jt.unroll(cell, p, None, xs)[1].sum())
            jax.block_until_ready(gradient(params))
        cell.step(params, None, jnp.ones((2, 3)))

    def made_anew():
        return jt.stack(jt.lstm(6), jt.dropout(0.5), jt.residual(jt.min_gru(6)))

    key = jax.random.key(0)
    params = made_anew().init(key, 3)
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        everything(made_anew())
        assert compiled
        compiled.clear()
        everything(made_anew())
        assert not compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def test_programs_are_kept_by_what_they_depend_on():
    """JAX's modes and the target; the memory of them has an end and can be emptied."""
    traced = []

    def step(params, h, x, noise=None):
        del params, noise
        traced.append(target())
        return h + x, h

    cell = jt.Cell(lambda key, d: {}, lambda b: jnp.zeros((*b, 3), "float32"), step)

    def again():
        traced.clear()
        jt.unroll(cell, {}, None, XS)
        return [*traced]

    one = jax.make_mesh((1,), ("data",), (AxisType.Auto,), devices=jax.devices()[:1])
    modes = {
        "x64": lambda: jax.enable_x64(not jax.config.jax_enable_x64),
        "precision": lambda: jax.default_matmul_precision("float32"),
        "ranks": lambda: jax.numpy_rank_promotion("raise"),
        "device": lambda: jax.default_device(jax.devices()[1]),
        "mesh": lambda: jax.set_mesh(one),
    }
    assert len(again()) >= 1
    assert not again()
    for name, mode in modes.items():
        with mode():
            found = again()
            assert found, name
            assert not again()
            assert name != "mesh" or found[0].devices == 1
        assert not again()
    jax.clear_caches()
    assert again()
    assert _compiled.cache_info().maxsize == 256


LSTM = jt.lstm(4)
PARAMS = LSTM.init(jax.random.key(0), 3)
XS = np.ones((2, 5, 3), "float32")
STATE = LSTM.initial_state((2,))
MODEL = jt.LanguageModel(jt.gru(4), vocab_size=7)
OF_MODEL = MODEL.init(jax.random.key(0), None, [[0]])
STREAMS = jt.text.Streams([*range(7)] * 9, 2, 4)

WRONG = {
    "a constructor": (
        lambda: jt.unroll(jt.lstm, PARAMS, STATE, XS),
        "cell: expected a Cell such as jt.lstm(128), got lstm; call it with a width",
    ),
    "other vectors": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS[..., :2]),
        "xs: expected vectors of width 3, which params are for, got float32[2,5,2]; "
        "cell.init(key, 2) makes params for these",
    ),
    "numbers for symbols": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS.astype(int)),
        "state.c: expected shape (2, 5, 4), got (2, 4) (integer xs (2, 5, 3) are "
        "symbols and have no axis D)",
    ),
    "another batch": (
        lambda: jt.unroll(LSTM, PARAMS, LSTM.initial_state((3,)), XS),
        "state.c: expected shape (2, 4), got (3, 4) (xs (2, 5, 3) have the batch axes "
        "(2,))",
    ),
    "a state of another cell": (
        lambda: jt.unroll(LSTM, PARAMS, jnp.zeros((2, 4)), XS),
        "state: expected LSTMState, got float32[2,4], whose order cannot be told",
    ),
    "complex numbers": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS + 1j),
        "xs: expected floating-point vectors, or integers that stand for symbols, got "
        "complex64",
    ),
    "words": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, "some text"),
        "xs: expected an array of numbers, or lists of equal lengths, got 'some text'",
    ),
    "parameters of another cell": (
        lambda: jt.unroll(LSTM, jt.gru(4).init(jax.random.key(0), 3), STATE, XS),
        "params: expected 'bias', 'kernel', 'recurrent_kernel', got 'kernel', "
        "'recurrent_kernel', 'bias', 'recurrent_bias'; there is no place for "
        "'recurrent_bias'",
    ),
    "a collection of parameters": (
        lambda: jt.unroll(LSTM, {"params": PARAMS}, STATE, XS),
        "params: expected 'bias', 'kernel', 'recurrent_kernel', got 'params'",
    ),
    "no parameters": (
        lambda: jt.unroll(LSTM, None, STATE, XS),
        "params: expected a dict of 'bias', 'kernel', 'recurrent_kernel', got None",
    ),
    "half a key": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS, key=np.zeros(3, np.uint32)),
        "key: expected a key such as jax.random.key(0), got uint32[3]",
    ),
    "a key for inputs": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, jax.random.key(0)),
        "xs: expected floating-point vectors, or integers that stand for symbols, got "
        "key<fry>",
    ),
    "half a batch of states": (
        lambda: LSTM.initial_state((2.5,)),
        "batch_shape: expected a whole number of at least 0, got 2.5",
    ),
    "no type": (
        lambda: jt.gru(4, dtype=None),
        "dtype: expected a floating-point type such as jnp.float32 or 'bfloat16', got "
        "None",
    ),
    "too few parameters": (
        lambda: LSTM.step({"kernel": PARAMS["kernel"]}, STATE, XS[:, 0]),
        "got 'kernel'; 'bias', 'recurrent_kernel' is missing",
    ),
    "a mask of another shape": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS, resets=[True, False]),
        "resets: expected shape (2, 5) as in xs, got (2,)",
    ),
    "lengths in halves": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS, lengths=[2.5, 3.0]),
        "lengths: expected integers, got float32",
    ),
    "a seed for a key": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS, key=0),
        "key: expected a key such as jax.random.key(0), got 0",
    ),
    "keys for another batch": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS, key=jax.random.split(
            jax.random.key(0), 3)),
        "key: expected one key, or one for each sequence (2,), got keys (3,)",
    ),
    "an unknown backend": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS, backend="cuda"),
        "backend: expected auto, scan, fused, mosaic, mosaic_gpu, cudnn, parallel, "
        "newton, got 'cuda'",
    ),
    "a backend of before": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS, backend="triton"),
        "backend: 'triton' is gone, as JAX deprecates what it was written in; write "
        "'mosaic_gpu' instead, which is for Hopper GPUs",
    ),
    "a remat of halves": (
        lambda: jt.unroll(LSTM, PARAMS, STATE, XS, remat=0.5),
        "remat: expected None, 'gates' or a whole number of at least 1, got 0.5",
    ),
    "a width in words": (
        lambda: jt.lstm("128"),
        "hidden: expected a whole number of at least 1, got '128'",
    ),
    "no width": (
        lambda: jt.gru(0),
        "hidden: expected a whole number of at least 1, got 0",
    ),
    "whole numbers as a type": (
        lambda: jt.rnn(4, dtype=int),
        "dtype: expected a floating-point type such as jnp.float32 or 'bfloat16', got "
        "int",
    ),
    "an input size that is traced": (
        lambda: jax.eval_shape(LSTM.init, jax.random.key(0), 3),
        "input_size: expected a number, which decides shapes, got a traced int32[]; "
        "write jax.eval_shape(lambda: cell.init(key, 65))",
    ),
    "a constructor in a stack": (
        lambda: jt.stack(jt.lstm(4), jt.gru),
        "cells[1]: expected a Cell such as jt.lstm(128), got gru; call it with a width",
    ),
    "a rate in per cent": (
        lambda: jt.dropout(30),
        "rate: expected a number of at least 0 and below 1, got 30",
    ),
    "no prediction": (
        lambda: MODEL.apply(OF_MODEL, None, [[1, 2]], last=0),
        "last: expected a whole number of at least 1, got 0",
    ),
    "more predictions than symbols": (
        lambda: MODEL.apply(OF_MODEL, None, [[1, 2]], last=3),
        "last: expected at most the number of positions in ids, got 3 for int32[1,2]",
    ),
    "vectors for ids": (
        lambda: MODEL.apply(OF_MODEL, None, [[1.0, 2.0]]),
        "ids: expected integers, got float32",
    ),
    "a model without symbols": (
        lambda: jt.LanguageModel(jt.gru(4), 0).init(jax.random.key(0), None, [[0]]),
        "vocab_size: expected a whole number of at least 1, got 0",
    ),
    "a text in place of its ids": (
        lambda: jt.text.Streams("some text", 2, 4),
        "ids: expected [N] integers, got <U9[]; Vocabulary.encode turns a text",
    ),
    "half a batch": (
        lambda: jt.text.Streams([*range(99)], 2.5, 4),
        "batch_size: expected a whole number of at least 1, got 2.5",
    ),
    "slices that do not divide": (
        lambda: jt.training.make_train_step(MODEL, optax.sgd(0.1), slices=3)(
            jt.training.create_state(MODEL, optax.sgd(0.1), jax.random.key(0), 2),
            STREAMS.batch(0, 0),
        ),
        "slices: expected a divisor of the batch of 2 on each device, got 3",
    ),
    "no devices": (
        lambda: jt.training.data_parallel(MODEL, optax.sgd(0.1), 2, []),
        "devices: expected at least one, got none",
    ),
    "half a symbol": (
        lambda: jt.generation.generate(
            MODEL, OF_MODEL["params"], [[1]], 0.5, key=jax.random.key(0)
        ),
        "length: expected a whole number of at least 0, got 0.5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_call_is_told_what_was_expected(call):
    make, said = WRONG[call]
    with pytest.raises(ValueError, match=re.escape(said)):
        make()


@pytest.mark.parametrize("true", [True, 1, np.True_, np.array(True), jnp.bool_(True)])
def test_a_boolean_of_any_kind_decides(true):
    params, xs = LSTM.init(jax.random.key(0), 3), jnp.ones((2, 4, 3))
    _, expected = jt.unroll(LSTM, params, None, xs, reverse=True)
    _, found = jt.unroll(LSTM, params, None, xs, reverse=true)
    np.testing.assert_array_equal(found, expected)
