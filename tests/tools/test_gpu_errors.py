"""gpu_errors.py: which processes there are, and what counts as wrong."""

import json

import gpu_errors
from measuring import jobs


def row(backend, values, **more):
    about = {"cell": "lstm", "dtype": "float32", "precision": "highest"}
    return {**about, "backend": backend, "values": values, "gradients": 1e-6, **more}


def test_wrong_is_what_no_rounding_explains():
    clause = {
        "clause": "resets",
        "error": 0.5,
        "outcome": "broken",
        "why": "allowed: 1",
    }
    errors = [row("scan", 1e-6), row("close", 9e-6), row("far", 2e-5)]
    assert gpu_errors.wrong(errors, []) == [
        "far lstm float32 highest: values 2.0e-05, scan 1.0e-06"
    ]
    kept = {**row("fused", 0), **clause, "outcome": "kept"}
    assert gpu_errors.wrong([], [kept, row("fused", 0, **clause)]) == [
        "fused lstm float32 highest resets: 5.0e-01, allowed: 1"
    ]


def test_no_process_for_what_a_cell_has_not():
    config = gpu_errors.Config(backends=("mosaic_gpu", "cudnn"), cells=("lstm,gru",))
    found, left_out = gpu_errors.commands(config)
    assert left_out == ["cudnn (gru): the cell has no backend 'cudnn'"]
    mode = " float32 highest"
    names = [name.removesuffix(mode) for name in found if name.endswith(mode)]
    assert names == [
        *("float64 lstm scan,fused", "float64 lstm mosaic_gpu", "float64 lstm cudnn"),
        *("clauses lstm mosaic_gpu", "clauses lstm cudnn"),
        *("float64 gru scan,fused", "float64 gru mosaic_gpu"),
        "clauses gru mosaic_gpu",
    ]


def test_an_unknown_cell_is_told(capsys):
    assert gpu_errors.main(["--cells", "ltsm"]) == 2
    assert "expected of rnn, lstm, gru; got 'ltsm'" in capsys.readouterr().err


def test_each_crash_is_its_own(tmp_path, monkeypatch, capsys):
    """Each kernel is in a process of its own, and one that fails is told."""
    asked = []

    def run(script, *words, **options):
        asked.append((script, words[words.index("--backends") + 1]))
        if script == "tools/contract_errors.py":
            return jobs.Outcome({"rows": []}, 0, "", 1.0)
        if "cudnn" in words:
            return jobs.Outcome(None, -6, "status -6: boom", 1.0)
        backend = words[words.index("--backends") + 1]
        found = {"rows": [row(backend, 1e-6, compared=2)], "left_out": ["a note"]}
        return jobs.Outcome({**found, "precision": "highest"}, 0, "", 1.0)

    monkeypatch.setattr(jobs, "run", run)
    out = tmp_path / "errors.json"
    flags = ["--backends", "mosaic_gpu,cudnn", "--cells", "lstm", "--out", str(out)]
    assert gpu_errors.main([*flags, "--modes", "float32/highest"]) == 1
    assert sorted(asked) == [
        ("tools/contract_errors.py", "cudnn"),
        ("tools/contract_errors.py", "mosaic_gpu"),
        ("tools/kernel_errors.py", "cudnn"),
        ("tools/kernel_errors.py", "mosaic_gpu"),
        ("tools/kernel_errors.py", "scan"),
    ]
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    assert result["failed"] == {"float64 lstm cudnn float32 highest": "status -6: boom"}
    assert sorted(r["backend"] for r in result["errors"]) == ["mosaic_gpu", "scan"]
    assert result["left_out"] == ["a note", "a note"]
    assert "failed: float64 lstm cudnn" in captured.err
    assert json.loads(out.read_text()) == result
