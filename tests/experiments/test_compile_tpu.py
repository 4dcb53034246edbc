"""compile_tpu.py: programs for slices that are not there, and what is said of them."""

import importlib.util
import json
import subprocess
import sys
from math import prod

import compile_tpu
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.extend.core import jaxprs_in_params

import jaxtext as jt
from charlm.identity import identity
from jaxtext.training import create_state, data_parallel, make_train_step
from tpu_step import chips as tpu_chips
from tpu_step import program as tpu_program
from tpu_step.program import Collective, DoesNotFitError

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu, which compiles for TPUs, is not installed: make test-tpu",
)
SMALL = ["--hidden", 8, "--seq-len", 4, "--batch-size", 8, "--backend", "scan"]
PARAMETERS = 4 * 8 * (65 + 8 + 1) + 8 * 65 + 65


def compile_for(topology, *args):
    """Runs the script in this process; returns its exit status."""
    return compile_tpu.main([str(a) for a in ("--topology", topology, *args)])


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@needs_libtpu
@pytest.mark.parametrize("strategy", ["pmap", "sharded"])
@pytest.mark.parametrize(
    ("topology", "kind"),
    [
        ("v4:2x2x1", "TPU v4"),
        ("v5e:2x2", "TPU v5 lite"),
        ("v5p:2x2x1", "TPU v5"),
        ("v6e:2x2", "TPU v6 lite"),
    ],
)
def test_a_step_compiles_for_every_generation(topology, kind, strategy, capsys):
    assert compile_for(topology, *SMALL, "--data-parallel", strategy) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    result = json.loads(captured.out)
    assert result["fits"]
    assert (result["chips"], result["device_kind"]) == (4, kind)
    assert result["parameters"] == PARAMETERS
    # The gradient and the loss, all at once or apart.
    assert {c["kind"] for c in result["collectives"]} == {"all-reduce"}
    assert sum(c["bytes"] for c in result["collectives"]) == 4 * (PARAMETERS + 1)
    assert not any(c["in_loop"] for c in result["collectives"])
    # The state overwrites the one before it: parameters and AdamW's two moments.
    size = result["bytes"]
    assert size["aliased"] >= 3 * 4 * PARAMETERS
    assert size["arguments"] - size["aliased"] < 10_000
    assert size["together"] < size["chip"]
    bound = result["bound_seconds"]
    assert bound["step"] == max(bound["compute"], bound["memory"]) + bound["links"]
    assert "not a measurement" in captured.err


@needs_libtpu
def test_a_pod(capsys):
    assert compile_for("v5e:16x16", *SMALL, "--batch-size", 512) == 0
    assert last_json(capsys)["chips"] == 256


@needs_libtpu
@pytest.mark.parametrize("strategy", ["pmap", "sharded"])
def test_cells_choose_for_the_tpu_and_not_for_this_machine(strategy, monkeypatch):
    jax.clear_caches()  # what is traced already is not chosen for again
    chosen, strategies = [], []

    def spy(*args):
        choice = jt.dispatch.choose(*args)
        chosen.append(choice.reason)
        return choice

    def spread(*args, **options):
        strategies.append(options["strategy"])
        return data_parallel(*args, **options)

    monkeypatch.setattr("jaxtext.walk.choose", spy)
    monkeypatch.setattr("jaxtext.training.data_parallel", spread)
    devices, _ = tpu_chips.find_slice("v5e:2x2")
    config = compile_tpu.Config(
        hidden=8, seq_len=4, batch_size=8, data_parallel=strategy
    )
    tpu_program.compile_step(config, 65, devices)
    # The step alone: parameters are made (and the model first traced) elsewhere.
    assert strategies == [strategy]
    taken = chosen[-1]
    assert taken.startswith("mosaic")
    assert compile_tpu.about(config, devices)["backends"] == [taken]


