"""convergence.py: residuals of Newton's method, and the part of a Jacobian it uses."""

import json

import convergence
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.kernels import newton


@pytest.mark.parametrize("cell", [jt.gru(3), jt.lstm(3)], ids=["gru", "lstm"])
def test_own_slopes_are_the_diagonals_of_the_jacobian(cell):
    params = cell.init(jax.random.key(0), 2)
    x = jax.random.normal(jax.random.key(1), (2,))
    zero = cell.initial_state(())
    structure = jax.tree.structure(zero)
    states = tuple(
        jax.random.normal(jax.random.key(i), (3,)) for i in range(structure.num_leaves)
    )

    def run(states):
        return tuple(
            jax.tree.leaves(cell.step(params, structure.unflatten(states), x)[0])
        )

    found, slopes = convergence.own_slopes(run, states)
    jax.tree.map(np.testing.assert_array_equal, found, run(states))
    whole = jax.jacfwd(run)(states)
    for i, row in enumerate(slopes):
        for j, slope in enumerate(row):
            np.testing.assert_allclose(slope, jnp.diag(whole[i][j]), atol=1e-6)


def test_as_many_iterations_as_the_backend_makes():
    cell = jt.para_gru(4)
    params = cell.init(jax.random.key(0), 3)
    xs = jax.random.normal(jax.random.key(1), (50, 2, 3))
    found = list(convergence.residuals(cell, params, xs, most=20, dense=False))
    start = cell.initial_state((2,))
    count, worst = newton.converge(cell, params, start, xs)
    assert len(found) == count
    assert found[-1] == pytest.approx(float(worst), abs=1e-7)
    assert found == sorted(found, reverse=True)


def test_from_flags_to_last_line(tmp_path, capsys):
    (tmp_path / "fox.txt").write_text("the quick brown fox\n" * 100)
    flags = "--cells para_gru lstm --hidden 4 --lengths 8 --train-steps 2 --most 2"
    picture = tmp_path / "new" / "newton.png"
    which = ["--corpus", str(tmp_path / "fox.txt"), "--picture", str(picture)]
    assert convergence.main([*flags.split(), *which]) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out.splitlines()[-1])["rows"]
    assert len(rows) == 2 * 2
    for row in rows:
        limit = newton.tolerance("float32")
        solved = row["residuals"][-1] <= limit
        assert row["iterations"] == (len(row["residuals"]) if solved else None)
        assert solved or len(row["residuals"]) == 2
    assert any(row["iterations"] is None for row in rows)
    assert "| lstm | trained |" in captured.err
    assert " – |" in captured.err
    assert picture.stat().st_size > 0
