"""notebook.py: each library's cells run in turn, and what fails is told."""

import notebook
import pytest
from notebooks.worker import timed


def test_our_cells_run_in_this_process():
    found = timed("notebooks.ours")
    assert len(found) == 10
    assert all(seconds > 0 for seconds in found.values())


def test_notebooks_have_the_same_cells():
    pytest.importorskip("equinox", reason="needs the extra `peers`")
    ours, *others = (list(timed(module)) for module in notebook.NOTEBOOKS.values())
    assert others == [ours, ours]


def test_an_unknown_library_is_refused(capsys):
    assert notebook.main(["--libraries", "pytorch"]) == 2
    assert "libraries: expected jaxtext, flax, equinox" in capsys.readouterr().err


def test_a_notebook_that_fails_is_told(capsys, tmp_path):
    (tmp_path / "jaxtext").mkdir()
    (tmp_path / "jaxtext" / "__init__.py").write_text("raise ValueError('broken')")
    words = ["--libraries", "jaxtext", "--before", str(tmp_path), "--rounds", "1"]
    assert notebook.main(words) == 2
    assert "failed: ValueError: broken" in capsys.readouterr().err
