"""char_gen.py in two processes of four simulated devices: stopped, killed, gone on."""

import contextlib
import json
import signal
import time

import char_gen
import numpy as np
import psutil
import pytest
import two_hosts
from two_hosts import FLAGS, HEARTBEAT, STEPS, TEXT, result, said, wait

from jaxtext.runs.log import read_metrics


def await_step(workdir, step, processes):
    """Waits for a checkpoint after `step` or more steps."""
    latest = workdir / "checkpoints" / "latest"
    while not any(p.name.isdigit() and int(p.name) >= step for p in latest.glob("*")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


@contextlib.contextmanager
def pair(workdir, *flags, second=(), environment=None):
    """Two processes that train together in one directory."""
    environments = {}, environment or {}
    flags = "--workdir", workdir, *flags
    with two_hosts.pair(
        workdir, *flags, second=second, environments=environments
    ) as processes:
        yield processes


@pytest.mark.thorough
# One test: to start two processes takes most of the time.
def test_killed_and_stopped_and_gone_on_is_as_if_never_disturbed(tmp_path, capsys):
    corpus = tmp_path / "fox.txt"
    corpus.write_text(TEXT)
    whole, parts, one = tmp_path / "whole", tmp_path / "parts", tmp_path / "one"
    corpus_flags = "--corpus", corpus
    with pair(whole, *corpus_flags) as processes:
        assert wait(processes) == [0, 0], said(whole, 0) + said(whole, 1)

    # A process that is killed ends the other, with words and in time.
    with pair(parts, *corpus_flags, "--heartbeat-seconds", HEARTBEAT) as processes:
        await_step(parts, 40, processes)
        (child,) = psutil.Process(processes[1].pid).children()
        child.kill()
        begin = time.monotonic()
        assert wait(processes) == [75, 128 + signal.SIGKILL]
        assert time.monotonic() - begin < HEARTBEAT + 15
    assert "lost contact with process 1; everything saved is good" in said(parts, 0)

    # A signal to one stops both, at the same step.
    with pair(parts, *corpus_flags) as processes:
        await_step(parts, 160, processes)
        processes[1].send_signal(signal.SIGTERM)
        assert wait(processes) == [128 + signal.SIGTERM] * 2
    assert "going on from step" in said(parts, 0)
    assert "stopped by signal 15, which process 1 got" in said(parts, 0)
    assert "stopped by signal 15; the same command" in said(parts, 1)

    with pair(parts, *corpus_flags, "--data-parallel", "sharded") as processes:
        assert wait(processes) == [0, 0], said(parts, 0) + said(parts, 1)
    expected, found = result(whole), result(parts)
    assert 160 <= found["resumed_from_step"] < STEPS
    assert found["processes"] == 2
    for name in ("parameters_sha256", "val_nats_per_char", "best_step"):
        assert found[name] == expected[name]

    # What is written once is written by one of them.
    for workdir in (whole, parts):
        steps = [r["step"] for r in read_metrics(workdir / "metrics.jsonl")]
        assert steps.count(100) == 2  # a loss and a validation
        assert len(steps) == STEPS // 10 + 3
        assert said(workdir, 1, "out") == ""
        assert len(said(workdir, 0, "out").splitlines()) == 1  # nothing of Gloo's
        assert "validation" not in said(workdir, 1)

    # And two processes are one, within rounding.
    command = [*corpus_flags, *FLAGS, "--workdir", one]
    assert char_gen.main([str(word) for word in command]) == 0
    alone = json.loads(capsys.readouterr().out)
    expected = expected["val_nats_per_char"]
    assert alone["val_nats_per_char"] == pytest.approx(expected, rel=1e-4)
    losses = [
        [r["loss"] for r in read_metrics(d / "metrics.jsonl") if "loss" in r]
        for d in (whole, one)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.everyday(second=[["--seed", 1]])
@pytest.mark.parametrize(
    ("second", "environment", "told"),
    [
        (
            ["--seed", 1],
            {"JAX_NUM_CPU_DEVICES": "2"},
            (
                "--seed is 0 in process 0 and 1 in process 1",
                "devices of each is 4 in process 0 and 2 in",
            ),
        ),
        ([], {"JAX_ENABLE_X64": "1"}, ("jax_enable_x64 is False in process 0",)),
        (["--corpus", "gone.txt"], {}, ("data set is called gone.txt",)),
    ],
    ids=["flags and devices", "jax", "text"],
)
def test_processes_that_differ_say_in_what_and_leave_nothing(
    second, environment, told, tmp_path
):
    corpus, workdir = tmp_path / "fox.txt", tmp_path / "run"
    corpus.write_text(TEXT)
    flags = "--corpus", corpus
    with pair(workdir, *flags, second=second, environment=environment) as processes:
        assert wait(processes) == [2, 2], said(workdir, 0) + said(workdir, 1)
    for i in range(2):
        assert all(words in said(workdir, i) for words in told)
        assert "Traceback" not in said(workdir, i)
    assert not workdir.exists()
