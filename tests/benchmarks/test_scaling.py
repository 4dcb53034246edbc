"""scaling.py: a small run of either part, from the flags to the last line."""

import json
from importlib.util import find_spec

import pytest
import scaling


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.thorough
def test_a_step_on_devices_beside_the_same_batch_on_one(tmp_path, capsys):
    small = "--hidden 4 --batch-size 4 --seq-len 3 --devices 1 2"
    short = "--seconds 0 --visit-seconds 0.001"
    out = tmp_path / "here.json"
    assert scaling.main([*small.split(), *short.split(), "--out", str(out)]) == 0
    result = last_json(capsys)
    assert json.loads(out.read_text("utf-8")) == result

    assert result["load_before"] >= 0
    rows = result["rows"]
    assert [
        (row["scaling"], row["devices"], row["strategy"], row["batch_size"])
        for row in rows
    ] == [
        ("strong", 1, "pmap", 4),
        ("strong", 1, "sharded", 4),
        ("strong", 2, "pmap", 4),
        ("strong", 2, "sharded", 4),
        ("weak", 1, "pmap", 2),
        ("weak", 1, "sharded", 2),
        ("weak", 2, "pmap", 4),
        ("weak", 2, "sharded", 4),
    ]
    for row in rows:
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["over_jit"] == row["median_ms"] / row["jit_one_device_ms"]
    # What both are measured against, and they where all devices are, is one thing.
    assert (
        len({row["jit_one_device_ms"] for row in rows if row["batch_size"] == 4}) == 1
    )
    assert [r["median_ms"] for r in rows[2:4]] == [r["median_ms"] for r in rows[6:]]


@pytest.mark.skipif(find_spec("libtpu") is None, reason="libtpu is not installed")
def test_what_bounds_a_step_on_slices(capsys, monkeypatch):
    model = "--hidden 8 --seq-len 4 --backend scan"
    monkeypatch.setattr(scaling, "MODEL", tuple(model.split()))
    assert scaling.main(["--predict", "--extents", "1x1", "2x2"]) == 0
    rows = last_json(capsys)["rows"]
    keys = "scaling", "chips", "batch_size", "slices"
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("weak", 1, 256, 1),
        ("weak", 4, 1024, 1),
        ("strong", 1, 4096, 16),
        ("strong", 4, 4096, 4),
    ]
    gradient = 4 * (4 * 8 * (65 + 8 + 1) + 8 * 65 + 65)
    for row in rows:
        exchanged = sum(c["bytes"] for c in row["collectives"])
        assert gradient * (row["chips"] > 1) <= exchanged < gradient + 100
        assert not any(c["in_loop"] for c in row["collectives"])
        speed = row["batch_size"] * 4 / (1e-6 * row["step_us"])
        assert row["characters_per_second"] == pytest.approx(speed)
    weak, strong = rows[:2], rows[2:]
    for one, four in (weak, strong):
        assert one["efficiency"] == 1
        assert one["links_us"] == 0 < four["links_us"]
        assert four["efficiency"] < 1
