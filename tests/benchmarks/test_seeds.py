"""seeds.py: each way takes the same steps, and what it prints is what it measured."""

import json

import jax
import numpy as np
import pytest
import seeds

CONFIG = seeds.Config(hidden=(8,), batch_size=(2,), seq_len=4, seeds=2, vocab_size=5)


def test_each_way_takes_the_same_steps():
    ways = seeds.ways(CONFIG, 8, 2)
    for _ in range(2):
        found = {name: run() for name, run in ways.items()}
    first = found[seeds.ONE].params
    for name in "vmap", "lax.map":
        for a, b in zip(
            *map(jax.tree.leaves, (found[name].params, first)), strict=True
        ):
            np.testing.assert_allclose(a[0], b, rtol=1e-5, atol=1e-6)
            assert not np.array_equal(a[0], a[1])


@pytest.mark.thorough
def test_it_prints_a_row_for_each_size_and_way(capsys):
    small = "--hidden 8 --batch-size 2 --seq-len 4 --seconds 0.01"
    assert seeds.main(small.split()) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["way"] for row in result["rows"]] == [seeds.ONE, "vmap", "lax.map"]
    assert result["rows"][0]["speed_of_one"] == 1
