"""The log of a run: its size, what opening it drops, and what somebody did to it."""

import json
import tracemalloc

import pytest

from jaxtext.runs import log as logs
from jaxtext.runs.log import MetricsLog, iterate_metrics, read_metrics


def steps(path):
    return [record["step"] for record in read_metrics(path)]


def test_any_size_keeps_the_records_that_end_within_it(tmp_path):
    log = MetricsLog(tmp_path)
    ends = []
    for step in (1, 20, 300):
        log.append({"step": step})
        ends.append(log.size)
    whole = log.path.read_bytes()
    assert len(whole) == ends[-1]
    for size in (*range(len(whole) + 1), len(whole) + 100, None):
        log.path.write_bytes(whole)
        kept = MetricsLog(tmp_path, size)
        count = sum(size is None or end <= size for end in ends)
        assert log.path.read_bytes() == whole[: ends[count - 1] if count else 0]
        assert kept.size == log.path.stat().st_size == log.size_of(count)


@pytest.mark.parametrize(
    "rest", [bytes(5000), b'{"st', b"\n\n", b"[1]\n", b'{"a": 1}\n']
)
@pytest.mark.parametrize("block", [16, 1 << 16])
def test_what_a_power_failure_left_is_dropped(rest, block, tmp_path, monkeypatch):
    """Also where it takes more than what is read at once."""
    log = MetricsLog(tmp_path)
    log.append({"step": 1})
    log.append({"step": 2})
    with log.path.open("ab") as file:
        file.write(rest)
    monkeypatch.setattr(logs, "_BLOCK", max(block, len(rest) % 4096 + 40))
    again = MetricsLog(tmp_path, log.path.stat().st_size)
    assert again.size == log.size
    again.append({"step": 3})
    assert steps(log.path) == [1, 2, 3]
    assert len(log.path.read_text().splitlines()) == 3


def test_one_that_somebody_shortened_goes_on_at_its_end(tmp_path):
    log = MetricsLog(tmp_path)
    for step in (1, 2, 3):
        log.append({"step": step})
    log.path.write_text(json.dumps({"step": 1}) + "\n")
    log.append({"step": 4})
    assert steps(log.path) == [1, 4]
    assert log.size == log.path.stat().st_size
    with log.path.open("r+b") as file:  # within a line
        file.truncate(log.size - 4)
    log.append({"step": 5})
    assert steps(log.path) == [1, 5]


def test_one_that_was_removed_can_still_be_read(tmp_path):
    log = MetricsLog(tmp_path)
    log.append({"step": 1})
    log.path.unlink()
    assert list(log.records()) == [{"step": 1}]
    log.rewind(log.size)
    assert steps(log.path) == [1]


def test_what_could_not_be_written_is_read_too(tmp_path):
    log = MetricsLog(tmp_path)
    log.append({"step": 1})
    aside = log.path.rename(tmp_path / "aside")
    log.path.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        log.append({"step": 2})
    log.path.rmdir()
    aside.rename(log.path)
    assert list(log.records()) == [{"step": 1}, {"step": 2}]
    assert log.size > log.path.stat().st_size


def test_writing_and_reading_take_the_same_memory_for_any_length(tmp_path):
    log = MetricsLog(tmp_path)

    def used(count):
        tracemalloc.start()
        for step in range(count):
            log.append({"step": step, "loss": 1.0})
        log.rewind(log.size)
        assert sum(1 for _ in log.records()) >= count
        assert sum(1 for _ in iterate_metrics(log.path)) >= count
        log.size_of(count)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    used(10)
    assert used(3000) < used(10) + 50_000  # bytes, of 100,000 that were written
