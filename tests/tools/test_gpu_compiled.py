"""gpu_compiled.py: what it found, what it counts, and a run where that is possible."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hopper import compiler
from hopper.limits import limits
from measuring.workload import Workload, of_row

ROOT = Path(compiler.__file__).parents[2]
LACKING = compiler.lacking()
RESULT = json.loads((ROOT / "benchmarks/results/gpu-compiled.json").read_text("utf-8"))


def hold(row):
    """What is to be true of a layer that was compiled."""
    assert set(row["kernels"]) == {"recurrence_forward", "recurrence_backward"}
    for kernel in row["kernels"].values():
        assert kernel["spilled_bytes"] == 0
        assert not kernel["serialized"]
        assert kernel["tensor_core_products"] > 0
        assert 0 < kernel["registers"] <= 255
        assert kernel["shared_bytes"] <= 227 * 1024
    # The count that decides whether a layer fits is the compiler's own.
    taken = row["kernels"]["recurrence_backward"]["shared_bytes"]
    assert row["limits"]["layout"]["bytes"] == taken


@pytest.mark.parametrize("row", RESULT["rows"], ids=lambda row: row["name"])
def test_no_kernel_spills_registers(row):
    if "left_out" in row:
        assert row["limits"] is None
        assert "do not fit" in row["left_out"]
    else:
        hold(row)


@pytest.mark.parametrize("row", RESULT["rows"], ids=lambda row: row["name"])
def test_the_result_is_of_the_kernels_as_they_are(row):
    """Other tiles are another kernel, which is to be compiled and measured anew."""
    found = limits(of_row(row))
    if row["limits"] is None:
        assert found is None
    else:
        assert found is not None
        assert found["layout"] == row["limits"]["layout"]


def test_the_result_has_all_forms_and_shapes():
    rows = [row for row in RESULT["rows"] if "kernels" in row]
    assert {row["limits"]["layout"]["form"] for row in rows} == {
        "block",
        "cluster",
        "grid",
    }
    shapes = {tuple(row[name] for name in ("batch", "time", "hidden")) for row in rows}
    expected = (16, 1024, 768), (64, 512, 512), (128, 256, 256), (16, 256, 128)
    assert shapes == set(expected)


def test_limits_are_those_of_a_count_by_hand():
    found = limits(Workload("lstm", 16, 1024, 768, 768, "bfloat16"))
    assert found is not None
    # 64 rows of weights and 8 of the state, 768 long, 2 bytes each, 128 a cycle.
    shared = (64 + 8) * 768 * 2 / 128 / 1.83e3
    assert found["forward"]["shared_memory_us"] == pytest.approx(shared)
    # 96 blocks fetch the gradients of four gates, after four trips of 262 cycles.
    fetched = 96 * 4 * 8 * 768 * 2 / 5.5e6
    trips = 4 * 262 / 1.83e3
    assert found["backward"]["exchange_us"] == pytest.approx(trips + fetched)
    # Four products of 16384 by 768 by 3072.
    assert found["products_ms"] == pytest.approx(4 * 2 * 16384 * 768 * 3072 / 989e9)
    by_step = found["forward"]["step_us"] + found["backward"]["step_us"]
    assert found["kernels_ms"] == pytest.approx(1.024 * by_step)


def test_limits_of_many_sequences_count_turns():
    one, many = (
        limits(Workload("lstm", batch, 8, 128, 128, "bfloat16")) for batch in (8, 8192)
    )
    assert one is not None
    assert many is not None
    assert one["layout"]["form"] == many["layout"]["form"] == "block"
    assert one["layout"]["turns"] == 1
    rows = many["layout"]["rows"]
    assert many["layout"]["turns"] == -(-8192 // rows // 132)
    assert limits(Workload("lstm", 8, 8, 4096, 4096, "bfloat16")) is None


@pytest.mark.skipif(LACKING is not None, reason=str(LACKING))
def test_the_kernels_compile_for_a_gpu_that_is_not_there():
    # In a process of its own: the plugin reads the environment when it is loaded.
    shapes = "--shapes", "16x32x768,128x32x256,16x32x128"
    command = sys.executable, ROOT / "tools/gpu_compiled.py", *shapes, "--masks"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "--dtypes", "bfloat16"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert len(rows) == 6
    for row in rows:
        hold(row)
