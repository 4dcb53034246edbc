"""Where the time goes: kinds that add up to the time of a process."""

import json

import char_gen
import jax
import jax.numpy as jnp
import pytest

from charlm.skips import Skips
from charlm.spent import KINDS, Spent, goodput, told


class Clock:
    """Is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_blocks_within_blocks_add_up(clock):
    spent = Spent(clock)
    clock.now = 2.0
    with spent.on("training"):
        clock.now = 5.0
        with spent.on("validating"):
            clock.now = 6.0
            with spent.on("saving"):
                clock.now = 6.5
        clock.now = 9.0
    clock.now = 10.0
    found = spent.of_process()
    expected = {"starting": 3.0, "training": 5.5, "validating": 1.0, "saving": 0.5}
    assert found == expected
    assert sum(found.values()) == clock.now
    assert goodput(found) == 0.55
    line = "55.0% of 10.0 s was training; starting 3.0, validating 1.0, saving 0.5 s"
    assert told(found) == line


def test_a_block_that_raises_ends_as_any_other(clock):
    def fail():
        clock.now = 1.0
        raise ValueError("x")

    spent = Spent(clock)
    with pytest.raises(ValueError, match="x"), spent.on("saving"):
        fail()
    clock.now = 3.0
    assert spent.of_process() == {"saving": 1.0, "starting": 2.0}


def test_a_batch_is_waited_for_only_by_an_idle_device(clock):
    spent = Spent(clock)
    spent.turn_to("training")
    for idle in (True, False):
        with spent.fetching(lambda idle=idle: idle):
            clock.now += 3.0
    assert spent.of_process() == {"training": 3.0, "waiting": 3.0}
    spent.turn_to("measuring")
    with spent.fetching(lambda: True):
        clock.now += 1.0
    assert spent.of_process()["waiting"] == 3.0


def test_training_that_is_undone_is_no_training(clock):
    spent = Spent(clock)
    spent.turn_to("training")
    clock.now = 4.0
    spent.kept()
    clock.now = 9.0
    spent.undone()
    assert spent.of_process() == {"training": 4.0, "restoring": 5.0}


def test_a_run_adds_up_over_its_processes(clock):
    first = Spent(clock)
    clock.now = 2.0
    first.turn_to("training")
    clock.now = 5.0
    kept = json.loads(json.dumps(first.of_run()))
    clock.now = 1.0
    second = Spent(clock)
    second.turn_to("training")
    second.go_on_from(kept, 5.0)
    assert second.of_run() == {"starting": 3.0, "training": 3.0}
    old = Spent(clock)  # goes on from a checkpoint that does not tell
    old.go_on_from(None, 7.0)
    assert old.of_run() == {"starting": 1.0, "unknown": 7.0}


def test_compiling_is_told_from_what_it_happens_in():
    """And a trace within a trace is not counted twice."""
    spent = Spent(char_gen.since_start)
    spent.turn_to("validating")

    @jax.jit
    def inner(x):
        for _ in range(30):
            x = jnp.sin(x) * 1.0625
        return x

    with spent.watching():
        begin = char_gen.since_start()
        jax.jit(lambda x: inner(inner(x) + 1)).lower(jnp.arange(3.0)).compile()
        took = char_gen.since_start() - begin
    found = spent.of_process()
    assert 0.3 * took < found["compiling"] <= took
    assert spent.programs > 0
    before = spent.programs
    jax.jit(lambda x: x - 0.3125)(jnp.arange(3.0))
    assert spent.programs == before  # nothing listens any more


def test_a_run_tells_what_it_did(tmp_path, capsys, monkeypatch):
    """Each kind but the rare ones; and the steps that were undone are no training."""
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    take_in, undone = Skips.take_in, []

    def bad_news(self, step, metrics):
        take_in(self, step, metrics)
        if step == 17 and not undone:
            undone.append(step)
            self.in_a_row = self._run.config.max_skips

    monkeypatch.setattr(Skips, "take_in", bad_news)
    words = "--hidden 8 --batch-size 8 --seq-len 8 --steps 25 --eval-every 10"
    words += " --sample-every 10 --save-steps 10"
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run")]
    assert char_gen.main([*of, *words.split()]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rollbacks"] == 1
    spent = result["spent"]
    rare = {"profiling", "unknown", "waiting"}
    assert KINDS.keys() - rare <= spent.keys() <= KINDS.keys()
    assert spent["restoring"] > 0.001
    assert spent == pytest.approx(result["spent_in_this_process"], abs=0.01)
    assert sum(spent.values()) == pytest.approx(result["seconds"], rel=0.01)
