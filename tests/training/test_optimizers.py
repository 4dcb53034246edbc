"""Any Optax transformation trains, told what it wants to know of the whole batch."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.runs.checkpoint import Checkpoints
from jaxtext.training import create_state, data_parallel, make_train_step

B, T, V = 4, 6, 5
# With noise, so that reading a batch again has to be with the same.
MODEL = jt.LanguageModel(jt.stack(jt.gru(4), jt.dropout(0.2)), V)
STREAMS = jt.text.Streams(np.random.default_rng(0).integers(0, V, 500), B, T)
CHAINS = {
    "reduce_on_plateau": optax.chain(
        optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1, atol=0.01)
    ),
    "within hyperparameters": optax.inject_hyperparams(
        lambda rate: optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adam(rate),
            optax.contrib.reduce_on_plateau(),
        )
    )(rate=0.01),
    "polyak_sgd": optax.polyak_sgd(),
    "backtracking": optax.chain(
        optax.sgd(1.0), optax.scale_by_backtracking_linesearch(8)
    ),
    "lbfgs": optax.lbfgs(memory_size=3),
    "schedule_free": optax.contrib.schedule_free_adamw(0.01),
    "sam": optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.05)),
    "apply_if_finite": optax.apply_if_finite(
        optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau()), 3
    ),
    "labels": optax.multi_transform(
        {"all": optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau())},
        lambda params: jax.tree.map(lambda _: "all", params),
    ),
}


def started(optimizer):
    return create_state(MODEL, optimizer, jax.random.key(0), B)


@functools.cache
def step_of(optimizer, **options):
    return jax.jit(make_train_step(MODEL, optimizer, **options))


def train(optimizer, steps, state=None, **options):
    """The state after so many steps, and the losses."""
    step = step_of(optimizer, **options)
    state, losses = state or started(optimizer), []
    for _ in range(steps):
        state, metrics = step(state, STREAMS.batch(0, int(state.step)))
        losses.append(float(metrics.loss))
    return state, losses


def assert_close(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        np.testing.assert_allclose(x, y, **tolerance)


@pytest.mark.everyday(
    name=("reduce_on_plateau", "backtracking", "schedule_free", "sam")
)
@pytest.mark.parametrize(
    ("name", "strategy"), list(zip(CHAINS, itertools.cycle(["pmap", "sharded"])))
)
def test_they_train_on_one_device_and_two_alike(name, strategy):
    optimizer, devices = CHAINS[name], jax.local_devices()[:2]
    state, losses = train(optimizer, 4)
    assert int(state.skipped.in_all) == 0
    assert (state.params["output"]["bias"] != 0).all()  # where it starts
    parallel = data_parallel(MODEL, optimizer, B, devices, slices=2, strategy=strategy)
    spread, found = parallel.place(started(optimizer)), []
    for k in range(4):
        spread, metrics = parallel.step(spread, parallel.shard(STREAMS.batch(0, k)))
        found.append(float(metrics.loss))
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    for leaf in jax.tree.leaves((spread.params, spread.opt_state)):
        replicas = {np.asarray(s.data).tobytes() for s in leaf.addressable_shards}
        assert len(replicas) == 1


def looks(params):
    """An optimizer that puts what it is told into its state."""

    def update(updates, state, params, *, value, grad, value_fn):
        ones = jax.tree.map(jnp.ones_like, params)
        seen = {
            "value": value,
            "value again": value_fn(params),
            "elsewhere": value_fn(jax.tree.map(lambda x: 2 * x, params)),
            "gradient": updates,
            "gradient given": grad,
            "gradient of value": jax.grad(value_fn)(params),
            "slope": jax.jvp(value_fn, (params,), (ones,))[1],
        }
        assert jax.tree.structure(seen) == jax.tree.structure(state)
        return jax.tree.map(lambda x: -0.1 * x, updates), seen

    names = "gradient", "gradient given", "gradient of value"
    scalars = "value", "value again", "elsewhere", "slope"
    zeros = jax.tree.map(jnp.zeros_like, params)
    start = dict.fromkeys(names, zeros) | {name: jnp.zeros(()) for name in scalars}
    return optax.GradientTransformationExtraArgs(lambda _: start, update)


LOOKS = looks(started(optax.identity()).params)


def test_what_they_are_told_is_one_function_of_the_whole_batch():
    smoothing = {"label_smoothing": 0.2}
    one, losses = train(LOOKS, 1, **smoothing)
    seen = one.opt_state
    assert abs(seen["value"] - losses[0]) > 1e-4  # smoothed, as the gradient is
    assert abs(seen["value"] - seen["elsewhere"]) > 1e-4
    np.testing.assert_allclose(seen["value again"], seen["value"], rtol=1e-6)
    assert_close(seen["gradient given"], seen["gradient"], rtol=0)
    assert_close(seen["gradient of value"], seen["gradient"], rtol=1e-5, atol=1e-7)
    slope = sum(x.sum() for x in jax.tree.leaves(seen["gradient"]))
    np.testing.assert_allclose(seen["slope"], slope, rtol=1e-5)
    for devices, strategy, slices in (
        (1, "pmap", 2),
        (2, "pmap", 1),
        (2, "sharded", 2),
    ):
        parallel = data_parallel(
            MODEL,
            LOOKS,
            B,
            jax.local_devices()[:devices],
            strategy=strategy,
            slices=slices,
            **smoothing,
        )
        batch = parallel.shard(STREAMS.batch(0, 0))
        spread, _ = parallel.step(parallel.place(started(LOOKS)), batch)
        assert_close(spread.opt_state, seen, rtol=1e-4, atol=1e-6)


def test_a_plateau_lowers_the_rate():
    plateau = optax.contrib.reduce_on_plateau(factor=0.5, patience=2)
    optimizer = optax.chain(optax.sgd(1e-9), plateau)
    flat = jt.text.Streams(np.zeros(500, int), B, T)  # one batch after another alike
    model = jt.LanguageModel(jt.gru(4), V)
    state = create_state(model, optimizer, jax.random.key(0), B)
    carry, step = state.carry, jax.jit(make_train_step(model, optimizer))
    scales = []
    for k in range(7):
        state, _ = step(state._replace(carry=carry), flat.batch(0, k))
        scales.append(float(state.opt_state[-1].scale))
    assert scales == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]


@pytest.mark.parametrize("as_object", [True, False])
def test_steps_of_several_batches(as_object):
    """Their type says less than they take."""
    optimizer = optax.MultiSteps(CHAINS["reduce_on_plateau"], 2)
    optimizer = optimizer if as_object else optimizer.gradient_transformation()
    start = started(optimizer)
    once, _ = train(optimizer, 1)
    twice, _ = train(optimizer, 1, once)
    assert_close(once.params, start.params, rtol=0)
    with pytest.raises(AssertionError):
        assert_close(twice.params, start.params, rtol=0)


def test_what_is_not_finite_reaches_no_optimizer():
    optimizer = CHAINS["apply_if_finite"]
    state, _ = train(optimizer, 2)
    poisoned = jax.tree.map(lambda x: x * np.nan, state.carry)
    after, _ = train(optimizer, 1, state._replace(carry=poisoned))
    assert int(after.skipped.in_all) == 1
    assert_close((after.params, after.opt_state), (state.params, state.opt_state))
    assert int(after.opt_state.total_notfinite) == 0  # a step is skipped before that


@pytest.mark.parametrize("name", ["reduce_on_plateau", "lbfgs", "schedule_free"])
def test_their_states_are_saved_and_restored(name, tmp_path):
    optimizer = CHAINS[name]
    state, _ = train(optimizer, 2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(state, {})
    checkpoints.finish()
    found = checkpoints.restore_latest(jax.eval_shape(lambda: started(optimizer)))
    assert found is not None
    assert_close(found.arrays.params, state.params, rtol=0)
    assert_close(found.arrays.opt_state, state.opt_state, rtol=0)


REFUSED = {
    "grad_fn must be provided": optax.contrib.sam(
        optax.sgd(0.1), optax.sgd(0.1), opaque_mode=True
    ),
    "obj_fn must be provided": optax.contrib.sophia(0.1),
}


@pytest.mark.parametrize("missing", REFUSED)
def test_one_that_wants_more_is_refused_by_name(missing):
    with pytest.raises(ValueError, match=missing) as error:
        train(REFUSED[missing], 1)
    assert "passes an optimizer value, grad and value_fn" in " ".join(
        error.value.__notes__
    )


def test_who_does_not_ask_does_not_pay():
    """A step is the same program, whether its optimizer is told `value_fn` or not."""
    sgd, batch = optax.sgd(0.1), STREAMS.batch(0, 0)

    def program(optimizer):
        state = create_state(MODEL, optimizer, jax.random.key(0), B)
        return str(jax.make_jaxpr(make_train_step(MODEL, optimizer))(state, batch))

    assert program(optax.with_extra_args_support(sgd)) == program(sgd)
    reads = "name=unroll"  # the model, over a batch
    assert program(sgd).count(reads) < program(optax.lbfgs()).count(reads)
