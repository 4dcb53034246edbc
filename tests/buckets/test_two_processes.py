"""Two processes that share nothing but a bucket: killed, gone on, and the same bits."""

import os
import signal
import time

import numpy as np
import psutil
import pytest
import two_hosts
from two_hosts import HEARTBEAT, STEPS, TEXT, result, said, wait

from jaxtext.runs.log import read_metrics
from jaxtext.runs.storage import lease


@pytest.mark.thorough
def test_killed_and_gone_on_is_as_if_never_disturbed(store, folder, tmp_path):
    corpus, environments = tmp_path / "fox.txt", []
    corpus.write_text(TEXT)
    for i in range(2):  # nothing that one writes on its host is there on the other
        host = tmp_path / f"host-{i}"
        for name in ("tmp", "cache"):
            (host / name).mkdir(parents=True)
        own = {"TMPDIR": str(host / "tmp"), "JAXTEXT_CACHE": str(host / "cache")}
        environments.append(store.environment | own)

    def pair(name, *flags):
        flags = "--workdir", store.url(f"{folder}/{name}"), "--corpus", corpus, *flags
        return two_hosts.pair(tmp_path / name, *flags, environments=environments)

    with pair("whole") as processes:
        assert wait(processes) == [0, 0], said(tmp_path / "whole", 0)
    expected = result(tmp_path / "whole")

    for killed in range(2):
        with pair("parts", "--heartbeat-seconds", HEARTBEAT) as processes:
            latest = f"{folder}/parts/checkpoints/latest/"
            after = 40 + 100 * killed
            while not any(
                name.endswith("/manifest.sha256") and int(name.split("/")[4]) >= after
                for name in store.names(latest)
            ):
                assert all(process.poll() is None for process in processes)
                time.sleep(0.05)
            (child,) = psutil.Process(processes[killed].pid).children()
            child.kill()
            status = [75, 75]
            status[killed] = 128 + signal.SIGKILL
            assert wait(processes) == status
        assert "lost contact" in said(tmp_path / "parts", 1 - killed)

    begin = time.monotonic()
    with pair("parts") as processes:
        assert wait(processes) == [0, 0], said(tmp_path / "parts", 0)
    assert time.monotonic() - begin < lease.DEAD + 240
    found = result(tmp_path / "parts")
    assert 140 <= found["resumed_from_step"] < STEPS
    for name in ("parameters_sha256", "val_nats_per_char", "best_step", "processes"):
        assert found[name] == expected[name]
    logs = [
        read_metrics(store.url(f"{folder}/{name}/metrics.jsonl"))
        for name in ("whole", "parts")
    ]
    losses = [[x["loss"] for x in log if "loss" in x] for log in logs]
    np.testing.assert_array_equal(*losses)
    names = store.names(f"{folder}/parts/checkpoints/")
    assert not any("saving" in x or "removing" in x for x in names)
    for i in range(2):
        assert not [x for x in os.listdir(tmp_path / f"host-{i}/tmp") if "lease" in x]
