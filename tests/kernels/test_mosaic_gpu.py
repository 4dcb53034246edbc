"""The kernels for Hopper GPUs are the scan, interpreted; and lower for CUDA.

The interpreter keeps an account of who has seen what (tests/conftest.py): a value that
is read without a barrier after its writing is a race, and fails the test. Memory that
nobody has written is NaN.
"""

from types import SimpleNamespace

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.kernels.gru import GRU
from jaxtext.kernels.mosaic_gpu import backward, forward, launch, operands, team, tiles
from jaxtext.types import Masks, Target

CELLS = {"rnn": jt.rnn, "lstm": jt.lstm, "gru": jt.gru}
GPU = Target("gpu", "NVIDIA H100 80GB HBM3")
CPU = Target("cpu", "cpu")
# (batch, length, hidden) that the kernels are made for.
SHAPES = [(16, 1024, 768), (64, 512, 512), (128, 256, 256), (16, 256, 128)]
OPTIONS = {
    "plain": {},
    "everything": {"masks": True, "reverse": True},
    "gates again": {"masks": True, "remat": "gates"},
}
needs_mosaic_gpu = pytest.mark.skipif(
    not launch.serves(), reason="the kernels for GPU need JAX 0.11"
)


@pytest.fixture
def on_gpu(pretend):
    """Kernels are made for a GPU, not interpreted."""
    pretend(operands, GPU)
    pretend(launch, GPU)


def gradients(cell, case, options, *arrays):
    """The value of a scalar of all results, and its gradients."""
    options = dict(options)
    if options.pop("masks", False):
        lengths = np.arange(case.batch) * 3 % (case.length + 1)
        options |= {"lengths": lengths, "resets": case.resets()}

    def loss(params, state, xs):
        return contracts.total(case.unroll(cell, params, state, xs, **options))

    argnums = (0, 1, 2) if jnp.issubdtype(arrays[-1].dtype, jnp.floating) else (0, 1)
    return jax.jit(jax.value_and_grad(loss, argnums))(*arrays)


def assert_is_the_scan(name, sizes, dtype, options, symbols=False, times=10):
    *sizes, hidden = sizes
    cell = CELLS[name](hidden, dtype=dtype)
    case = contracts.Case(*sizes, dtype, "mosaic_gpu")
    arrays = contracts.make(cell, case, symbols=symbols)
    found, expected = (
        gradients(cell, case._replace(backend=way), OPTIONS[options], *arrays)
        for way in ("mosaic_gpu", "scan")
    )
    case.assert_close(found, expected, times)


@pytest.mark.everyday("form", "name dtype")
@needs_mosaic_gpu
@pytest.mark.parametrize("form", ["block", "cluster", "grid"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("rnn", "float32"), ("gru", "float32"), ("lstm", "float32"), ("lstm", "bfloat16")],
)
def test_each_form_is_the_scan_without_races(name, form, dtype, monkeypatch):
    """Workers that share a state of 64, or of 128 for an RNN, whose own are 64."""
    monkeypatch.setattr(tiles, "_FORMS", (form,))
    hidden = 70 if name == "rnn" else 20
    assert_is_the_scan(name, (3, 5, 4, hidden), dtype, "everything", name == "gru")


@pytest.mark.everyday("name", "form", "options")
@needs_mosaic_gpu
@pytest.mark.parametrize(
    ("name", "form", "sizes", "options"),
    [
        ("lstm", "grid", (1, 1, 1, 1), "everything"),
        ("gru", "block", (1, 1, 1, 1), "plain"),
        ("lstm", "block", (9, 3, 2, 65), "plain"),  # two tiles, four units of 32
        ("gru", "cluster", (9, 3, 2, 65), "everything"),
        ("lstm", "grid", (3, 4, 5, 7), "gates again"),
        ("gru", "block", (3, 4, 5, 7), "gates again"),
    ],
)
def test_odd_sizes_and_gates_computed_again(name, form, sizes, options, monkeypatch):
    monkeypatch.setattr(tiles, "_FORMS", (form,))
    dtype = "bfloat16" if (form, sizes[-1]) == ("block", 65) else "float32"  # to fit
    assert_is_the_scan(name, sizes, dtype, options)


