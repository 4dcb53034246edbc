"""What every cell keeps to, whatever its equations. Each clause is one function.

A clause takes a cell and a `Case`: the sizes, the type and the backend it is held to.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxtext as jt
from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.masks import select
from jaxtext.target import target

B, T, D = 3, 7, 5
TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
WIDER = {"newton": 5}  # its iteration ends when each step is right to 32 units


# Backends whose interpreter has side effects, which `jax.checkpoint` does not take. On
# a device they have none (tests/kernels/test_mosaic_gpu.py).
WITHOUT_CHUNKS = ("mosaic_gpu",)


class Case(NamedTuple):
    batch: int = B
    length: int = T
    input: int = D
    dtype: str = "float32"
    backend: str = "auto"

    def unroll(self, cell, params, state, xs, **options):
        return jt.unroll(cell, params, state, xs, backend=self.backend, **options)

    def lengths(self):
        """Some of the steps, none, and all."""
        return np.array([(self.length + 1) // 2, 0, self.length][: self.batch])

    def mask(self):
        """Some of the steps, anywhere; none; and all but the last."""
        mask = np.arange(self.length) % 3 != 1 - np.arange(3)[:, None]
        mask[1] = False
        mask[2] = np.arange(self.length) != self.length - 1
        return mask[: self.batch]

    def resets(self):
        return np.arange(self.length) % 3 == np.arange(self.batch)[:, None]

    def assert_close(self, a, b, times=1):
        if self.dtype == "bfloat16":
            assert_near(a, b)
        else:
            times *= WIDER.get(self.backend, 1)
            assert_close(a, b, times * TOLERANCE[self.dtype])


def make(cell, case=None, *, symbols=False):
    """Parameters away from their start (no zero biases), a state, and inputs.

    Without a case: inputs of JAX's default type.
    """
    random = np.random.default_rng(0)
    dtype = float if case is None else case.dtype
    batch, length, width, *_ = case or Case()

    def noisy(x):
        noise = 0.2 * random.standard_normal(x.shape)
        return jnp.asarray(np.asarray(x) + noise.astype(x.dtype))

    params = jax.tree.map(noisy, cell.init(jax.random.key(0), width))
    state = jax.tree.map(noisy, cell.initial_state((batch,)))
    if symbols:
        xs = jnp.asarray(random.integers(0, width, (batch, length)), int)
    else:
        xs = jnp.asarray(random.standard_normal((batch, length, width)), dtype)
    return params, state, xs


def assert_close(a, b, tolerance=TOLERANCE["float32"]):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(
            np.asarray(x, np.float64), np.asarray(y, np.float64), 0, tolerance
        )


def assert_near(a, b, tolerance=0.03):
    """As near as sums in bfloat16 are, whose numbers have three digits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        limit = tolerance * max(np.linalg.norm(y), 0.1 * y.size**0.5)
        assert np.linalg.norm(x - y) <= limit


def total(tree):
    """A number that depends on every leaf, and not linearly."""
    leaves = jax.tree.leaves(tree)
    return sum(jnp.sum(jnp.sin(x.astype(accumulation_dtype(x.dtype)))) for x in leaves)


def unroll_is_repeated_step(cell, case):
    params, state, xs = make(cell, case)
    final, ys = case.unroll(cell, params, state, xs)
    expected = []
    for t in range(case.length):
        state, y = cell.step(params, state, xs[:, t])
        expected.append(y)
    case.assert_close((final, ys), (state, jnp.stack(expected, 1)))


def two_chunks_are_one(cell, case):
    params, state, xs = make(cell, case)
    resets, cut = case.resets(), case.length // 2
    for reverse in (False, True):
        whole = case.unroll(cell, params, state, xs, resets=resets, reverse=reverse)
        halves = [
            jax.tree.map(lambda x: x[:, :cut], (xs, resets)),
            jax.tree.map(lambda x: x[:, cut:], (xs, resets)),
        ]
        between, outputs = state, []
        for part, part_resets in reversed(halves) if reverse else halves:
            between, ys = case.unroll(
                cell, params, between, part, resets=part_resets, reverse=reverse
            )
            outputs.append(ys)
        outputs = outputs[::-1] if reverse else outputs
        case.assert_close(whole, (between, jnp.concatenate(outputs, 1)))


def jit_is_eager(cell, case):
    params, state, xs = make(cell, case)
    unroll = jax.jit(case.unroll, static_argnums=0)
    with jax.disable_jit():
        eager = case.unroll(cell, params, state, xs)
    case.assert_close(unroll(cell, params, state, xs), eager)