@needs_libtpu
def test_what_does_not_fit_says_so(capsys):
    args = ["--cell", "rnn", "--hidden", 128, "--seq-len", 1024, "--backend", "scan"]
    assert compile_for("v5e:2x2", *args, "--batch-size", 2**17) == 3
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert not result["fits"]
    assert result["short_of"] == "HBM"
    assert 15 < result["available"] / tpu_chips.GIB < 16 < result["needed"] / 2**30
    (line,) = [x for x in captured.err.splitlines() if "does not fit" in x]
    assert f"needs {result['needed'] / 2**30:.2f} GiB of HBM" in line
    assert "Traceback" not in captured.err


@needs_libtpu
@pytest.mark.parametrize(
    ("topology", "args", "said"),
    [
        ("nonsense", [], "such as v4:2x2x1, v5e:4x4"),
        ("v5e:3x3", [], "is not divisible by"),
        ("tpu7x:2x2x1", [], "TPU7x is not in the table of chips"),
        ("v5e:32x32", [], "the largest v5e slice has 256"),
        ("v5e:4x4", ["--batch-size", 20], "such as 32"),
        (
            "v5e:2x2",
            ["--vocab-size", 1],
            "--vocab-size: expected a whole number of 2 or more",
        ),
        ("v5e:2x2", ["--hidden", 0], "--hidden: expected a whole number of 1 or more"),
    ],
)
def test_bad_input_is_one_line(topology, args, said, capsys):
    assert compile_for(topology, *args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (error,) = [x for x in captured.err.splitlines() if x.startswith("error: ")]
    assert said in error


def test_without_the_compiler_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert compile_for("v5e:2x2") == 2
    assert "pip install 'jaxtext[tpu]'" in capsys.readouterr().err


@needs_libtpu
def test_in_a_process_of_its_own_libtpu_is_quiet():
    """What libtpu reads is set by the script, early enough."""
    command = [sys.executable, compile_tpu.__file__, "--topology", "v5e:1x1", *SMALL]
    done = subprocess.run([str(x) for x in command], capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["collectives"] == []
    assert done.stderr.startswith("compiling for v5e:1x1, 1 x TPU v5 lite")
    assert "WARNING" not in done.stderr


@needs_libtpu
def test_windows_predict_one_character_each(capsys):
    tutorial = ["--preset", "tutorial", "--slices", 2]
    assert compile_for("v5e:2x2", *SMALL, *tutorial) == 0
    result = last_json(capsys)
    assert result["flops"] == 6 * (32 * 4 * 8 * 8 + 8 * 8 * 65) // 4


@needs_libtpu
@pytest.mark.parametrize("chip", tpu_chips.CHIPS.values(), ids=lambda chip: chip.name)
def test_chips_are_what_jax_takes_them_for(chip):
    """By other sources than ours; a chip of two cores is twice what is told there."""
    devices, found = tpu_chips.find_slice(chip.example)
    assert found == chip
    mesh = jax.sharding.Mesh(np.array(devices), ("devices",))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        info = pltpu.get_tpu_info()
    told = info.hbm_capacity_bytes, info.mem_bw_bytes_per_second
    told = np.array([*told, info.bf16_ops_per_second]) * info.num_cores
    ours = [chip.memory, chip.memory_bandwidth, chip.flops]
    np.testing.assert_allclose(ours, told, rtol=0.13)


@needs_libtpu
def test_pallas_kernels_are_named():
    def double(x_ref, y_ref):
        y_ref[...] = 2 * x_ref[...]

    def program(x):
        call = pl.pallas_call(double, jax.typeof(x), name="recurrence")
        return call(jax.lax.fori_loop(0, 9, lambda _, x: call(x), x))

    devices, _ = tpu_chips.find_slice("v5e:2x2")
    place = jax.sharding.SingleDeviceSharding(devices[0])
    x = jax.ShapeDtypeStruct((8, 128), jnp.float32)
    compiled = jax.jit(program, in_shardings=place).lower(x).compile()
    assert tpu_program.kernels(compiled.as_text()) == ["recurrence"] * 2


@needs_libtpu
def test_a_kernel_too_large_for_the_memory_within_the_chip(monkeypatch, capsys):
    def copy(x_ref, y_ref):
        y_ref[...] = x_ref[...]

    def compile_copy(config, vocab_size, devices):
        x = jax.ShapeDtypeStruct((2**13, 2**13), jnp.float32)
        place = jax.sharding.SingleDeviceSharding(devices[0])
        program = jax.jit(pl.pallas_call(copy, x), in_shardings=place)
        with tpu_program.shortage_told():
            program.lower(x).compile()

    monkeypatch.setattr(compile_tpu, "compile_step", compile_copy)
    assert compile_for("v5e:2x2", *SMALL) == 3
    captured = capsys.readouterr()
    assert "needs 256.00 MiB of VMEM, and 128.00 MiB are" in captured.err
    assert json.loads(captured.out)["short_of"] == "VMEM"


def test_collectives_are_read_from_the_program():
    text = """
%body.1 (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %psum.7 = f32[4]{0:T(128)S(1)} all-reduce(%p), to_apply=%add
}
ENTRY %main (x: f32[2,3]) -> f32[2,3] {
  %while = (s32[], f32[4]) while(%t), condition=%c, body=%body.1
  %all-reduce.9 = (f32[]{:T(128)}, f32[2,3]{1,0:T(8,128)S(1)}, /*index=2*/bf16[5]{0}) all-reduce(%a, %b, %c), channel_id=1
  %get-tuple-element.1 = f32[2,3]{1,0} get-tuple-element(%all-reduce.9), index=1
  %all-gather-start = (pred[7]{0}, pred[28]{0}) all-gather-start(%d)
  ROOT %all-gather-done = pred[28]{0} all-gather-done(%all-gather-start)
}
"""  # noqa: E501
    assert tpu_program.collectives(text) == [
        Collective("all-reduce", 16, in_loop=True),
        Collective("all-reduce", 4 + 24 + 10, in_loop=False),
        Collective("all-gather", 28, in_loop=False),
    ]


@pytest.mark.parametrize(
    ("message", "sizes"),
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required "
            "for HLO temporaries (40.25G) exceeds available HBM (15.75G).",
            (40.25 * 2**30, 15.75 * 2**30, "HBM"),
        ),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem. Used 22.50M "
            "of 16.00M vmem. Exceeded vmem capacity by 6.50M.\nmore",
            (22.5 * 2**20, 16 * 2**20, "VMEM"),
        ),
        ("RESOURCE_EXHAUSTED: in words not known", (None, None, None)),
    ],
)
def test_what_is_short_is_read_from_the_message(message, sizes):
    error = DoesNotFitError(message)
    assert (error.needed, error.available, error.memory) == sizes
    assert str(error) == message.splitlines()[0]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_operations_are_those_of_the_traced_step(cell):
    config = compile_tpu.Config(cell=cell, layers=2, hidden=8, batch_size=4, seq_len=5)
    of = identity(config, "")
    model = tpu_program.build_model(of, 7, backend="scan")
    state = create_state(model, optax.sgd(0.1), jax.random.key(0), 4)
    batch = jt.text.Streams(np.arange(100) % 7, 4, 5).batch(0, 0)
    step = make_train_step(model, optax.sgd(0.1))
    traced = jax.make_jaxpr(step)(state, batch).jaxpr
    assert tpu_program.matrix_flops(state.params, 20, 20) == products(traced)


def products(jaxpr):
    """Operations of the matrix products in a traced function, loops taken in full."""
    total = 0
    for equation in jaxpr.eqns:
        times = equation.params.get("length", 1)
        total += times * sum(map(products, jaxprs_in_params(equation.params)))
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            out = equation.outvars[0].aval.shape
            total += 2 * prod(out) * prod(left[i] for i in contracted)
    return total