@pytest.mark.everyday(form=("cluster",))
@needs_mosaic_gpu
@pytest.mark.parametrize(
    ("name", "form", "rows"),
    [("lstm", "grid", 16), ("gru", "cluster", 32), ("rnn", "block", 64)],
)
def test_larger_tiles_are_the_scan_without_races(name, form, rows, monkeypatch):
    """The last tile is not full. Gradients are sums over more sequences than above."""
    monkeypatch.setattr(tiles, "_FORMS", (form,))
    monkeypatch.setattr(tiles, "_ROWS", (rows,))
    hidden = 70 if name == "rnn" else 20
    assert_is_the_scan(
        name, (rows + 3, 3, 2, hidden), "float32", "everything", times=rows
    )


@needs_mosaic_gpu
def test_a_team_takes_one_tile_after_the_other(monkeypatch):
    """Three tiles for two teams: the second one has no second turn."""
    monkeypatch.setattr(tiles, "_FORMS", ("grid",))
    monkeypatch.setattr(tiles, "_ROWS", (8,))
    monkeypatch.setattr(operands, "_INTERPRETED", 8)
    of = tiles.tiles(tiles.Sizes(3, 17, 20, 4, jnp.float32), 8)
    assert of is not None
    assert (of.workers, of.teams, of.parts) == (4, 2, 3)
    assert_is_the_scan("lstm", (17, 3, 2, 20), "float32", "plain")


@needs_mosaic_gpu
@pytest.mark.parametrize("form", ["block", "grid"])
def test_a_reset_at_any_place(form, monkeypatch):
    """Of four sequences each has one at another step."""
    monkeypatch.setattr(tiles, "_FORMS", (form,))
    cell = jt.gru(5)
    params, state, xs = contracts.make(cell, contracts.Case(4, 4, 3))
    resets = np.eye(4, dtype=bool)

    def run(backend):
        def loss(*arrays):
            options = {"resets": resets, "backend": backend}
            return contracts.total(jt.unroll(cell, *arrays, **options))

        return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(params, state, xs)

    contracts.assert_close(run("mosaic_gpu"), run("scan"), 2e-5)


@pytest.mark.everyday("dtype", "sizes", "name")
@needs_mosaic_gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_lowers_for_cuda(name, sizes, dtype, on_gpu):
    """Down to what a GPU's plugin compiles, which needs none to be there.

    A warning would be an error, as everywhere in the suite.
    """
    batch, length, hidden = sizes
    cell = CELLS[name](hidden, dtype=dtype)
    case = contracts.Case(batch, length, 32, dtype, "mosaic_gpu")
    shapes = shapes_of(cell, case)

    def run(options, *arrays):
        return lowered(lambda *a: gradients(cell, case, options, *a), *arrays)

    if dtype == "float32" and hidden > 576:
        with pytest.raises(InputError, match="do not fit"):
            run({}, *shapes)
        return
    options = {"masks": dtype == "bfloat16"}
    assert run(options, *shapes).count("@mosaic_gpu_v2") == 2


@needs_mosaic_gpu
@pytest.mark.parametrize("x64", [False, True])
def test_chunks_and_vmap_lower_for_cuda(x64, on_gpu):
    """What the interpreter does not take, or takes one after the other."""
    with jax.enable_x64(x64):
        cell = jt.lstm(200, dtype="bfloat16", param_dtype="float32")
        case = contracts.Case(3, 7, 5, "bfloat16", "mosaic_gpu")
        params, state, xs = shapes_of(cell, case)

        def run(params, state, xs):
            return gradients(cell, case, {"masks": True, "remat": 3}, params, state, xs)

        program = lowered(run, params, state, xs)
        # Two whole chunks in a loop, and a last one; each forward, and both ways.
        assert program.count("@mosaic_gpu_v2") >= 3

        def one(state, x):
            return jt.unroll(cell, params, state, x, backend="mosaic_gpu")

        params = cell.init(jax.random.key(0), 5)
        program = lowered(jax.vmap(one), state, xs)
        assert program.count("@mosaic_gpu_v2") == 1
        assert "stablehlo.while" in program


