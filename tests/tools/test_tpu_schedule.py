"""tpu_schedule.py: the reading of schedules, by hand and against what must come out."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import tpu_grid
import tpu_schedule
from measuring.workload import FORWARD, FORWARD_BACKWARD, Workload
from schedules import bundles, compiler, dumped

from jaxtext.errors import InputError

needs_libtpu = pytest.mark.skipif(
    find_spec("libtpu") is None,
    reason="libtpu is not installed: pip install libtpu",
)

# A kernel over grid=(3,), with seven steps of an inner loop in each, and a branch at
# the first one; as libtpu 0.0.42.1 dumped it for v5e.
STEPS = (Path(__file__).parent / "pallas_steps_v5e.txt").read_text("utf-8")


def total(text):
    return bundles.total(bundles.run(bundles.parse(text)))


def test_a_kernel_counted_by_hand():
    # The pipeline takes 3 + 2 turns, of which the first and the last skip the body.
    slots = {
        "before the loop, 0x0-0x4": 5,
        "the head of a turn, with the delay of its branch, 0x5-0x26": 5 * 34,
        "the body up to the next branch, 0x27-0x2e": 3 * 8,
        "at the first step, 0x2f-0x30": 2,
        "before the inner loop, 0x31-0x3a": 3 * 10,
        "the inner loop, 0x3b-0x42": 3 * 7 * 8,
        "after it, 0x43-0x4b": 3 * 9,
        "the foot of a turn, 0x4c-0x59": 5 * 14,
        "after the loop, 0x5a-0x5d": 4,
    }
    found = total(STEPS)
    assert found.slots == sum(slots.values())
    empty = {
        "head": 5 * 5,  # 0x1b, 0x1d, 0x24-0x26
        "body": 3 * 5,  # 0x29, 0x2b-0x2e
        "before the inner loop": 3 * 6,  # 0x32-0x36, 0x39
        "after it": 3 * 3,  # 0x45, 0x47, 0x49
        "foot": 5 * 6,  # 0x4f, 0x51, 0x56-0x59
    }
    assert found.bundles == found.slots - sum(empty.values())
    block = 4 * 8 * 128
    assert (found.read, found.written, found.waits) == (3 * block, 3 * block, 3 + 3)
    assert (found.matmuls, found.unsized, found.assumed) == (0, 0, 0)


def test_visits_of_each_slot():
    visits = [slot.visits for slot in bundles.run(bundles.parse(STEPS))]
    assert visits[0x2F] == 1
    assert visits[0x3B] == 3 * 7
    assert visits[0x4C] == 5
    assert [bundle.depth for bundle in bundles.parse(STEPS)][0x3A:0x3C] == [1, 2]


def test_a_loop_without_a_known_end_is_refused():
    unknown = STEPS.replace("%s147_s24, 7 /* loop exit", "%s584_s0, 7 /* loop exit")
    assert unknown != STEPS
    with pytest.raises(
        bundles.UnresolvedError, match="the end of the loop at slot 0x3e"
    ):
        total(unknown)


def test_a_branch_on_an_unknown_value_is_told():
    unknown = STEPS.replace(
        "%p255_p12 = scmp.ne.s32.totalorder %s479_s10",
        "%p255_p12 = scmp.ne.s32.totalorder %s584_s0",
    )
    assert unknown != STEPS
    # Counted at every step, not at the first alone, and said to be so.
    assert total(unknown).slots == total(STEPS).slots + 2 * 2
    assert total(unknown).assumed == 3 * 2


def test_slots_that_are_missing_are_seen():
    with pytest.raises(bundles.UnresolvedError, match="slot 50 expected"):
        total(STEPS.replace("  0x32   :  {}\n", ""))


def test_a_predicated_move_keeps_what_it_does_not_move():
    text = """
     0   :  { %s1_s0 = smov 5  ;;  %s2_s1 = smov 9 }
   0x1   :  { %p3_p0 = scmp.ge.s32.totalorder %s1_s0, 5 }
   0x2   :  { %s4_s1 = smov (%p3_p0, %s2_s1), 2 ;; %s5_s0 = smov (!%p3_p0, %s1_s0), 3 }
   0x3   :  { %6 = dma.hbm_to_vmem %s9, /*size_in_granules=*/%s4_s1, %s8 }
   0x4   :  { %7 = dma.vmem_to_hbm %s9, /*size_in_granules=*/%s5_s0, %s8 }
   0x5   :  { %8 = dma.hbm_to_vmem %s9, /*size_in_granules=*/%s2_s1, %s8 }
