"""char_gen.py in two processes of four simulated devices: stopped, killed, gone on."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import char_gen
import numpy as np
import psutil
import pytest

from jaxtext.training.log import read_metrics

TEXT = "the quick brown fox jumps over the lazy dog. (what a day!)\n" * 60
STEPS, HEARTBEAT = 300, 5
FLAGS = [
    *("--hidden", 8, "--batch-size", 8, "--seq-len", 8, "--dropout", 0.2),
    *("--eval-every", 100, "--sample-every", 0, "--steps", STEPS, "--save-steps", 20),
]


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextlib.contextmanager
def pair(workdir, *flags):
    """Two processes that train together; their outputs are files beside `workdir`."""
    flags = ["--workdir", workdir, *FLAGS, *flags, "--coordinator"]
    flags += [f"127.0.0.1:{free_port()}", "--num-processes", 2, "--process-id"]
    environment = os.environ | {
        "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", "count=4"),
        "NPROC": "32",
    }
    with contextlib.ExitStack() as stack:
        processes = []
        for i in range(2):
            out, err = (
                stack.enter_context(workdir.with_suffix(f".{i}.{name}").open("w"))
                for name in ("out", "err")
            )
            command = [sys.executable, char_gen.__file__, "--distributed", *flags, i]
            processes.append(
                subprocess.Popen(
                    [str(word) for word in command],
                    env=environment,
                    stdout=out,
                    stderr=err,
                )
            )
            stack.callback(processes[-1].kill)
        yield processes


def wait(processes):
    return [process.wait(timeout=120) for process in processes]


def said(workdir, i, name="err"):
    return workdir.with_suffix(f".{i}.{name}").read_text()


def await_step(workdir, step, processes):
    """Waits for a checkpoint after `step` or more steps."""
    latest = workdir / "checkpoints" / "latest"
    while not any(p.name.isdigit() and int(p.name) >= step for p in latest.glob("*")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that nobody disturbed, and one that was killed, stopped, and gone on."""
    directory = tmp_path_factory.mktemp("runs")
    corpus = directory / "fox.txt"
    corpus.write_text(TEXT)
    whole, parts = directory / "whole", directory / "parts"
    seen = {}
    with pair(whole, "--corpus", corpus) as processes:
        assert wait(processes) == [0, 0], said(whole, 0) + said(whole, 1)
    with pair(parts, "--corpus", corpus, "--heartbeat-seconds", HEARTBEAT) as processes:
        await_step(parts, 40, processes)
        (child,) = psutil.Process(processes[1].pid).children()
        child.kill()
        begin = time.monotonic()
        seen["killed"] = wait(processes)
        seen["seconds"] = time.monotonic() - begin
        seen["lost"] = said(parts, 0)
    with pair(parts, "--corpus", corpus) as processes:
        await_step(parts, 160, processes)
        processes[1].send_signal(signal.SIGTERM)
        seen["stopped"] = wait(processes)
        seen["going on"] = said(parts, 0)
    with pair(parts, "--corpus", corpus, "--data-parallel", "sharded") as processes:
        assert wait(processes) == [0, 0], said(parts, 0) + said(parts, 1)
    return corpus, whole, parts, seen


def result(workdir):
    return json.loads(said(workdir, 0, "out").splitlines()[-1])


def test_a_process_that_is_killed_ends_the_other_with_words_and_in_time(runs):
    _, _, _, seen = runs
    assert seen["killed"] == [75, 128 + signal.SIGKILL]
    assert "lost contact with another process of the run" in seen["lost"]
    assert seen["seconds"] < HEARTBEAT + 15


def test_a_signal_to_one_stops_both_at_the_same_step(runs):
    _, _, _, seen = runs
    assert "going on from step" in seen["going on"]
    assert seen["stopped"] == [128 + signal.SIGTERM] * 2


def test_what_was_killed_and_stopped_ends_as_if_it_had_not_been(runs):
    _, whole, parts, _ = runs
    expected, found = result(whole), result(parts)
    assert 160 <= found["resumed_from_step"] < STEPS
    assert found["processes"] == 2
    for name in ("parameters_sha256", "val_nats_per_char", "best_step"):
        assert found[name] == expected[name]


def test_one_process_writes_what_is_written_once(runs):
    _, whole, parts, _ = runs
    for workdir in (whole, parts):
        steps = [r["step"] for r in read_metrics(workdir / "metrics.jsonl")]
        assert steps.count(100) == 2  # a loss and a validation
        assert len(steps) == STEPS // 10 + 3
        assert "{" not in said(workdir, 1, "out")
        assert "validation" not in said(workdir, 1)


def test_two_processes_are_one(runs, tmp_path, capsys):
    corpus, whole, _, _ = runs
    command = ["--corpus", corpus, "--workdir", tmp_path / "one", *FLAGS]
    assert char_gen.main([str(word) for word in command]) == 0
    alone = json.loads(capsys.readouterr().out)
    val = result(whole)["val_nats_per_char"]
    assert alone["val_nats_per_char"] == pytest.approx(val, rel=1e-4)
    losses = [
        [r["loss"] for r in read_metrics(d / "metrics.jsonl") if "loss" in r]
        for d in (whole, tmp_path / "one")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)
