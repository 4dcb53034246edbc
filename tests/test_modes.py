"""JAX as people configure it: every cell computes the same under each of its modes."""

import contextlib
import gc
import operator
from functools import partial

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import checkify
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from test_contracts import CELLS, KINDS, MEETINGS, WHOLE_ONLY

import jaxtext as jt

TYPES = {"dtype": "float32", "param_dtype": "float32"}
CASE = contracts.Case(batch=2)
CHECKS = checkify.index_checks | checkify.nan_checks | checkify.div_checks


def everything(cell, backend, *, key=None):
    """A loss with its gradient, of all that can be asked for, and its operands."""
    case = CASE._replace(backend=backend)
    operands = contracts.make(cell, case)
    lengths, resets = case.lengths(), case.resets()
    masks = jnp.asarray(lengths), None if resets is None else jnp.asarray(resets)

    def loss(params, state, xs, lengths, resets):
        return contracts.total(
            case.unroll(
                cell, params, state, xs, lengths=lengths, resets=resets, key=key
            )
        )

    return jax.value_and_grad(loss, argnums=(0, 1, 2)), (*operands, *masks)


@contextlib.contextmanager
def strictly(backend="scan"):
    """What a careful program switches on, all of it.

    JAX 0.12 takes any kernel of Pallas Mosaic GPU for a leak, an empty one too, and its
    interpreter moves arrays from host to device, sometimes in the thread that waits.
    """
    with contextlib.ExitStack() as modes:
        # JAX collects garbage after each trace to find leaks. What was there before is
        # left out: in a long session that alone takes seconds.
        gc.freeze()
        modes.callback(gc.unfreeze)
        modes.enter_context(jax.numpy_rank_promotion("raise"))
        modes.enter_context(jax.numpy_dtype_promotion("strict"))
        modes.enter_context(jax.debug_nans(True))
        if backend != "mosaic_gpu":
            modes.enter_context(jax.checking_leaks())
            modes.enter_context(jax.transfer_guard("disallow"))
        yield


@pytest.mark.everyday("backend")
@pytest.mark.parametrize(("name", "backend"), MEETINGS)
def test_nothing_is_complained_of(name, backend):
    function, operands = everything(CELLS[name](**TYPES), backend)
    expected = jax.jit(function)(*operands)
    with strictly(backend):
        found = jax.jit(function)(*operands)
    CASE.assert_close(found, expected)


@pytest.mark.everyday(name=KINDS, dtype=("bfloat16",))
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("name", "backend"), MEETINGS)
def test_no_type_is_left_to_promotion(name, backend, dtype):
    """In all that tracing shows, without compiling."""
    cell = CELLS[name](dtype=dtype, param_dtype="float32")
    function, operands = everything(cell, backend, key=jax.random.key(0))
    with strictly(backend):
        jax.eval_shape(function, *operands)
        if cell.step is not None:
            x = jax.ShapeDtypeStruct((CASE.batch, CASE.input), dtype)
            jax.eval_shape(lambda x: cell.step(operands[0], None, x), x)


class Strict(contracts.Case):
    """A case whose calls of `unroll` are compiled and run under all modes at once."""

    def unroll(self, cell, params, state, xs, **options):
        arrays = {
            name: jax.tree.map(jnp.asarray, options.pop(name))
            for name in ("lengths", "mask", "resets", "key")
            if options.get(name) is not None
        }

        @jax.jit
        def run(params, state, xs, arrays):
            how = {"backend": self.backend, **options, **arrays}
            return jt.unroll(cell, params, state, xs, **how)

        operands = jax.tree.map(jnp.asarray, (params, state, xs, arrays))
        with strictly(self.backend):
            return run(*operands)


CLAUSES = [
    clause
    for clause in contracts.FOR_EVERY_CELL + contracts.FOR_EVERY_CELL_THAT_STEPS
    if clause is not contracts.jit_is_eager  # what runs eagerly moves numbers
]