"""
    found = total(text)
    # The last one names a value that its register no longer holds.
    assert (found.read, found.written, found.unsized) == (2 * 32, 5 * 32, 1)


def test_an_address_that_a_guard_held_back_leaves_its_register_alone():
    text = """
     0   :  { %s1_s0 = smov 5 }
   0x1   :  { %p3_p0 = scmp.ge.s32.totalorder %s1_s0, 9 }
   0x2   :  { %s4_s0 = sshll.u32 (%p3_p0), %s1_s0, 4 }
   0x3   :  { %s5_s0 = int_to_ptr.hbm [resolvable:$true] %s4_s0 }
   0x4   :  { %6 = dma.hbm_to_vmem %s9, /*size_in_granules=*/%s1_s0, %s8 }
"""
    assert (total(text).read, total(text).unsized) == (5 * 32, 0)
    assert total(text.replace("%s1_s0, 9", "%s1_s0, 5")).unsized == 1


DUMP = """
import sys
import jax, jax.numpy as jnp
from jax.experimental import pallas as pl, topologies

topology, what, *sizes = sys.argv[1:]
sizes = [int(size) for size in sizes]
device = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[0]
sharding = jax.sharding.SingleDeviceSharding(device)

def array(*shape, dtype=jnp.bfloat16):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

if what == "matmul":
    function, arguments = jnp.matmul, (array(*sizes[:2]), array(*sizes[1:]))
else:
    steps, inner = sizes

    def kernel(x, w, y):
        def body(_, h):
            h = h.astype(jnp.bfloat16)
            return jnp.dot(h, w[...], preferred_element_type=jnp.float32)

        y[0] = jax.lax.fori_loop(0, inner, body, x[0].astype(jnp.float32))

    block = pl.BlockSpec((1, 128, 128), lambda t: (t, 0, 0))
    function = pl.pallas_call(
        kernel,
        grid=(steps,),
        in_specs=[block, pl.BlockSpec((128, 128), lambda t: (0, 0))],
        out_specs=block,
        out_shape=jax.ShapeDtypeStruct((steps, 128, 128), jnp.float32),
        name="steps",
    )
    arguments = array(steps, 128, 128), array(128, 128)
