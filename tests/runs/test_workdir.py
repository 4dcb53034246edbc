"""The directory of a run, its log and its picture."""

import json
import multiprocessing
import signal

import pytest

from jaxtext.errors import InputError
from jaxtext.runs.log import MetricsLog, read_metrics
from jaxtext.runs.workdir import claim


def hold(workdir, ready):
    with claim(workdir, {}):
        ready.set()
        signal.pause()


def test_a_workdir_is_held_by_one_process_and_freed_by_its_death(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(InputError, match="another process"), claim(tmp_path, {}):
        pass
    process.kill()
    process.join()
    with claim(tmp_path, {}):
        pass


def test_a_config_that_is_no_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not the JSON"), claim(tmp_path, {}):
        pass


def test_log_drops_what_lies_ahead_and_half_lines(tmp_path):
    log = MetricsLog(tmp_path, 0)
    sizes = []
    for step in (10, 20, 30):
        log.append({"step": step, "loss": 1.0})
        sizes.append(log.size)
    with log.path.open("a") as file:
        file.write('{"step": 40, "lo')
    assert [r["step"] for r in read_metrics(log.path)] == [10, 20, 30]
    assert log.size_of(2) == sizes[1]
    log = MetricsLog(tmp_path, sizes[1])
    log.append({"step": 21, "loss": 0.5})
    lines = log.path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 21]


def test_a_record_that_could_not_be_written_comes_with_the_next(tmp_path):
    log = MetricsLog(tmp_path, 0)
    log.append({"step": 1})
    aside = log.path.rename(tmp_path / "aside")
    log.path.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        log.append({"step": 2})
    log.path.rmdir()
    aside.rename(log.path)
    with log.path.open("a") as file:
        file.write('{"st')  # half of a line, as a full disk leaves it
    log.append({"step": 3})
    log.flush()  # has nothing more to do
    assert [r["step"] for r in read_metrics(log.path)] == [1, 2, 3]
    assert len(log.path.read_text().splitlines()) == 3


def test_a_log_that_was_removed_is_there_again(tmp_path):
    log = MetricsLog(tmp_path, 0)
    log.append({"step": 1})
    log.path.unlink()
    log.append({"step": 2})
    assert [r["step"] for r in read_metrics(log.path)] == [1, 2]
    log.append({"step": 3})
    assert [r["step"] for r in read_metrics(log.path)] == [1, 2, 3]
