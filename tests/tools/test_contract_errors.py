"""contract_errors.py: what is kept, what is broken, what is left out."""

import json
from types import SimpleNamespace

import contract_errors
import jax.numpy as jnp
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.types import Target

FEW = ["--cells", "gru", "--hidden", "4", "--clauses", "resets_are_separate_sequences"]


def test_a_clause_in_numbers(tmp_path, capsys):
    out = tmp_path / "errors.json"
    flags = [*FEW, "--backends", "fused", "cudnn", "--out", str(out)]
    assert contract_errors.main(flags) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    kept, left_out = result["rows"]
    assert (kept["outcome"], kept["backend"]) == ("kept", "fused")
    assert 0 <= kept["error"] < 1e-6
    assert (left_out["outcome"], left_out["error"]) == ("left out", None)
    assert json.loads(out.read_text()) == result


def a_little_off(cell, case):
    case.assert_close(jnp.full(3, 1.0001), jnp.ones(3))


def no_number(cell, case):
    case.assert_close(jnp.ones(3), jnp.ones(3))
    case.assert_close(jnp.array([jnp.nan]), jnp.ones(1))


def another_type(cell, case):
    case.assert_close(jnp.ones(3, "bfloat16"), jnp.ones(3))


def crashes(cell, case):
    raise RuntimeError("CUDA_ERROR\nand more")


def refused(cell, case):
    raise InputError("it lacks resets")


@pytest.mark.parametrize(
    ("clause", "precision", "outcome", "why"),
    [
        (a_little_off, "default", "kept", "allowed: 0.01"),
        (a_little_off, "highest", "broken", "allowed: 2e-05"),
        (no_number, "default", "broken", "no numbers"),
        (another_type, "default", "broken", "AssertionError: bfloat16 is not float32"),
        (crashes, "default", "broken", "RuntimeError: CUDA_ERROR"),
        (refused, "default", "left out", "it lacks resets"),
    ],
)
def test_outcomes(clause, precision, outcome, why):
    config = contract_errors.Config(precision=precision)
    row = contract_errors.kept(config, "fused", "gru", clause)
    assert (row["outcome"], row["why"]) == (outcome, why)


@pytest.mark.parametrize(("platform", "chunks"), [("cpu", False), ("gpu", True)])
def test_chunks_are_asked_for_where_kernels_are_not_interpreted(
    platform, chunks, monkeypatch
):
    asked = []

    def unroll(cell, *arrays, backend, remat, **options):
        asked.append((backend, remat))
        return jt.unroll(cell, *arrays, backend="scan", remat=remat, **options)

    monkeypatch.setattr(contract_errors.contracts, "jt", SimpleNamespace(unroll=unroll))
    monkeypatch.setattr(
        contract_errors.contracts, "target", lambda: Target(platform, "any")
    )
    clause = contract_errors.contracts.neither_backend_nor_remat_changes_anything
    row = contract_errors.kept(contract_errors.Config(), "mosaic_gpu", "gru", clause)
    assert row["outcome"] == "kept"
    assert (("mosaic_gpu", 3) in asked) == chunks


def test_an_unknown_clause_is_told(capsys):
    assert contract_errors.main(["--clauses", "none"]) == 2
    assert "expected of neither_backend" in capsys.readouterr().err
