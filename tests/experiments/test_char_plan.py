"""How the time of a step is measured, by a clock that steps alone move."""

from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from charlm.plan import Plan
from charlm.planning import measure
from charlm.progress import Progress
from charlm.run import Speed
from jaxtext.text import Streams

COMPILING = 100.0


class Device:
    """Takes a second a character, and compiles each length when it first comes."""

    def __init__(self):
        self.now, self.under_way, self.compiled, self.taken = 0.0, [], set(), []

    def step(self, state, batch):
        length = batch.inputs.shape[1]
        if length not in self.compiled:
            self.compiled.add(length)
            self.now += COMPILING
        self.taken.append(length)
        self.under_way.append(len(self.taken))
        assert len(self.under_way) <= 2
        return state, len(self.taken)

    def fetch(self, metrics):
        while metrics in self.under_way:
            self.now += self.taken[self.under_way.pop(0) - 1]


@pytest.mark.parametrize("seq_len", [5, (7, 3, 2), (8, 8, 2), (4, 1, 3, 4)])
@pytest.mark.parametrize("start", [0, 1, 2, 50])
def test_a_step_takes_the_mean_over_a_cycle(seq_len, start, monkeypatch):
    device = Device()
    monkeypatch.setattr("jaxtext.training.loop._fetch", device.fetch)
    streams = Streams(np.arange(1000), 2, seq_len)
    run = SimpleNamespace(
        clock=lambda: device.now,
        plan=Plan(),
        progress=Progress(step=start),
        speed=Speed(),
        batches=streams,
        batch=lambda k: streams.batch(0, k),
        stop=SimpleNamespace(check=lambda: None),
        parallel=SimpleNamespace(
            place=lambda x: x, shard=lambda x: x, step=device.step
        ),
    )
    measure(run, None, 1000.0, Mock())
    lengths = streams.lengths
    assert run.speed.compile_seconds >= COMPILING * len(set(lengths))
    assert run.plan.step_seconds == np.mean(lengths)
    assert 0 < len(device.taken) - 1000 / run.plan.step_seconds < 6 * len(lengths) + 6
    taken = len(device.taken)
    measure(run, None, None, Mock())  # steps are compiled alone
    assert len(set(lengths)) <= len(device.taken) - taken < 2 * len(lengths)
