"""step_profile.py: what a device did, added up."""

import gzip
import json
import os

import pytest
import step_profile
from measuring.trace import operations

KERNELS = [("dot.1", 0.0, 10.0), ("dot.2", 10.0, 10.0), ("add", 15.0, 10.0)]


def trace(folder, *events, when="now"):
    path = folder / "plugins" / "profile" / when / "host.trace.json.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": events}).encode()))


def named(kind, name, pid, tid=0):
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def ran(name, begin, duration, pid, tid, **more):
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": begin, **more} | {
        "dur": duration
    }


def test_of_a_gpu_its_streams_count_alone(tmp_path):
    trace(
        tmp_path,
        named("process_name", "/host:CPU", 1),
        named("process_name", "/device:GPU:0", 2),
        named("thread_name", "Stream #7(Compute)", 2, 1),
        named("thread_name", "XLA Ops", 2, 2),
        *(ran(*kernel, pid=2, tid=1) for kernel in KERNELS),
        ran("dot.1", 0.0, 20.0, pid=2, tid=2),
        ran("python", 0.0, 99.0, pid=1, tid=1, args={"hlo_op": "x"}),
    )
    assert operations(tmp_path) == KERNELS


def test_of_a_cpu_xlas_operations_count(tmp_path):
    trace(
        tmp_path,
        named("process_name", "/host:CPU", 1),
        ran("dot.1", 1.0, 2.0, pid=1, tid=1, args={"hlo_op": "dot.1"}),
        ran("python", 0.0, 99.0, pid=1, tid=1),
    )
    assert operations(tmp_path) == [("dot.1", 1.0, 2.0)]


def test_of_two_recordings_the_newest_counts(tmp_path):
    for number, when in enumerate(("second", "first")):  # whatever their names
        event = ran("dot.1", number, 2.0, pid=2, tid=1, args={"hlo_op": "dot.1"})
        trace(tmp_path, event, when=when)
        os.utime(next(tmp_path.rglob(f"{when}/*.gz")), (number, number))
    assert operations(tmp_path) == [("dot.1", 1, 2.0)]


def test_times_are_added_up_by_kind():
    config = step_profile.Config(steps=2)
    result = step_profile.added_up(config, [*KERNELS, ("late", 35.0, 5.0)])
    assert [(r["operation"], r["a_step"]) for r in result["rows"]] == [
        ("dot", 1.0),
        ("add", 0.5),
        ("late", 0.5),
    ]
    assert result["rows"][0]["ms_a_step"] == pytest.approx(0.010)
    assert result["step_ms"] == pytest.approx(0.020)
    assert result["busy_ms"] == pytest.approx(0.015)
    assert result["operations_a_step"] == 2.0
    assert len(step_profile.added_up(config, KERNELS)["rows"]) == 2
