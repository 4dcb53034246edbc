"""What every cell keeps to, whatever its equations. Each function is one clause."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxtext as jt

B, T, D = 3, 7, 5


def make(cell, *, symbols=False, seed=0):
    """Parameters away from their start (no zero biases), a state, and inputs."""
    keys = iter(jax.random.split(jax.random.key(seed), 100))

    def noisy(x):
        return x + 0.2 * jax.random.normal(next(keys), x.shape, x.dtype)

    params = jax.tree.map(noisy, cell.init(next(keys), D))
    state = jax.tree.map(noisy, cell.initial_state((B,)))
    if symbols:
        xs = jax.random.randint(next(keys), (B, T), 0, D)
    else:
        xs = jax.random.normal(next(keys), (B, T, D))
    return params, state, xs


def assert_close(a, b, tolerance=2e-6):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(
            np.asarray(x, np.float64), np.asarray(y, np.float64), 0, tolerance
        )


def unroll_is_repeated_step(cell):
    params, state, xs = make(cell)
    final, ys = jt.unroll(cell, params, state, xs)
    expected = []
    for t in range(T):
        state, y = cell.step(params, state, xs[:, t])
        expected.append(y)
    assert_close((final, ys), (state, jnp.stack(expected, 1)))


def two_chunks_are_one(cell):
    params, state, xs = make(cell)
    resets = jnp.arange(T) % 3 == jnp.arange(B)[:, None]
    for reverse in (False, True):
        whole = jt.unroll(cell, params, state, xs, resets=resets, reverse=reverse)
        halves = [(xs[:, :3], resets[:, :3]), (xs[:, 3:], resets[:, 3:])]
        between, outputs = state, []
        for part, part_resets in reversed(halves) if reverse else halves:
            between, ys = jt.unroll(
                cell, params, between, part, resets=part_resets, reverse=reverse
            )
            outputs.append(ys)
        outputs = outputs[::-1] if reverse else outputs
        assert_close(whole, (between, jnp.concatenate(outputs, 1)))


def jit_is_eager(cell):
    params, state, xs = make(cell)
    unroll = jax.jit(jt.unroll, static_argnums=0)
    with jax.disable_jit():
        eager = jt.unroll(cell, params, state, xs)
    assert_close(unroll(cell, params, state, xs), eager)


def vmap_is_batch(cell):
    params, state, xs = make(cell)
    one_by_one = jax.vmap(lambda s, x: jt.unroll(cell, params, s, x))(state, xs)
    assert_close(one_by_one, jt.unroll(cell, params, state, xs))


def any_number_of_batch_axes(cell):
    params, state, xs = make(cell)
    lengths = jnp.array([4, 0, 7])
    resets = jnp.arange(T) % 3 == jnp.arange(B)[:, None]

    def axes(tree):
        return jax.tree.map(lambda x: x.reshape(1, B, 1, *x.shape[1:]), tree)

    flat = jt.unroll(cell, params, state, xs, lengths=lengths, resets=resets)
    nested = jt.unroll(
        cell, params, axes(state), axes(xs), lengths=axes(lengths), resets=axes(resets)
    )
    assert_close(nested, axes(flat))


def remat_changes_nothing(cell):
    params, state, xs = make(cell)
    lengths = jnp.array([4, 0, 7])
    resets = jnp.arange(T) % 3 == jnp.arange(B)[:, None]

    @partial(jax.jit, static_argnums=3)
    @partial(jax.value_and_grad, argnums=(0, 1, 2))
    def gradient(params, state, xs, remat):
        final, ys = jt.unroll(
            cell, params, state, xs, key=jax.random.key(5), lengths=lengths,
            resets=resets, remat=remat, reverse=True,
        )  # fmt: skip
        return sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves((final, ys)))

    plain = gradient(params, state, xs, None)
    for remat in ("gates", 3):
        assert_close(gradient(params, state, xs, remat), plain, 1e-5)


def lengths_are_slices(cell):
    params, state, xs = make(cell)
    lengths = [4, 0, 7]
    for reverse in (False, True):
        final, ys = jt.unroll(
            cell, params, state, xs, lengths=jnp.array(lengths), reverse=reverse
        )
        for b, n in enumerate(lengths):
            own = jax.tree.map(lambda s, b=b: s[b], state)
            alone = jt.unroll(cell, params, own, xs[b, :n], reverse=reverse)
            here = jax.tree.map(lambda s, b=b: s[b], final)
            assert_close((here, ys[b, :n]), alone)
            assert not ys[b, n:].any()


def nan_in_padding_never_leaks(cell):
    params, state, xs = make(cell)
    lengths = jnp.array([4, 0, 7])
    padding = (jnp.arange(T) >= lengths[:, None])[..., None]

    def loss(params, state, xs):
        final, ys = jt.unroll(cell, params, state, xs, lengths=lengths)
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves((final, ys)))

    gradient = jax.grad(loss, argnums=(0, 1, 2))
    clean = gradient(params, state, jnp.where(padding, 0, xs))
    assert_close(gradient(params, state, jnp.where(padding, jnp.nan, xs)), clean)


def resets_are_separate_sequences(cell):
    params, state, xs = make(cell)
    resets = jnp.zeros((B, T), bool).at[:, 3].set(True)
    fresh = cell.initial_state((B,))
    _, first = jt.unroll(cell, params, state, xs[:, :3])
    final, second = jt.unroll(cell, params, fresh, xs[:, 3:])
    assert_close(
        jt.unroll(cell, params, state, xs, resets=resets),
        (final, jnp.concatenate([first, second], 1)),
    )
    final, first = jt.unroll(cell, params, fresh, xs[:, :3], reverse=True)
    _, second = jt.unroll(cell, params, state, xs[:, 3:], reverse=True)
    assert_close(
        jt.unroll(cell, params, state, xs, resets=resets, reverse=True),
        (final, jnp.concatenate([first, second], 1)),
    )


def reverse_is_the_sequence_reversed(cell):
    params, state, xs = make(cell)
    final, ys = jt.unroll(cell, params, state, xs[:, ::-1])
    backwards = jt.unroll(cell, params, state, xs, reverse=True)
    assert_close(backwards, (final, ys[:, ::-1]))


def time_major_is_transposed(cell):
    params, state, xs = make(cell)
    resets = jnp.arange(T) % 3 == jnp.arange(B)[:, None]
    final, ys = jt.unroll(cell, params, state, xs, resets=resets)
    time_major = jt.unroll(
        cell, params, state, xs.swapaxes(0, 1), resets=resets.T, time_major=True
    )
    assert_close(time_major, (final, ys.swapaxes(0, 1)))


def no_steps(cell):
    params, state, xs = make(cell)
    width = jt.unroll(cell, params, state, xs)[1].shape[-1]
    final, ys = jt.unroll(cell, params, state, xs[:, :0])
    assert_close(final, state)
    assert ys.shape == (B, 0, width)


def symbols_are_one_hot_rows(cell):
    params, state, ids = make(cell, symbols=True)
    lengths = jnp.array([4, 0, 7])

    def run(params, xs):
        return jt.unroll(cell, params, state, xs, lengths=lengths)

    def loss(params, xs):
        return sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(run(params, xs)))

    one_hot = jax.nn.one_hot(ids, D)
    assert_close(run(params, ids), run(params, one_hot))
    gradient = jax.grad(loss)
    assert_close(gradient(params, ids), gradient(params, one_hot), 1e-5)


def state_keeps_shape_and_dtype(cell):
    params, state, xs = make(cell)
    after, y = jt.unroll(cell, params, state, xs[:, :1])
    final, ys = jt.unroll(cell, params, state, xs)

    def kinds(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype), tree)

    assert kinds(after) == kinds(state) == kinds(final)
    assert ys.dtype == y.dtype


FOR_EVERY_CELL = [
    jit_is_eager,
    vmap_is_batch,
    any_number_of_batch_axes,
    lengths_are_slices,
    nan_in_padding_never_leaks,
    reverse_is_the_sequence_reversed,
    time_major_is_transposed,
    no_steps,
    symbols_are_one_hot_rows,
    state_keeps_shape_and_dtype,
    remat_changes_nothing,
]
FOR_EVERY_CELL_THAT_STEPS = [
    unroll_is_repeated_step,
    two_chunks_are_one,
    resets_are_separate_sequences,
]
