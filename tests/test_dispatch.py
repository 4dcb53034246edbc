"""Which backend is chosen, and what is said of it."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jaxtext as jt
from jaxtext.target import target

V5E = jt.Target("tpu", "TPU v5 lite")
H100 = jt.Target("gpu", "NVIDIA H100 80GB HBM3")
MI300 = jt.Target("gpu", "AMD Instinct MI300X")
CPU = jt.Target("cpu", "cpu")


def explain(cell, *, batch=128, length=10, width=32, **options):
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), width))
    state = jax.eval_shape(lambda: cell.initial_state((batch,)))
    xs = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    return jt.explain_backend(cell, params, state, xs, **options)


@pytest.mark.parametrize(
    ("cell", "backend", "device", "reason"),
    [
        (jt.gru(8), "auto", CPU, "fused: measured faster than scan"),
        (jt.gru(8), "auto", V5E, "mosaic: fewer cycles"),
        (jt.layer_norm_gru(128), "auto", V5E, "mosaic: fewer cycles"),
        (jt.layer_norm_gru(130), "auto", V5E, "scan: .*H has to be a multiple of 128"),
        (jt.gru(8), "auto", H100, "scan: nothing else has been shown faster on NVIDIA"),
        (jt.lstm(8), "auto", H100, "cudnn: published as about five times as fast"),
        (jt.lstm(8), "auto", MI300, "scan: nothing else .*cudnn: it is for NVIDIA"),
        (jt.lstm(8, dtype="bfloat16"), "auto", H100, "scan: nothing else"),
        (jt.layer_norm_lstm(8), "auto", H100, "scan: nothing else"),
        (jt.gru(8), "scan", CPU, "scan: asked for"),
        (jt.gru(8), "fused", V5E, "fused: asked for"),
        (jt.gru(8), "mosaic", CPU, "mosaic: asked for"),
        (jt.gru(8, reset_after=False), "auto", CPU, "fused: measured faster than"),
        (jt.gru(8, reset_after=False), "auto", V5E, "scan: nothing else"),
        (jt.min_gru(8), "auto", CPU, "scan: nothing else"),
        (jt.lstm(4096), "auto", V5E, "scan: .*weights of 256 MiB .* 128 MiB of vector"),
        (jt.lstm(2048, dtype="bfloat16"), "auto", V5E, "mosaic"),
        (jt.lstm(2560), "auto", jt.Target("tpu", "TPU v5"), "scan: .* 64 MiB"),
        (jt.lstm(8, dtype="float16"), "auto", V5E, "scan: .*bfloat16, not in float16"),
    ],
)
def test_the_choice_says_why(cell, backend, device, reason):
    (found,) = explain(cell, backend=backend, target=device)
    assert re.match(reason, found)


def test_what_was_asked_for_and_cannot_be_done_is_an_error():
    with pytest.raises(ValueError, match=r"'mosaic' cannot do this on NVIDIA.*for TPU"):
        explain(jt.lstm(8), backend="mosaic", target=H100)
    with pytest.raises(
        ValueError, match=r"'parallel' cannot .*jt.gru\(8\) has no such"
    ):
        explain(jt.stack(jt.min_gru(8), jt.gru(8)), backend="parallel")
    with pytest.raises(ValueError, match=r"expected auto, scan, .*, got 'cuda'"):
        explain(jt.lstm(8), backend="cuda")


def test_what_mosaic_does_not_compile_is_left_to_the_scan():
    with jax.enable_x64(True):
        (reason,) = explain(jt.lstm(8), target=V5E)
    assert "does not compile it with jax_enable_x64" in reason
    (reason,) = explain(jt.lstm(8), length=0, target=V5E)
    assert reason == "scan: there are no steps"


def test_each_cell_of_a_stack_is_chosen_for_by_itself():
    cell = jt.stack(jt.lstm(8), jt.dropout(0.5), jt.residual(jt.min_gru(8)))
    backends = [reason.split(":")[0] for reason in explain(cell, target=V5E)]
    assert backends == ["mosaic", "scan"]


def test_the_mesh_says_which_device_it_is():
    device = jax.sharding.AbstractDevice(
        device_kind="TPU v5 lite", num_cores=1, platform="tpu"
    )
    for size in (1, 4):
        mesh = jax.sharding.AbstractMesh((size,), ("x",), abstract_device=device)
        with jax.sharding.use_abstract_mesh(mesh):
            assert target() == V5E._replace(devices=size)
    assert target() == CPU._replace(devices=8)


def test_a_program_for_a_gpu_that_is_elsewhere_is_traced():
    """cuDNN has to be asked for the memory that it needs, on the GPU itself."""
    device = jax.sharding.AbstractDevice(
        device_kind=H100.kind, num_cores=1, platform="gpu"
    )
    mesh = jax.sharding.AbstractMesh((1,), ("x",), abstract_device=device)
    cell = jt.lstm(8)
    params, state = cell.init(jax.random.key(0), 5), cell.initial_state((2,))
    ids = jnp.zeros((2, 3), int)
    with jax.sharding.use_abstract_mesh(mesh):
        (reason,) = explain(cell)
        jax.jit(partial(jt.unroll, cell)).trace(params, state, ids)
    assert "(cudnn: it plans its memory on the GPU, and there is none here" in reason


@pytest.mark.parametrize("device", [V5E, H100])
def test_sizes_that_are_free_are_not_for_kernels(device):
    batch, length = jax.export.symbolic_shape("b, t")
    (reason,) = explain(jt.lstm(8), batch=batch, length=length, target=device)
    assert "scan" in reason
    assert "made for known sizes" in reason


def test_cudnn_is_not_given_an_empty_batch():
    (reason,) = explain(jt.lstm(8), batch=0, target=H100)
    assert reason.startswith("scan")


def test_within_a_map_each_device_is_on_its_own():
    found = []

    def note(x):
        found.append(target())
        return x

    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    ones = jnp.ones((8, 2))
    jax.pmap(note)(ones)
    jax.jit(jax.shard_map(note, mesh=mesh, in_specs=P("x"), out_specs=P("x")))(ones)
    partly = jax.shard_map(
        note, mesh=mesh, in_specs=P("x"), out_specs=P("x"), axis_names={"x"}
    )
    jax.jit(partly)(ones)
    assert found[0] == found[1] == CPU
    assert found[-1] == CPU._replace(devices=2)


def test_auto_leaves_no_kernel_for_xla_to_divide():
    four = V5E._replace(devices=4)
    (reason,) = explain(jt.lstm(8), target=four)
    assert "scan" in reason
    assert "cannot divide a kernel between 4 devices" in reason
    (reason,) = explain(jt.lstm(8), target=four, backend="mosaic")
    assert reason == "mosaic: asked for"