@pytest.mark.everyday(
    name=("gru",),
    backend=("fused",),
    clause=(contracts.types_are_kept, contracts.masked_steps_are_left_out),
    thorough=["backend clause", "name backend"],
)
@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize(("name", "backend"), MEETINGS)
def test_the_contract_holds_under_all_modes(name, backend, clause):
    if name in WHOLE_ONLY and clause in contracts.FOR_EVERY_CELL_THAT_STEPS:
        pytest.skip("without a step")
    clause(CELLS[name](**TYPES), Strict(backend=backend))


@pytest.mark.everyday(name=KINDS)
@pytest.mark.parametrize("name", CELLS)
def test_checkify_raises_no_false_alarm(name):
    function, operands = everything(CELLS[name](**TYPES), "auto")
    error, found = jax.jit(checkify.checkify(function, CHECKS))(*operands)
    error.throw()
    CASE.assert_close(found, jax.jit(function)(*operands))


@pytest.mark.everyday("axes", "name", name=KINDS)
@pytest.mark.parametrize("axes", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("name", CELLS)
def test_a_batch_may_be_divided_by_a_mesh(name, axes):
    function, operands = everything(CELLS[name](**TYPES), "auto")
    expected = jax.jit(function)(*operands)
    mesh = jax.make_mesh((2,), ("data",), (axes,), devices=jax.devices()[:2])
    everywhere, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    where = everywhere, split, split, split, split
    with jax.set_mesh(mesh):
        divided = jax.device_put(operands, where)
        value, gradients = jax.jit(function)(*divided)
    found = jax.tree.map(np.asarray, (value, gradients))
    CASE.assert_close(found, jax.tree.map(np.asarray, expected), times=10)


DIVIDED = [(n, b) for n, b in MEETINGS if b in ("fused", "parallel", "newton")]


@pytest.mark.everyday(name=("rnn", "gru", "bidirectional"), backend=("fused",))
@pytest.mark.parametrize(("name", "backend"), DIVIDED)
def test_a_gradient_is_divided_as_its_parameters_are(name, backend):
    """Of those that are divided. XLA decides, but no worse than for a scan."""
    cell = CELLS[name](**TYPES)
    params, state, xs = contracts.make(cell, CASE)
    mesh = jax.make_mesh((2,), ("model",), (AxisType.Auto,), devices=jax.devices()[:2])

    def where(x):
        even = x.shape[-1:] and x.shape[-1] % 2 == 0
        axes = (None,) * (x.ndim - 1) + ("model",) if even else ()
        return NamedSharding(mesh, P(*axes))

    places = jax.tree.map(where, params)
    divided = jax.device_put(params, places)

    def alike(backend):
        @jax.jit
        @jax.grad
        def gradient(params):
            return contracts.total(jt.unroll(cell, params, state, xs, backend=backend))

        def of_leaf(place, x):
            return place.spec == P() or x.sharding.is_equivalent_to(place, x.ndim)

        return jax.tree.leaves(jax.tree.map(of_leaf, places, gradient(divided)))

    found = alike(backend)
    assert all(found) or not any(map(operator.gt, alike("scan"), found))


MODELS = {
    "one-hot": jt.LanguageModel(jt.stack(jt.lstm(4), jt.dropout(0.5), jt.gru(4)), 7),
    "embedding": jt.LanguageModel(jt.stack(jt.lstm(4), jt.gru(4)), 7, embedding=3),
    "vectors": jt.LanguageModel(jt.residual(jt.gru(4)), 7, embedding=4),
    "tied": jt.LanguageModel(jt.min_gru(4), 7, tied=True),
    "weight drop": jt.LanguageModel(jt.layer_norm_lstm(4), 7, weight_drop=0.5),
    "adaptive": jt.LanguageModel(jt.lstm(4), 7, tied=True, frequent=(2, 5)),
}
IDS = np.arange(300) % 7


@pytest.mark.everyday("axes", name=("one-hot", "tied"))
@pytest.mark.parametrize("axes", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("name", MODELS)
def test_texts_of_a_model_may_be_divided_by_a_mesh(name, axes):
    model, ids = MODELS[name], jnp.asarray(IDS[:40].reshape(4, 10))
    params = model.init(jax.random.key(0), None, ids)["params"]

    def gradient(params, ids):
        def loss(params):
            noise = {"dropout": jax.random.key(1)}
            state, logits = model.apply({"params": params}, None, ids, rngs=noise)
            variables = {"params": params}
            _, more = model.apply(variables, state, ids[:, 0], method="step")
            return contracts.total((logits, more))

        return jax.value_and_grad(loss)(params)

    expected = jax.jit(gradient)(params, ids)
    mesh = jax.make_mesh((2,), ("data",), (axes,), devices=jax.devices()[:2])
    with jax.set_mesh(mesh):
        where = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
        found = jax.jit(gradient)(*jax.device_put((params, ids), where))
    found = jax.tree.map(np.asarray, found)
    # The logarithms of probabilities add up to more than logits do.
    times = 100 if name == "adaptive" else 10
    CASE.assert_close(found, jax.tree.map(np.asarray, expected), times=times)


@pytest.mark.everyday(name=("one-hot", "adaptive"))
@pytest.mark.parametrize("name", MODELS)
def test_checkify_raises_no_false_alarm_in_a_training_step(name):
    model, optimizer = MODELS[name], optax.adamw(1e-3)
    batch = jt.text.Streams(IDS, 4, 5).batch(seed=0, k=0)
    state = jt.training.create_state(model, optimizer, jax.random.key(0), 4)
    step = jt.training.make_train_step(model, optimizer)
    error, (_, found) = jax.jit(checkify.checkify(step, CHECKS))(state, batch)
    error.throw()
    np.testing.assert_allclose(found.loss, jax.jit(step)(state, batch)[1].loss)


@pytest.mark.everyday(name=("weight drop",))
@pytest.mark.parametrize("name", MODELS)
def test_ranks_are_never_left_to_jax(name):
    """From the first step of training to the text that is written."""
    model, optimizer = MODELS[name], optax.adamw(1e-3)
    batch = jt.text.Streams(IDS, 4, 5).batch(seed=0, k=0)
    key = jax.random.key(0)
    with jax.numpy_rank_promotion("raise"):
        state = jt.training.create_state(model, optimizer, key, 4, average=True)
        step = jt.training.make_train_step(
            model, optimizer, average_decay=0.9, label_smoothing=0.1, slices=2
        )
        state, metrics = jax.jit(step)(state, batch)
        assert np.isfinite(metrics.loss)
        params = state.params
        rms = jt.training.gradient_rms(model, params, [batch])
        jt.training.evaluate_dynamic(model, params, rms, IDS[:50])
        jt.training.evaluate(model, params, IDS[:50], window=7)
        assert len([*jt.generation.generate(model, params, IDS[None], 3, key=key)]) == 1


def exported_and_back(function, *shapes):
    blob = jax.export.export(jax.jit(function))(*shapes).serialize()
    return jax.export.deserialize(blob).call


def shapes_of(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


SYMBOLIC = [
    (name, backend) for name, backend in MEETINGS if backend in ("scan", "fused")
]


@pytest.mark.everyday("backend")
@pytest.mark.parametrize(("name", "backend"), SYMBOLIC)
def test_batch_and_length_of_what_is_exported_are_free(name, backend):
    cell = CELLS[name](**TYPES)
    params, *_ = contracts.make(cell, CASE)

    def gradient(params, xs, lengths):
        def loss(params):
            start = cell.initial_state(xs.shape[:1])
            return contracts.total(
                jt.unroll(cell, params, start, xs, lengths=lengths, backend=backend)
            )

        return jax.value_and_grad(loss)(params)

    b, t = jax.export.symbolic_shape("b, t")
    call = exported_and_back(
        gradient,
        shapes_of(params),
        jax.ShapeDtypeStruct((b, t, CASE.input), "float32"),
        jax.ShapeDtypeStruct((b,), "int32"),
    )
    for batch, length in [(1, 1), (3, 5), (9, 2)]:
        _, _, xs = contracts.make(cell, CASE._replace(batch=batch, length=length))
        lengths = jnp.arange(batch, dtype="int32") % (length + 1)
        found, expected = call(params, xs, lengths), gradient(params, xs, lengths)
        CASE.assert_close(found, expected, times=10)


@pytest.mark.everyday(options=[{"embedding": 3}])
@pytest.mark.parametrize("options", [{}, {"embedding": 3}, {"tied": True}])
def test_a_model_that_is_exported_reads_any_batch_of_any_length(options):
    model = jt.LanguageModel(jt.stack(jt.lstm(4), jt.gru(4)), 7, **options)
    ids = jnp.zeros((1, 2), jnp.int32)
    params = model.init(jax.random.key(0), None, ids)["params"]

    def logits(params, ids):
        return model.apply({"params": params}, None, ids)[1]

    shape = jax.export.symbolic_shape("b, t")
    ids = jax.ShapeDtypeStruct(shape, "int32")
    call = exported_and_back(logits, shapes_of(params), ids)
    for shape in [(1, 1), (3, 5), (9, 2)]:
        ids = jax.random.randint(jax.random.key(1), shape, 0, 7)
        contracts.assert_close(call(params, ids), logits(params, ids))


def test_parallel_needs_a_length_and_says_so():
    cell = jt.min_gru(4)
    params, *_ = contracts.make(cell, CASE)
    run = partial(jt.unroll, cell, backend="parallel")
    b, t = jax.export.symbolic_shape("b, t")
    export = jax.export.export(jax.jit(lambda params, xs: run(params, None, xs)))
    with pytest.raises(ValueError, match="a length that is not symbolic"):
        export(shapes_of(params), jax.ShapeDtypeStruct((b, t, 5), "float32"))
    export(shapes_of(params), jax.ShapeDtypeStruct((b, 6, 5), "float32"))


@pytest.mark.everyday("name", "impl")
@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
@pytest.mark.parametrize("name", ["stack", "zoneout", "variational_dropout"])
def test_noise_belongs_to_a_sequence_by_any_kind_of_key(name, impl):
    cell = CELLS[name](**TYPES)
    params, state, xs = contracts.make(cell)
    key = jax.random.key(3, impl=impl)
    together = jt.unroll(cell, params, state, xs, key=key)
    for i in range(len(xs)):
        own = jax.tree.map(lambda x, i=i: x[i], (state, xs))
        alone = jt.unroll(cell, params, *own, key=jax.random.fold_in(key, i))
        contracts.assert_close(alone, jax.tree.map(lambda x, i=i: x[i], together))


@pytest.mark.parametrize("strategy", ["pmap", "sharded"])
def test_a_training_step_sends_nothing_unasked(strategy):
    model = jt.LanguageModel(jt.stack(jt.lstm(4), jt.dropout(0.5)), vocab_size=7)
    optimizer = optax.sgd(1e-3, momentum=0.9)  # Optax's Adam promotes types
    parallel = jt.training.data_parallel(
        model, optimizer, 4, jax.devices()[:2], strategy=strategy
    )
    streams = jt.text.Streams(np.arange(300) % 7, 4, 5)
    state = jt.training.create_state(model, optimizer, jax.random.key(0), 4)
    state, batch = parallel.place(state), parallel.shard(streams.batch(seed=0, k=0))
    with strictly():
        state, metrics = parallel.step(state, batch)
        batch = parallel.shard(streams.batch(seed=0, k=1))
        state, metrics = parallel.step(state, batch)
    assert np.isfinite(metrics.loss)