jax.jit(function).lower(*arguments).compile()
"""


def compiled(chip, directory, *what):
    directory.mkdir()
    command = [sys.executable, "-c", DUMP, compiler.CHIPS[chip].topology]
    environment = compiler.environment(chip, directory)
    subprocess.run([*command, *map(str, what)], env=environment, check=True)
    return dumped.program(directory)


@needs_libtpu
@pytest.mark.parametrize(("chip", "size"), [("v5e", 128), ("v6e", 256)])
def test_products_and_bytes_of_a_matmul(chip, size, tmp_path):
    rows, inner, columns = 512, 1024, 2048
    made = compiled(chip, tmp_path / "dump", "matmul", rows, inner, columns)
    [kernel] = [kernel for kernel in made.kernels if kernel.once.matmuls]
    # One product is of 16 rows of bfloat16 with a whole matrix unit.
    assert kernel.once.matmuls * 16 * size * size == rows * inner * columns
    least = 2 * rows * inner * columns / compiler.CHIPS[chip].flops_per_slot
    assert least < kernel.once.slots < 1.5 * least
    assert kernel.once.bundles <= kernel.once.slots
    assert kernel.once.written == 2 * rows * columns
    operands = 2 * (rows * inner, inner * columns)[0], 2 * inner * columns
    # XLA may bring one of them to VMEM beforehand.
    assert kernel.once.read in (sum(operands), *operands)


@needs_libtpu
def test_trip_counts_of_a_pallas_kernel(tmp_path):
    found = {}
    for steps, inner in ((4, 3), (4, 5), (4, 9), (8, 3)):
        directory = tmp_path / f"{steps}-{inner}"
        made = compiled("v5e", directory, "steps", steps, inner)
        [kernel] = [kernel for kernel in made.kernels if kernel.pallas]
        found[steps, inner] = kernel.once
        assert kernel.once.matmuls == steps * inner * 128 // 16
        assert kernel.once.read == 2 * (steps + 1) * 128 * 128
        assert kernel.once.written == 4 * steps * 128 * 128
        assert kernel.once.assumed == 0
    slots = {sizes: once.slots for sizes, once in found.items()}
    each = (slots[4, 9] - slots[4, 5]) / (4 * 4)  # one turn of the inner loop
    assert slots[4, 5] - slots[4, 3] == 4 * 2 * each
    assert 2 * 16 < each < slots[4, 3] / (4 * 3)
    outer = (slots[8, 3] - slots[4, 3]) / 4
    assert outer > 3 * each


@needs_libtpu
def test_a_layer_from_flags_to_last_line(tmp_path, capsys):
    out = tmp_path / "schedule.json"
    flags = "--cells lstm --hidden 128 --batch 8 --time 6 --chips v5e --jobs 2"
    flags += " --directions forward --backends scan,fused"
    assert tpu_schedule.main([*flags.split(), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    assert json.loads(out.read_text()) == result
    assert result["versions"].keys() >= {"jax", "libtpu"}
    scan, fused = result["rows"]
    assert (scan["backend"], fused["backend"]) == ("scan", "fused")
    for row in (scan, fused):
        shares = row["steps"]
        inside, outside, both = (
            shares[name]["slots"] for name in ("loop", "outside", "total")
        )
        assert inside + outside == pytest.approx(both)
        assert outside < inside
        executions = {k["executions"] for k in row["kernels"] if k["matmuls"]}
        # The hand-derived way has taken the input product out of the loop.
        assert executions == ({6} if row is scan else {1, 6})
        assert 0 < row["fraction_of_matmul"] < 1
        assert row["pallas_kernels"] == []
    # 8 rows are half a product's; [128, 512] are 4 matrix units' worth, twice a step.
    assert scan["steps"]["loop"]["matmuls"] == 2 * 4
    assert "| v5e, forward, lstm 8x6x128 | fused |" in captured.err


@needs_libtpu
def test_what_does_not_compile_is_told(capsys):
    flags = "--cells lstm --hidden 8 --time 2 --chips v5e --directions forward"
    assert tpu_schedule.main([*flags.split(), "--backends", "mosaic_gpu"]) == 1
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    [row] = result["rows"]
    assert "backend 'mosaic_gpu' cannot do this on TPU v5" in row["failed"]
    assert "| failed: " in tpu_schedule.table(result["rows"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--cells lstm,ltsm", "expected of rnn, lstm, gru, layer_norm_rnn"),
        ("--chips v4", "got 'v4'"),
        ("--backends fast", "--backends: expected of auto, scan, fused"),
        ("--hidden 0", "--hidden: expected sizes > 0, got 0"),
        ("--batch 8,x", "--batch: expected sizes > 0, got 8, x"),
        ("--time 0", "--time: expected > 0"),
        ("--jobs 0", "--jobs: expected > 0"),
    ],
)
def test_bad_flags_are_told(flags, message, capsys):
    assert tpu_schedule.main(flags.split()) == 2
    assert message in capsys.readouterr().err


def test_steps_are_split_by_how_often_a_part_runs():
    def once(slots, read=0, assumed=0):
        return bundles.Total(slots, slots, 0, read, 0, 0, 0, assumed)

    kernels = [
        dumped.Kernel("step", 8, once(100, read=32), pallas=False),
        dumped.Kernel("chunk", 2, once(40, assumed=4), pallas=False),
        dumped.Kernel("all.steps", 1, once(640), pallas=True),
    ]
    control = [bundles.Slot(visits=8), bundles.Slot(visits=1, read=64, assumed=1)]
    parts = dumped.per_step(dumped.Program(kernels, control), 8)
    assert parts["loop"].slots == 100 + 640 / 8 + 1
    assert parts["outside"].slots == 2 * 40 / 8 + 1 / 8
    assert parts["total"].slots == parts["loop"].slots + parts["outside"].slots
    assert (parts["loop"].assumed, parts["outside"].assumed) == (0, 1)
    assert (parts["loop"].hbm_bytes, parts["outside"].hbm_bytes) == (32, 8)


HLO = """\
%wrapped (x: f32[8,128]) -> f32[8,128] {
  %x = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %negate.1 = f32[8,128]{1,0:T(8,128)} negate(%x), metadata={op_name="a"}
}

%wrapped.1 (y: f32[8,128]) -> f32[8,128] {
  %y = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %negate.2 = f32[8,128]{1,0:T(8,128)} negate(%y), metadata={op_name="b"}
}

%other (z: f32[8,128]) -> f32[8,128] {
  %z = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %exp = f32[8,128]{1,0:T(8,128)} exponential(%z)
}

