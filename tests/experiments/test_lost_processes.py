"""Two processes, one of which is killed: the other ends with 75, whenever it was.

``JAXTEXT_CHAINS=10`` makes a campaign of it: half an hour or more.
"""

import contextlib
import os
import random
import shutil
import time

import psutil
import pytest
import two_hosts
from two_hosts import TEXT, result, said, wait

CHAINS, KILLS, SEED = int(os.environ.get("JAXTEXT_CHAINS", "1")), 3, 0
MEET = 90  # seconds; it takes that long if one is killed before it has come
HEARTBEAT = 200  # of a killed process nobody needs to wait for it


@contextlib.contextmanager
def pair(workdir, outputs):
    """Two processes that train in one directory; what they say is beside `outputs`."""
    corpus = workdir.parent / "fox.txt"
    corpus.write_text(TEXT)
    flags = ("--corpus", corpus, "--workdir", workdir, "--meet-seconds", MEET)
    flags += ("--heartbeat-seconds", HEARTBEAT)
    with two_hosts.pair(outputs, *flags) as processes:
        yield processes


def is_over(processes):
    return any(process.poll() is not None for process in processes)


def await_save(workdir, number, processes):
    """Waits for the beginning of a save, the `number`th from now."""
    seen = set()
    while len(seen) < number and not is_over(processes):
        seen |= {x.name for x in workdir.glob("checkpoints/*/saving-*")}
        time.sleep(0.002)


def await_moment(seconds, processes):
    """Waits so long, but not beyond the end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not is_over(processes):
        time.sleep(0.01)


def kill(process, whole):
    """Kills a process as the system does: the child, or parent and child."""
    parent = psutil.Process(process.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        found = parent.children()
        for each in [parent, *found] if whole or not found else found:
            each.kill()


@pytest.mark.thorough
def test_whenever_a_process_is_killed_the_other_says_so_and_all_goes_on(tmp_path):
    """Chains of kills, half of them within a save, and of a run that ends well."""
    rng = random.Random(SEED)
    begin = time.monotonic()
    with pair(tmp_path / "whole", tmp_path / "whole") as processes:
        assert wait(processes) == [0, 0]
    expected, seconds = result(tmp_path / "whole"), time.monotonic() - begin
    rows, wrong = [], []
    for chain in range(CHAINS):
        workdir, kills = tmp_path / f"run{chain}", 0
        while kills < KILLS:
            victim, in_save = rng.randrange(2), len(rows) % 2 == 0
            outputs = tmp_path / f"killed{len(rows)}"
            with pair(workdir, outputs) as processes:
                if in_save:
                    which, moment = rng.randrange(1, 8), rng.random() * 0.1
                    await_save(workdir, which, processes)
                    time.sleep(moment)
                    when = f"save {which}, {moment * 1000:.0f} ms after its beginning"
                else:
                    moment = rng.random() * seconds
                    await_moment(moment, processes)
                    when = f"{moment:.1f} of {seconds:.1f} s"
                if is_over(processes):  # it was faster than the first one
                    assert wait(processes) == [0, 0]
                    shutil.rmtree(workdir)
                    continue
                kill(processes[victim], whole=rng.random() < 0.5)
                killed = time.monotonic()
                status = wait(processes)
                took = time.monotonic() - killed
            text = said(outputs, 1 - victim)
            last = (text.splitlines() or [""])[-1]
            rows.append((victim, when, status, round(took, 1), last))
            print(*rows[-1], sep=" | ", flush=True)
            kills += 1
            met = "not all 2 processes met" not in last
            right = (
                status[1 - victim] == 75
                and took < (0 if met else MEET) + 15
                and "Traceback" not in text
                and ("lost contact" in last or not met)
                # Process 0 also shows its progress.
                and (victim == 1 or len(text.splitlines()) == 1)
            )
            if not right:
                wrong.append((rows[-1], text))
        with pair(workdir, tmp_path / f"end{chain}") as processes:
            status = wait(processes)
        found = result(tmp_path / f"end{chain}") if status == [0, 0] else {}
        print("end", chain, status, found.get("resumed_from_step"), flush=True)
        if found.get("parameters_sha256") != expected["parameters_sha256"]:
            wrong.append((chain, status, said(tmp_path / f"end{chain}", 0)))
    assert not wrong, wrong
