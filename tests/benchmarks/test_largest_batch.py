"""largest_batch.py: the batch is computed from XLA's numbers, and tried."""

import json
from types import SimpleNamespace

import jax
import largest_batch
import pytest
import remat

OUT_OF_MEMORY = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")


def a_device(monkeypatch, memory, error=OUT_OF_MEMORY):
    """On which a step takes 1000 bytes, 100 a sequence, and 50 if it computes again."""
    tried = []

    def compile_step(config, backend, again):
        needed = 1000 + config.batch_size * (50 if again else 100)

        def run():
            tried.append((again, config.batch_size))
            if needed > memory:
                raise error

        sizes = SimpleNamespace(
            argument_size_in_bytes=needed,
            output_size_in_bytes=7,
            temp_size_in_bytes=0,
            alias_size_in_bytes=7,
        )
        return SimpleNamespace(memory_analysis=lambda: sizes), run

    monkeypatch.setattr(remat, "compile_step", compile_step)
    return tried


def test_the_largest_runs_and_a_tenth_more_does_not(monkeypatch, capsys):
    memory = 1_000_000
    tried = a_device(monkeypatch, memory)
    flags = ["--memory-gib", str(memory / 2**30), "--remat", "none", "gates", "32"]
    assert largest_batch.main(flags) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    found = [(r["predicted"], r["ran"], r["too_large_ran"]) for r in rows]
    assert found == [(9984, True, False), (19976, True, False), (19976, True, False)]
    assert [again for again, _ in tried] == [None, None, "gates", "gates", 32, 32]


def test_another_error_is_no_lack_of_memory(monkeypatch):
    a_device(monkeypatch, 10_000, jax.errors.JaxRuntimeError("INTERNAL: broken"))
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
        largest_batch.main(["--memory-gib", "1"])


def test_a_real_step_fits_where_it_was_predicted(capsys):
    small = "--hidden 4 --seq-len 8 --small 8 --memory-gib 0.001 --remat none"
    assert largest_batch.main(small.split()) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert row["ran"]
    assert row["predicted"] * row["bytes_a_sequence"] < 0.001 * 2**30