ENTRY %main (a: f32[8,128], b: f32[8,128], c: f32[16,128]) -> f32[8,128] {
  %a = f32[8,128]{1,0:T(8,128)} parameter(0)
  %b = f32[8,128]{1,0:T(8,128)} parameter(1)
  %c = f32[8,128]{1,0:T(8,128)S(1)} parameter(2)
  %first = f32[8,128]{1,0:T(8,128)} fusion(%a), kind=kLoop, calls=%wrapped
  %same = f32[8,128]{1,0:T(8,128)} fusion(%b), kind=kLoop, calls=%wrapped.1
  %computes = f32[8,128]{1,0:T(8,128)} fusion(%b), kind=kLoop, calls=%other
  %elsewhere = f32[8,128]{1,0:T(8,128)} fusion(%c), kind=kLoop, calls=%wrapped
}
"""


def test_a_kernel_dumped_once_stands_for_those_that_are_the_same(tmp_path):
    def program(*calls):
        lines = [
            f"{place:#x} : {{ %{place} = inlined_call %s1_s1 /* %{name} = copy() */ }}"
            for place, name in enumerate(calls)
        ]
        path = tmp_path / "1-TLP-66-packed-bundles-post-ra.txt"
        path.write_text("\n".join(lines).replace("0x0 ", "0 "))
        return dumped.program(tmp_path)

    (tmp_path / "1-TLP-hlo.txt").write_text(HLO)
    kernel = "2-first-66-packed-bundles-post-ra.txt"
    (tmp_path / kernel).write_text("  0 : { %1 = vnop }\n 0x1 : { %2 = vnop }\n")
    (tmp_path / f"3-first-65-schedule-analysis_{kernel[11:]}").write_text("totals")
    made = program("first", "same", "first")
    assert [(k.name, k.executions) for k in made.kernels] == [("first", 2), ("same", 1)]
    assert [k.once.slots for k in made.kernels] == [2, 2]
    for name in ("computes", "elsewhere", "absent"):
        with pytest.raises(bundles.UnresolvedError, match=f"no schedule of {name}"):
            program("first", name)


def test_what_became_of_a_layer():
    compiled = {"reason": "scan: too small", "pallas_kernels": []}
    assert tpu_grid.outcome(compiled) == ("fallback", "scan: too small")
    kernels = {"pallas_kernels": ["forward.1", "backward.2"]}
    assert tpu_grid.outcome(compiled | kernels) == ("kernel", "forward.1, backward.2")
    assert tpu_grid.outcome({"failed": "Mosaic"}) == ("failed", "Mosaic")


@needs_libtpu
def test_a_grid_from_flags_to_last_line(capsys):
    flags = "--cells gru --hidden 128 --batch 8,16 --time 2 --chips v6e --jobs 2"
    flags += " --directions forward"
    assert tpu_grid.main([*flags.split(), "--backend", "scan"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    assert result["outcomes"] == {"fallback": 2}
    assert {row["why"] for row in result["rows"]} == {"scan: asked for"}
    assert "| v6e, forward, gru, 128 | fallback | fallback |" in captured.err
    assert tpu_grid.main([*flags.split(), "--backend", "mosaic_gpu"]) == 1
    assert tpu_grid.main(["--batch", "0"]) == 2


def test_a_file_is_added_to(tmp_path):
    def row(backend, hidden):
        work = Workload("gru", 8, 4, hidden, hidden, "float32")
        layer = compiler.Layer(work, FORWARD, backend, "v5e")
        return layer, tpu_schedule._row(layer, {"failed": "Mosaic"})

    pairs = [row("scan", 16), row("fused", 16), row("scan", 32)]
    layers, rows = zip(*pairs, strict=True)
    del rows[1]["heads"]  # as in a file from before there were heads
    path = tmp_path / "rows.json"
    assert tpu_schedule.earlier(path, {"jax": "1"}, layers) == []
    path.write_text(json.dumps({"rows": rows, "versions": {"jax": "1"}}))
    kept = tpu_schedule.earlier(path, {"jax": "1"}, layers[1:2])
    assert kept == [rows[0], rows[2]]
    with pytest.raises(InputError, match="other versions"):
        tpu_schedule.earlier(path, {"jax": "2"}, layers)


def share(slots, **others):
    fields = dict.fromkeys(dumped.Share._fields, 0.0)
    return fields | {"slots": slots} | others


def test_the_table_compares_with_the_scan_of_the_same_layer():
    def row(backend, hidden, direction, *slots):
        work = Workload("gru", 8, 4, hidden, hidden, "float32")
        layer = compiler.Layer(work, direction, backend, "v5e")
        names = ("loop", "outside", "total")
        steps = {n: share(s) for n, s in zip(names, slots, strict=True)}
        return tpu_schedule._row(layer, {"steps": steps})

    rows = [
        row("scan", 16, FORWARD, 300, 0, 300),
        row("fused", 16, FORWARD, 100, 20, 120),
        row("fused", 32, FORWARD, 100, 20, 120),
        row("scan", 32, FORWARD_BACKWARD, 900, 0, 900),
    ]
    last = [
        line.split("|")[-2].strip() for line in tpu_schedule.table(rows).split("\n")
    ]
    assert last[2:] == ["1.00", "2.50", "", "1.00"]
    rows[0]["steps"]["total"]["assumed"] = 30.0
    assert "| 300 | 0 | ≤ 300 |" in tpu_schedule.table(rows)
    # At 1.5 GHz.
    assert rows[0]["microseconds_at_least"] == pytest.approx(0.2, rel=3e-3)
