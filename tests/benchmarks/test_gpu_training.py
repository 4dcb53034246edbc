"""gpu_training.py: the ways, and what became of each."""

import json
import time

import gpu_training
import pytest
from measuring import jobs

GOOD = {
    "chars_per_second": 1000.0,
    "train_nats_per_char": 2.0,
    "val_nats_per_char": 2.1,
    "steps": 9,
    "seconds": 20.0,
}


@pytest.mark.parametrize(("status", "exits"), [(2, 0), (1, 1), (None, 1)])
def test_what_cannot_be_done_is_left_out(status, exits, tmp_path, monkeypatch, capsys):
    flags = {}

    def run(script, *words, environment, **options):
        flags[" ".join(map(str, words))] = environment["XLA_FLAGS"]
        if "cudnn" in words:
            return jobs.Outcome(None, status, "why", 1.0)
        return jobs.Outcome(GOOD, 0, "", 20.0)

    monkeypatch.setattr(jobs, "run", run)
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    ways = "cudnn/float32,scan+graphs/bfloat16,torch/float32"
    out = tmp_path / "training.json"
    assert gpu_training.main(["--ways", ways, "--out", str(out)]) == exits
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [r["way"] for r in result["rows"]] == [
        "scan+graphs/bfloat16",
        "torch/float32",
    ]
    where, other = ("left_out", "failed") if status == 2 else ("failed", "left_out")
    assert (result[where], result[other]) == ({"cudnn/float32": "why"}, {})
    assert json.loads(out.read_text()) == result
    for words, flag in flags.items():
        graphs = "--backend scan " in words  # which is the one with graphs here
        assert ("command_buffer" in flag) == graphs
        assert ("--dtype bfloat16" in words) == graphs


def test_without_graphs_where_xla_may_not_know_the_flags(monkeypatch, capsys):
    monkeypatch.setattr(gpu_training, "with_graphs", lambda: None)
    assert gpu_training.main(["--ways", "scan+graphs/float32"]) == 0
    assert "may not know the flags" in capsys.readouterr().out


def test_none_is_begun_that_could_not_end(monkeypatch, capsys):
    def run(*words, **options):
        time.sleep(0.3)
        return jobs.Outcome(GOOD, 0, "", 0.3)

    monkeypatch.setattr(jobs, "run", run)
    ways = ["--ways", "scan/float32,fused/float32", "--seconds", "0.3"]
    assert gpu_training.main([*ways, "--total", "0.5"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["way"] for row in result["rows"]] == ["scan/float32"]
    assert result["left_out"] == {"fused/float32": "no time was left"}