def vmap_is_batch(cell, case):
    params, state, xs = make(cell, case)
    one_by_one = jax.vmap(lambda s, x: case.unroll(cell, params, s, x))(state, xs)
    case.assert_close(one_by_one, case.unroll(cell, params, state, xs))


def any_number_of_batch_axes(cell, case):
    params, state, xs = make(cell, case)
    masks = {"lengths": case.lengths(), "resets": case.resets()}

    def axes(tree):
        return jax.tree.map(lambda x: x.reshape(1, -1, 1, *x.shape[1:]), tree)

    flat = case.unroll(cell, params, state, xs, **masks)
    nested = case.unroll(cell, params, axes(state), axes(xs), **axes(masks))
    case.assert_close(nested, axes(flat))


def neither_backend_nor_remat_changes_anything(cell, case):
    """Values and gradients, all that can be asked for at once."""
    params, state, xs = make(cell, case)

    @partial(jax.jit, static_argnames=("remat", "backend"))
    @partial(jax.value_and_grad, argnums=(0, 1, 2))
    def gradient(params, state, xs, backend, remat):
        return total(
            jt.unroll(
                cell, params, state, xs, key=jax.random.key(5), lengths=case.lengths(),
                mask=case.mask()[::-1], resets=case.resets(), remat=remat,
                reverse=True, backend=backend,
            )
        )  # fmt: skip

    plain = gradient(params, state, xs, backend="scan", remat=None)
    for remat in (None, "gates", 3):
        interpreted = target().platform != "gpu"
        if remat == 3 and interpreted and case.backend in WITHOUT_CHUNKS:
            continue
        found = gradient(params, state, xs, backend=case.backend, remat=remat)
        case.assert_close(found, plain, times=10)


def lengths_are_slices(cell, case):
    params, state, xs = make(cell, case)
    lengths = case.lengths()
    for reverse in (False, True):
        final, ys = case.unroll(
            cell, params, state, xs, lengths=lengths, reverse=reverse
        )
        for b, n in enumerate(lengths.tolist()):
            own = jax.tree.map(lambda s, b=b: s[b], state)
            alone = case.unroll(cell, params, own, xs[b, :n], reverse=reverse)
            here = jax.tree.map(lambda s, b=b: s[b], final)
            case.assert_close((here, ys[b, :n]), alone)
            assert not ys[b, n:].any()


def lengths_may_be_traced(cell, case):
    """So that other lengths are no reason to compile again."""
    params, state, xs = make(cell, case)

    def run(lengths):
        return case.unroll(cell, params, state, xs, lengths=lengths)

    for lengths in (case.lengths(), np.full_like(case.lengths(), case.length)):
        case.assert_close(jax.jit(run)(lengths), run(lengths))


def masked_steps_are_left_out(cell, case):
    """Anywhere, also where `lengths` leaves steps out as well."""
    params, state, xs = make(cell, case)
    inside = np.arange(case.length) < case.lengths()[:, None]
    for lengths, mask in ((None, case.mask()), (case.lengths(), case.mask()[::-1])):
        taken = mask if lengths is None else mask & inside
        for reverse in (False, True):
            final, ys = case.unroll(
                cell, params, state, xs, mask=mask, lengths=lengths, reverse=reverse
            )
            for b, own in enumerate(taken):
                start = jax.tree.map(lambda s, b=b: s[b], state)
                alone = case.unroll(cell, params, start, xs[b, own], reverse=reverse)
                here = jax.tree.map(lambda s, b=b: s[b], final)
                case.assert_close((here, ys[b, own]), alone)
                assert not ys[b, ~own].any()


def a_reset_at_a_masked_step_resets(cell, case):
    params, state, xs = make(cell, case)
    mask, resets = case.mask(), case.resets()
    fresh = cell.initial_state((case.batch,))
    now, expected = state, []
    for t in range(case.length):
        now = select(jnp.asarray(resets[:, t]), fresh, now)
        after, y = case.unroll(cell, params, now, xs[:, t : t + 1])
        now = select(jnp.asarray(mask[:, t]), after, now)
        expected.append(jnp.where(mask[:, t, None], y[:, 0], 0))
    found = case.unroll(cell, params, state, xs, mask=mask, resets=resets)
    case.assert_close(found, (now, jnp.stack(expected, 1)))


