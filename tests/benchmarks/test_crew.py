"""crew.py: contestants that crash, hang, or take part with CUDA graphs."""

import json

import cells
import jax
import numpy as np
import pytest
from contest import crew
from contest.jax_cells import contestant
from measuring.workload import Workload, of_row

from jaxtext.errors import InputError

CRASHES_ONCE = """
import os
from pathlib import Path
if not Path(__file__).with_name("crashed").exists():
    Path(__file__).with_name("crashed").touch()
    os._exit(7)
raise ImportError("it is whole again")
"""
IS_BROKEN = """
import os
from pathlib import Path
with Path(__file__).with_name("processes").open("a") as file:
    print(os.getpid(), file=file)
raise RuntimeError("the device is lost")
"""
WORK = Workload("lstm", 2, 3, 5, 4, "float32")


@pytest.mark.thorough
def test_each_alone_takes_only_itself_away(tmp_path, capsys, monkeypatch):
    (tmp_path / "haiku.py").write_text(CRASHES_ONCE)
    (tmp_path / "equinox.py").write_text(IS_BROKEN)
    monkeypatch.syspath_prepend(tmp_path)  # which the workers inherit
    flags = [
        *("--shapes", "2x3x5x4,1x2x3", "--seconds", "0.01"),
        *("--visit-seconds", "0.001"),
        *("--cells", "lstm", "--backends", "scan", "--libraries", "haiku,equinox"),
        *("--graphs", "jaxtext-scan", "--alone", "--no-chart"),
    ]
    out = tmp_path / "alone.json"
    assert cells.main([*flags, "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["left_out"] == [
        "haiku (lstm 2x3x5x4): the worker for jax died with status 7",
        "equinox (lstm 2x3x5x4): RuntimeError: the device is lost",
        "haiku (lstm): it is whole again",
        "equinox (lstm 1x2x3x3): RuntimeError: the device is lost",
    ]
    # It may be the process that is broken, so each has a new one.
    first, second = (tmp_path / "processes").read_text().split()
    assert first != second
    assert [row["library"] for row in result["rows"]] == 2 * [
        *("jaxtext-scan", "jaxtext-scan", "jaxtext-scan+graphs", "jaxtext-scan+graphs"),
    ]
    assert "command_buffer" in result["graphs_flags"]
    assert "command_buffer" not in result["xla_flags"]
    assert json.loads(out.read_text()) == result
    assert not out.with_suffix(".png").exists()


def test_one_that_hangs_is_ended(tmp_path, monkeypatch):
    (tmp_path / "haiku.py").write_text("import time; time.sleep(600)")
    monkeypatch.syspath_prepend(tmp_path)
    with crew.Crew(["haiku"], alone=True, limit=2) as everybody:
        assert everybody.prepare(WORK, print) == {}
        note = "(lstm 2x3x5x4): no answer from jax within 2 s"
        assert everybody.left_out == {"haiku": note}


@pytest.mark.thorough
def test_resets_are_for_those_who_have_them(capsys):
    flags = "--shapes 2x90x4 --seconds 0.01 --visit-seconds 0.001 --cells gru --resets"
    which = ["--backends", "scan", "--libraries", "textbook"]
    assert cells.main([*flags.split(), *which]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    note = "textbook (gru with resets): it has no resets within a sequence"
    assert result["left_out"] == [note]
    assert [row["resets"] for row in result["rows"]] == [True, True]


def test_resets_change_what_is_computed():
    work = Workload("gru", 1, 400, 2, 3, "float32")
    last = []
    for resets in (False, True):
        key = jax.random.key(0)
        entry = contestant("jaxtext-scan", work._replace(resets=resets), key)
        xs = jax.random.normal(key, (400, 1, 2))
        last.append(np.asarray(entry.unroll(entry.params, entry.state, xs)[1]))
    first = int(np.argmax((last[0] != last[1]).any((1, 2))))
    assert 0 < first < 400


@pytest.mark.parametrize("form", ["masked", "3-heads", "3-heads+masked"])
def test_a_form_is_measured_beside_the_plain_cell(form, capsys):
    flags = "--shapes 2x90x2x6 --seconds 0.01 --visit-seconds 0.001 --cells gru"
    which = ["--backends", f"auto,auto+{form}", "--libraries", "textbook"]
    assert cells.main([*flags.split(), *which]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert {row["library"] for row in rows} == {
        *("jaxtext-auto", f"jaxtext-auto+{form}", "textbook")
    }
    assert len({of_row(row) for row in rows}) == 1  # so that they are compared

    entry = contestant(f"jaxtext-auto+{form}", of_row(rows[0]), jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (90, 2, 2))
    ys = np.asarray(entry.unroll(entry.params, entry.state, xs)[1])
    masked = (ys == 0).all(-1).mean()
    assert masked == (pytest.approx(0.1, abs=0.06) if "masked" in form else 0)
    blocks = 3 if "heads" in form else 1
    assert entry.params["recurrent_kernel"].size == 6 * 18 // blocks


def test_a_form_that_is_none_is_told():
    with pytest.raises(LookupError, match=r"\+masked or \+N-heads, got \+quick"):
        contestant("jaxtext-auto+quick", WORK, jax.random.key(0))
    work = WORK._replace(cell="layer_norm_lstm")
    with pytest.raises(LookupError, match="layer_norm_lstm has no heads"):
        contestant("jaxtext-auto+2-heads", work, jax.random.key(0))


@pytest.mark.thorough
def test_one_that_fails_later_is_back_for_the_next_workload():
    with crew.Crew(["jaxtext-scan", "textbook"], alone=True) as everybody:
        assert len(everybody.prepare(WORK, print)) == 4
        assert everybody.visit("textbook", "forward", "no number") == []
        (note,) = everybody.left_out.values()
        assert note.startswith("(lstm 2x3x5x4): TypeError: ")
        assert everybody.visit("textbook", "forward", 1e-3) == []
        assert len(everybody.visit("jaxtext-scan", "forward", 1e-3)) > 0
        everybody.forget()
        assert len(everybody.prepare(WORK, print)) == 4
        assert len(everybody.visit("textbook", "forward", 1e-3)) > 0


def test_graphs_are_of_xla():
    for name in ("torch", "flax-linen"):
        with pytest.raises(InputError, match=f"expected of jaxtext-scan; got '{name}'"):
            crew.Crew(["jaxtext-scan", "torch"], graphs=[name])
