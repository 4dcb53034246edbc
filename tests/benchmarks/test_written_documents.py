"""benchmarks/documents.py: what it counts, and the test that it compares by."""

import json

import char_gen
import documents
import jax
import numpy as np
import pytest

from jaxtext.generation import generate_documents
from jaxtext.runs.checkpoint import restore_model

# So short that a network that has learnt little writes many of them.
NAMES = ["a", "b", "ab", "ba", "aba"]


def test_chi_square_is_pearsons():
    # The values that tables have for a probability of 0.05.
    for degrees, critical in ((1, 3.841), (2, 5.991), (5, 11.070)):
        classes = degrees + 1
        real = list(range(classes)) * 100
        # Deviations ±d in two classes of 100 expected give 2 d² / 100.
        d = (50 * critical) ** 0.5
        found = [100.0] * classes
        found[0], found[1] = 100 + d, 100 - d
        value = 2 * d * d / 100
        drawn = [x for x, n in enumerate(found) for _ in range(round(n))]
        test = documents.chi_square(drawn, real)
        assert test["degrees"] == degrees
        assert test["chi_square"] == pytest.approx(value, rel=0.1)
        assert test["p"] == pytest.approx(0.05, abs=0.02)
    assert documents.chi_square([0, 1] * 50, [0, 1])["p"] == 1


def test_what_is_rare_or_never_real_is_one_class():
    real = [0] * 80 + [1] * 16 + [2, 3, 4, 5]
    test = documents.chi_square(real, real)
    assert (test["chi_square"], test["degrees"]) == (0, 2)
    never = documents.chi_square([0] * 50 + [1] * 50, [0])
    assert (never["degrees"], never["p"] < 1e-6) == (1, True)


def test_each_count_is_that_of_the_documents(tmp_path, capsys):
    (tmp_path / "names").write_text("\n".join(NAMES * 60))
    small = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "5"]
    small += ["--documents", "lines", "--val-split", "end"]
    workdir = tmp_path / "run"
    argv = ["--corpus", str(tmp_path / "names"), "--workdir", str(workdir), *small]
    assert char_gen.main(argv) == 0
    text = str(tmp_path / "names")
    argv = ["--workdirs", str(workdir), "--corpus", text, "--documents", "60"]
    argv += ["--length", "8"]
    assert documents.main([*argv, "--later", "3"]) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    run = restore_model(workdir)
    assert run.vocabulary is not None
    of = run.model, run.params, 60
    found = list(generate_documents(*of, length=8, key=jax.random.key(0)))
    texts = [run.vocabulary.decode(x.ids) for x in found]
    assert row["ended"] == sum(x.ended for x in found)
    assert row["new"] == sum(text not in NAMES for text in texts)
    assert row["duplicates"] == 60 - len(set(texts))
    assert row["mean_length"] == pytest.approx(np.mean([len(x) for x in texts]))
    assert 0 < row["new"] < 60
    assert 0 < row["sessions"]["sessions"] <= 60
    assert row["sessions"]["first"]["mean_length"] > 0
