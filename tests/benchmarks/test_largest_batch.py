"""largest_batch.py: the batch is computed from XLA's numbers, and tried."""

import json
from types import SimpleNamespace

import jax
import largest_batch
import pytest
from loops import one_step

OUT_OF_MEMORY = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")


def a_device(monkeypatch, memory, error=OUT_OF_MEMORY, each=100):
    """On which a step takes 1000 bytes, 100 a sequence, half if it computes again."""
    tried = []

    def compile_step(*, batch_size, remat, **sizes):
        needed = 1000 + batch_size * each // (2 if remat else 1)

        def run():
            tried.append((remat, batch_size))
            if needed > memory:
                raise error

        sizes = SimpleNamespace(
            argument_size_in_bytes=needed,
            output_size_in_bytes=7,
            temp_size_in_bytes=0,
            alias_size_in_bytes=7,
        )
        return SimpleNamespace(memory_analysis=lambda: sizes), run

    monkeypatch.setattr(one_step, "compile_step", compile_step)
    return tried


def test_the_largest_runs_and_a_tenth_more_does_not(monkeypatch, capsys):
    memory = 1_000_000
    tried = a_device(monkeypatch, memory)
    flags = ["--memory-gib", str(memory / 2**30), "--remat", "none", "gates", "32"]
    assert largest_batch.main(flags) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    found = [(r["predicted"], r["ran"], r["too_large_ran"]) for r in rows]
    assert found == [(9984, True, False), (19976, True, False), (19976, True, False)]
    assert tried == [
        *((None, 9984), (None, 10984), ("gates", 19976), ("gates", 21976)),
        *((32, 19976), (32, 21976)),
    ]


@pytest.mark.parametrize(
    ("memory", "found"), [(1900, (8, True, 16, False)), (1700, (0, False, 8, False))]
)
def test_the_larger_one_is_larger_where_few_or_none_fit(
    memory, found, monkeypatch, capsys
):
    tried = a_device(monkeypatch, memory)
    flags = ["--memory-gib", str(memory / 2**30), "--remat", "none"]
    assert largest_batch.main(flags) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    names = "predicted", "ran", "too_large", "too_large_ran"
    assert tuple(row[name] for name in names) == found
    assert [batch for _, batch in tried] == [batch for batch in found[::2] if batch]


def test_numbers_that_do_not_grow_are_told(monkeypatch, capsys):
    a_device(monkeypatch, 10_000, each=0)
    assert largest_batch.main(["--memory-gib", "1"]) == 2
    assert "64 sequences need 1,000 bytes, 128 need 1,000" in capsys.readouterr().err


def test_another_error_is_no_lack_of_memory(monkeypatch):
    a_device(monkeypatch, 10_000, jax.errors.JaxRuntimeError("INTERNAL: broken"))
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
        largest_batch.main(["--memory-gib", "1"])


@pytest.mark.thorough
def test_a_real_step_fits_where_it_was_predicted(capsys):
    small = "--hidden 4 --seq-len 8 --small 8 --memory-gib 0.001 --remat none"
    assert largest_batch.main(small.split()) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert row["ran"]
    assert row["predicted"] * row["bytes_a_sequence"] < 0.001 * 2**30