@needs_mosaic_gpu
def test_within_shard_map_a_gpu_gets_the_kernels(on_gpu):
    """Where masks are the same on all devices, and where they differ."""
    cell = jt.gru(4)
    params, _, xs = contracts.make(cell)
    mesh = jax.sharding.AbstractMesh((3,), ("data",), axis_types=(AxisType.Auto,))

    def loss(params, xs, resets):
        start = cell.initial_state(xs.shape[:1])
        lengths = jnp.full(xs.shape[:1], 5)
        options = {"lengths": lengths, "resets": resets, "backend": "mosaic_gpu"}
        return contracts.total(jt.unroll(cell, params, start, xs, **options))

    def run(params, xs, resets):
        value, gradients = jax.value_and_grad(loss)(params, xs, resets)
        return jax.lax.psum(value, "data"), gradients

    specs = P(), P("data"), P("data")
    run = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=P())
    program = str(jax.make_jaxpr(run)(params, xs, np.zeros((3, 7), bool)))
    assert program.count("name=recurrence_forward") == 1
    assert program.count("name=recurrence_backward") == 1


@pytest.mark.parametrize(
    ("name", "hidden", "dtype", "device", "reason"),
    [
        ("lstm", 128, "bfloat16", GPU, None),
        ("lstm", 1024, "bfloat16", GPU, None),
        ("gru", 1024, "float16", GPU, None),
        ("rnn", 1024, "bfloat16", GPU, None),
        ("lstm", 512, "float32", Target("gpu", "NVIDIA H200"), None),
        ("lstm", 2048, "bfloat16", GPU, "32.0 MiB and a step do not fit"),
        ("lstm", 1024, "bfloat16", Target("gpu", "NVIDIA H20"), None),
        ("rnn", 8, "float64", GPU, "float16, not in float64"),
        ("rnn", 8, "float32", Target("tpu", "TPU v5e"), "for GPU"),
        ("rnn", 8, "float32", Target("gpu", "NVIDIA A100-SXM4-80GB"), "for Hopper"),
        ("rnn", 8, "float32", Target("gpu", f"{GPU.kind} MIG 1g.10gb"), "whole ones"),
    ],
)
@needs_mosaic_gpu
def test_what_it_lacks(name, hidden, dtype, device, reason):
    with jax.enable_x64(dtype == "float64"):
        asked = asking(CELLS[name](hidden, dtype=dtype), device)
        if reason is None:
            assert jt.dispatch.choose(*asked).backend.name == "mosaic_gpu"
        else:
            with pytest.raises(InputError, match=reason):
                jt.dispatch.choose(*asked)


@needs_mosaic_gpu
def test_what_is_too_long_or_to_be_exact():
    long = jax.eval_shape(lambda: jnp.zeros((2**20, 3, 5)))
    with pytest.raises(InputError, match="elements in 31 bits"):
        jt.dispatch.choose(*asking(jt.lstm(200), GPU, long))
    with jax.default_matmul_precision("highest"):
        with pytest.raises(InputError, match="TF32"):
            jt.dispatch.choose(*asking(jt.lstm(8), GPU))
        jt.dispatch.choose(*asking(jt.lstm(8, dtype="bfloat16"), GPU))


@needs_mosaic_gpu
def test_it_is_not_interpreted_with_numbers_of_64_bits():
    with jax.enable_x64(True):
        cell = jt.lstm(8, dtype="float32")
        jt.dispatch.choose(*asking(cell, GPU))
        with pytest.raises(InputError, match="does not run with jax_enable_x64"):
            jt.dispatch.choose(*asking(cell, Target("cpu", "cpu")))


@needs_mosaic_gpu
def test_it_is_not_interpreted_where_it_would_wait_for_ever(monkeypatch):
    monkeypatch.setenv("NPROC", "2")
    with pytest.raises(InputError, match="set the environment variable NPROC=32"):
        jt.dispatch.choose(*asking(jt.lstm(8), CPU))


def test_a_jax_that_is_too_old_is_told(monkeypatch):
    monkeypatch.setattr(operands, "serves", lambda: False)
    with pytest.raises(InputError, match="it needs JAX"):
        jt.dispatch.choose(*asking(jt.lstm(8), GPU))


