"""A constant that a test patches counts, also if the same program was traced before."""

import contracts
import jax
import pytest

import jaxtext as jt
from jaxtext.kernels.fused import backward


@pytest.mark.parametrize("steps", [1, 3])
def test_a_constant_that_is_changed_counts(steps, monkeypatch):
    asked = []
    monkeypatch.setattr(
        backward, "chunk_length", lambda *_: asked.append(steps) or steps
    )
    cell = jt.lstm(4)
    params, state, xs = contracts.make(cell)
    jax.grad(lambda x: contracts.total(jt.unroll(cell, params, state, x)))(xs)
    assert asked == [steps]
