"""transformer.py learns, in both libraries, what a Transformer can."""

import json

import numpy as np
import pytest
import transformer
from loops.learner import Sizes

LIBRARIES = ["torch", "flax"]
SIZES = Sizes(symbols=5, block=8, layers=2, heads=2, width=16)


@pytest.fixture(params=LIBRARIES)
def library(request):
    if request.param == "torch":
        pytest.importorskip("torch")
    return request.param


@pytest.fixture
def learner(library):
    loop = pytest.importorskip(f"loops.{library}_transformer")
    return loop.Learner(SIZES, seed=0)


def test_each_position_reads_what_is_before_it(learner):
    ids = np.random.default_rng(0).integers(5, size=(3, 9)).astype(np.int32)
    losses = learner.losses(ids[:, :-1], ids[:, 1:])
    assert losses.shape == (3, 8)
    np.testing.assert_allclose(losses.mean(), np.log(5), atol=0.1)
    changed = ids.copy()
    changed[:, 5] = (ids[:, 5] + 1) % 5
    after = learner.losses(changed[:, :-1], ids[:, 1:])
    np.testing.assert_allclose(after[:, :5], losses[:, :5], rtol=1e-5)
    assert (after[:, 5:] != losses[:, 5:]).any(axis=0).all()


def test_parameters_are_those_of_gpt_2_without_biases(learner):
    width, layers = SIZES.width, SIZES.layers
    norms = (2 * layers + 1) * width
    expected = 12 * layers * width**2 + norms + (SIZES.symbols + SIZES.block) * width
    assert learner.parameters == expected


def test_what_repeats_is_learned(learner):
    ids = (np.arange(4)[:, None] + np.arange(9)) % 5
    inputs, targets = ids[:, :-1].astype(np.int32), ids[:, 1:].astype(np.int32)
    losses = [learner.step(inputs, targets, 1e-2) for _ in range(40)]
    assert losses[-1] < 0.2 * losses[0]
    assert learner.losses(inputs, targets).mean() < losses[0]


def test_the_last_line(library, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("abcde\n" * 1000)
    flags = "--layers 1 --heads 2 --width 8 --block 64 --batch-size 2 --steps 60"
    flags = [*flags.split(), "--learning-rate", "0.1", "--minutes", "9"]
    status = transformer.main([*flags, "--library", library, "--corpus", str(text)])
    assert status == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["steps"] == 60
    assert list(result["nats_per_char"]) == ["cold-64"]
    assert result["nats_per_char"]["cold-64"] < 0.9  # knowing nothing: ln 6 = 1.79


def test_cold_windows_count_every_position_once():
    class Counting:
        def losses(self, inputs, targets):
            np.testing.assert_array_equal(targets[0, :-1], inputs[0, 1:])
            return targets.astype(np.float32)

    ids = np.arange(1000) % 7
    found = transformer.evaluate(Counting(), ids, 64)
    np.testing.assert_allclose(found, ids[1:].mean(), rtol=1e-6)