@pytest.mark.parametrize("form", ["block", "cluster", "grid"])
def test_no_team_waits_for_one_that_cannot_run(form, monkeypatch):
    """All blocks of a grid run at once, and all of a layout fits into a block."""
    monkeypatch.setattr(tiles, "_FORMS", (form,))
    found = 0
    for hidden in (1, 64, 65, 128, 200, 300, 512, 700, 1024, 1100, 1500):
        for gates, dtype in ((1, jnp.bfloat16), (3, jnp.float32), (4, jnp.bfloat16)):
            for batch in (1, 7, 16, 100, 5000):
                for processors in (1, 20, 78, 132):
                    sizes = tiles.Sizes(9, batch, hidden, gates, dtype)
                    of = tiles.tiles(sizes, processors)
                    if of is None:
                        continue
                    found += 1
                    assert of.bytes <= 227 * 2**10
                    assert of.hidden >= hidden
                    assert of.batch >= batch
                    assert of.workers * of.units == of.hidden
                    assert of.batch == of.parts * of.rows
                    assert sizes.slices * of.units % 64 == 0
                    if form == "grid":
                        assert of.teams * of.workers <= processors
                    else:
                        assert of.workers <= {"block": 4, "cluster": 8}[form]
    assert found > 20


class Counting(team.Team):
    """A worker that does nothing but send and wait; the others keep step with it."""

    def keep(self, weights):
        del weights

    def load(self, reference):
        del reference
        return jnp.zeros((self.tiles.rows, self.tiles.units))

    load_mask = load

    def send(self, slots, slot, rows, values):
        del slots, slot, rows, values
        self.semaphores.at[0] += self.tiles.workers

    def products(self, slots, slot, rows, turn):
        del slots, slot, rows
        self.meet(turn)

    def product(self, gate, which=0):
        del gate, which
        return self.load(None)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_grid_waits_for_all_that_was_sent_and_no_more(direction, monkeypatch):
    """Semaphores, which the interpreter has not, over two tiles of three steps."""
    length, waits = 3, []
    sizes = tiles.Sizes(length, 17, 20, 3, jnp.float32)
    of = tiles.Tiles("grid", 24, 8, 64, 16, 2, 0)
    state = jnp.zeros((24, 64))
    steps = jnp.zeros((length + 1, 24, 4 * 64))
    worker = Counting(sizes, of, 4, None, SimpleNamespace(at={0: 0}))

    def wait(sent, value, decrement, memory_scope):
        assert (decrement, memory_scope) == (False, "gpu")
        assert sent == value
        waits.append(sent)

    monkeypatch.setattr(team.plgpu, "semaphore_wait", wait, raising=False)
    monkeypatch.setattr(jax.lax, "axis_index", lambda name: 0)
    for module in (forward, backward):
        monkeypatch.setattr(module, "put", lambda reference, value: None)
    with jax.disable_jit():
        if direction == "forward":
            read = forward.Read(None, steps[0], steps, [state], None, steps)
            written = forward.Written(steps, [], [], [])
            forward._kernel(GRU.forward, worker, read, written)
        else:
            gates = [steps] * 4
            read = backward.Read(None, steps, [state], [], steps, gates, steps, None)
            found = backward.Found(steps, [state])
            backward._kernel(GRU.backward, worker, read, found)
    assert waits == [4 * turn for turn in range(1, 2 * (length + 1) + 1)]


def asking(cell, device, xs=None):
    """What `jt.dispatch.choose` is to be asked."""
    params, state = jax.eval_shape(
        lambda: (cell.init(jax.random.key(0), 5), cell.initial_state((3,)))
    )
    xs = jnp.zeros((7, 3, 5)) if xs is None else xs
    return cell, params, state, xs, Masks(), "mosaic_gpu", device


def shapes_of(cell, case):
    def arrays():
        params = cell.init(jax.random.key(0), case.input)
        state = cell.initial_state((case.batch,))
        return params, state, jnp.zeros((case.batch, case.length, case.input))

    params, state, xs = jax.eval_shape(arrays)
    return params, state, jax.ShapeDtypeStruct(xs.shape, case.dtype)


def lowered(function, *arrays):
    traced = jax.jit(function).trace(*arrays)
    return traced.lower(lowering_platforms=("cuda",)).as_text()
