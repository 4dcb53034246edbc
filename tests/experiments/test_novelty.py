"""evaluate.py --novelty: which passages of a text stand in another one."""

import json
import sys

import char_gen
import evaluate
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from evaluation import novelty

pytest.importorskip("pydivsufsort", reason="without pydivsufsort, the extra novelty")

TEXT = "the quick brown fox jumps over the lazy dog. (what a day!)\n" * 60


def array(dtype):
    symbols = st.sampled_from([0, 1, 2] if dtype == np.uint8 else [0, 1, 255, 256, 511])
    return st.lists(symbols, max_size=60).map(lambda x: np.array(x, dtype))


def naive(known, text):
    """As `Known.matches`, symbol by symbol."""
    found = []
    for begin in range(len(text)):
        length = 0
        while begin + length < len(text):
            passage = list(text[begin : begin + length + 1])
            n = len(passage)
            if passage not in [list(known[i : i + n]) for i in range(len(known))]:
                break
            length += 1
        found.append(length)
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(data=st.data())
def test_passages_are_those_that_a_plain_search_finds(dtype, data):
    known, text = data.draw(array(dtype)), data.draw(array(dtype))
    found = novelty.Known(known).matches(text.astype(np.int32))
    assert list(found) == naive(known, text)


def test_an_array_that_is_read_only_is_taken():
    ids = np.frombuffer(b"abcabd", np.uint8)
    assert list(novelty.Known(ids).matches(ids[:2])) == [2, 1]


def test_shares_count_each_symbol_once(monkeypatch):
    monkeypatch.setattr(novelty, "LENGTHS", (3, 4, 6))
    known = np.array([1, 2, 3, 4, 5, 9, 3, 4, 5, 6], np.uint8)
    # 1 2 3 4 5 stands in it, and so does 3 4 5 6: six symbols in all.
    text = np.array([7, 1, 2, 3, 4, 5, 6, 7, 1, 2])
    found = novelty.copied(novelty.Known(known), text)
    assert found.symbols == 10
    assert found.shares == {3: 0.6, 4: 0.6, 6: 0.0}
    assert list(found.longest) == [1, 2, 3, 4, 5]


def test_nothing_is_in_common():
    found = novelty.copied(novelty.Known(np.zeros(5, np.uint8)), np.ones(7, int))
    assert set(found.shares.values()) == {0.0}
    assert len(found.longest) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("novelty")
    (folder / "own.txt").write_text(TEXT)
    (folder / "other.txt").write_text("dog over fox\n" * 9)
    argv = ["--corpus", folder / "own.txt", "--workdir", folder / "run", "--steps", 3]
    argv += ["--hidden", 8, "--batch-size", 8, "--seq-len", 8]
    assert char_gen.main([str(a) for a in argv]) == 0
    return folder


@pytest.fixture
def call(folder, capsys):
    """Evaluates; returns the exit status, and what was printed."""
    capsys.readouterr()

    def call(*args):
        argv = ["--workdir", folder / "run", "--page-characters", 0, "--novelty", *args]
        return evaluate.main([str(a) for a in argv]), capsys.readouterr()

    return call


def test_a_run_is_told_beside_real_text(call):
    status, printed = call()
    assert status == 0, printed.err
    found = json.loads(printed.out)["novelty"]
    assert list(found) == ["temperature 1.0", "temperature 0.8", "held out"]
    assert found["temperature 1.0"]["symbols"] == 10_000
    assert found["temperature 1.0"]["share_in_50"] < 0.5
    # The text repeats itself, so what was held out stands in the rest, but for its end.
    held_out = len(TEXT) // 10
    assert found["held out"]["symbols"] == held_out
    assert found["held out"]["share_in_100"] == 1.0
    assert found["held out"]["longest"] == held_out
    assert found["held out"]["longest_passage"] == TEXT[-held_out:]
    assert f"copied, held out         of {held_out} characters, in" in printed.err


def test_another_text_is_the_one_that_was_held_out(folder, call):
    other = "--corpus", folder / "other.txt"
    status, printed = call(*other)
    assert status == 2
    assert "--novelty on another text than the run was trained on" in printed.err
    status, printed = call(*other, "--statistics", folder / "own.txt")
    assert status == 0, printed.err
    held_out = json.loads(printed.out)["novelty"]["held out"]
    assert held_out["symbols"] == 13 * 9
    assert held_out["longest"] < 20


def test_without_the_package_one_line_says_so_before_the_work(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydivsufsort", None)
    status, printed = call()
    assert (status, printed.out) == (2, "")
    (line,) = printed.err.splitlines()
    assert "pip install 'jaxtext[novelty]'" in line