def nan_in_padding_never_leaks(cell, case):
    params, state, xs = make(cell, case)
    inside = np.arange(case.length) < case.lengths()[:, None]
    for taken, masks in (
        (inside, {"lengths": case.lengths()}),
        (case.mask(), {"mask": case.mask()}),
    ):

        @jax.jit
        @partial(jax.value_and_grad, argnums=(0, 1, 2))
        def gradient(params, state, xs, masks=masks):
            return total(case.unroll(cell, params, state, xs, **masks))

        padding = ~taken[..., None]
        clean = gradient(params, state, jnp.where(padding, 0, xs))
        dirty = gradient(params, state, jnp.where(padding, jnp.nan, xs))
        case.assert_close(dirty, clean)


def resets_are_separate_sequences(cell, case):
    params, state, xs = make(cell, case)
    cut = case.length // 2
    resets = np.arange(case.length) == np.full((case.batch, 1), cut)
    fresh = cell.initial_state((case.batch,))
    _, first = case.unroll(cell, params, state, xs[:, :cut])
    final, second = case.unroll(cell, params, fresh, xs[:, cut:])
    case.assert_close(
        case.unroll(cell, params, state, xs, resets=resets),
        (final, jnp.concatenate([first, second], 1)),
    )
    final, first = case.unroll(cell, params, fresh, xs[:, :cut], reverse=True)
    _, second = case.unroll(cell, params, state, xs[:, cut:], reverse=True)
    case.assert_close(
        case.unroll(cell, params, state, xs, resets=resets, reverse=True),
        (final, jnp.concatenate([first, second], 1)),
    )


def reverse_is_the_sequence_reversed(cell, case):
    params, state, xs = make(cell, case)
    final, ys = case.unroll(cell, params, state, xs[:, ::-1])
    backwards = case.unroll(cell, params, state, xs, reverse=True)
    case.assert_close(backwards, (final, ys[:, ::-1]))


def time_major_is_transposed(cell, case):
    params, state, xs = make(cell, case)
    resets = case.resets()
    final, ys = case.unroll(cell, params, state, xs, resets=resets)
    xs, resets = jax.tree.map(lambda x: x.swapaxes(0, 1), (xs, resets))
    time_major = case.unroll(cell, params, state, xs, resets=resets, time_major=True)
    case.assert_close(time_major, (final, ys.swapaxes(0, 1)))


def no_steps(cell, case):
    params, state, xs = make(cell, case)
    width = case.unroll(cell, params, state, xs)[1].shape[-1]
    final, ys = case.unroll(cell, params, state, xs[:, :0])
    case.assert_close(final, state)
    assert ys.shape == (case.batch, 0, width)


def symbols_are_one_hot_rows(cell, case):
    params, state, ids = make(cell, case, symbols=True)

    def run(params, xs):
        return case.unroll(cell, params, state, xs, lengths=case.lengths())

    one_hot = jax.nn.one_hot(ids, case.input, dtype=case.dtype)
    case.assert_close(run(params, ids), run(params, one_hot))
    gradient = jax.jit(jax.grad(lambda params, xs: total(run(params, xs))))
    case.assert_close(gradient(params, ids), gradient(params, one_hot), times=10)


def types_are_kept(cell, case):
    params, state, xs = make(cell, case)
    _, y = case.unroll(cell, params, state, xs[:, :1])
    final, ys = case.unroll(cell, params, state, xs)

    def kinds(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype), tree)

    assert kinds(final) == kinds(state)
    assert ys.dtype == y.dtype == case.dtype

    def loss(params, state, xs):
        return total(case.unroll(cell, params, state, xs))

    gradients = jax.grad(loss, (0, 1, 2))(params, state, xs)
    assert kinds(gradients) == kinds((params, state, xs))


FOR_EVERY_CELL = [
    jit_is_eager,
    vmap_is_batch,
    any_number_of_batch_axes,
    lengths_are_slices,
    lengths_may_be_traced,
    masked_steps_are_left_out,
    nan_in_padding_never_leaks,
    reverse_is_the_sequence_reversed,
    time_major_is_transposed,
    no_steps,
    symbols_are_one_hot_rows,
    types_are_kept,
    neither_backend_nor_remat_changes_anything,
]
FOR_EVERY_CELL_THAT_STEPS = [
    unroll_is_repeated_step,
    two_chunks_are_one,
    a_reset_at_a_masked_step_resets,
    resets_are_separate_sequences,
]
