"""Two processes with four devices each: the same training, and the loss of one."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import two_processes
from jax.sharding import SingleDeviceSharding
from two_processes import HEARTBEAT, SAVED, STEPS, B

from jaxtext.errors import InputError
from jaxtext.runs import distributed
from jaxtext.runs.meeting import NotMetError
from jaxtext.training import evaluate
from jaxtext.training.loop import run

ROOT = Path(__file__).parents[2]
STRATEGIES = ["pmap", "sharded"]
BOUND = 2 * HEARTBEAT + 5  # seconds, on a busy machine


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Scene:
    """One or two processes, under way; see two_processes.py."""

    def __init__(self, name, directory, processes):
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "PYTHONPATH": str(ROOT)}
        coordinator = f"127.0.0.1:{free_port()}"
        self.files = [directory / f"{name}-{i}.json" for i in processes]
        self.stderr = [file.with_suffix(".err") for file in self.files]
        self.processes = []
        for i, file, stderr in zip(processes, self.files, self.stderr, strict=True):
            words = [name, coordinator, str(i), str(file)]
            with stderr.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, two_processes.__file__, *words],
                    env=environment,
                    stdout=subprocess.DEVNULL,  # where Gloo speaks
                    stderr=output,
                    start_new_session=True,  # a group, to be ended together
                )
            self.processes.append(process)

    def found(self):
        """What each left in its file."""
        return [json.loads(file.read_text()) for file in self.files]

    def end(self, process=0):
        """Exit status and last line on standard error of one of them."""
        status = self.processes[process].wait(90)
        return status, self.stderr[process].read_text().splitlines()[-1]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """All scenes at once: they mostly wait."""
    directory = tmp_path_factory.mktemp("scenes")
    both = ("killed", "fails", "hangs", "all at the end")
    scenes = {name: Scene(name, directory, (0, 1)) for name in both}
    scenes["never came"] = Scene("never came", directory, (0,))
    yield scenes
    for scene in scenes.values():
        for process in scene.processes:
            if process.poll() is None:
                # A child that is stopped would outlive its parent.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def alone(strategy, devices):
    """The same training in one process: losses, the state at `SAVED`, parameters."""
    model, parallel, state, batch, ids = two_processes.setup(strategy, devices)
    losses, saved, progress = [], None, None
    for progress in run(parallel, parallel.place(state), batch, 0, STEPS):
        losses += [metrics.loss for _, metrics in progress.metrics]
        if progress.step == SAVED:
            saved = jax.device_get(parallel.collect(progress.state)._replace(key=()))
    return losses, saved, evaluate(model, parallel.params(progress.state), ids)


@pytest.fixture(scope="module", params=STRATEGIES)
def both(request, scenes):
    """What the two processes found, and what one does with as many devices, and one."""
    eight = alone(request.param, jax.local_devices())
    one = alone(request.param, jax.local_devices()[:1])
    ended = scenes["killed"].processes[0].wait(90)
    assert ended == 75
    found = [x[request.param] for x in scenes["killed"].found()]
    path = scenes["killed"].files[0].parent / request.param
    return found, eight, one, path


def test_losses_are_those_of_one_process(both):
    found, eight, one, _ = both
    assert found[0]["losses"] == found[1]["losses"]
    assert len(found[0]["losses"]) == STEPS
    np.testing.assert_allclose(found[0]["losses"], eight[0], rtol=1e-5)
    np.testing.assert_allclose(found[0]["losses"], one[0], rtol=1e-5)


def test_parameters_are_the_same_everywhere_and_at_hand_for_one(both):
    found, eight, *_ = both
    assert found[0]["params"] == found[1]["params"]
    assert found[0]["evaluated"] == pytest.approx(eight[2], rel=1e-5)


def test_each_reads_its_own_rows(both):
    assert [x["rows"] for x in both[0]] == [[0, B // 2], [B // 2, B]]


def test_what_both_saved_is_what_one_would_save(both):
    _, (_, saved, _), _, path = both
    one = SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=one),
        two_processes.setup("pmap")[2],
    )
    with ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore(path, like)._replace(key=())
    found = jax.tree.leaves(found)
    for a, b in zip(found, jax.tree.leaves(saved), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_both_go_on_from_what_they_saved_to_the_bit(both):
    for process in both[0]:
        assert process["again"] == process["losses"][SAVED:]


def test_all_agree_at_the_same_step(both):
    agreed = [x["agreed"] for x in both[0]]
    assert agreed[0] == agreed[1]
    # Process 0 raised its flag at step 3, process 1 at 5; one step later all know.
    assert [flag for flag, _ in agreed[0]] == [0, 0, 0, 1, 0, 1] + [0] * (STEPS - 6)
    assert [value for _, value in agreed[0]] == [0, *range(11, 10 + STEPS)]
    assert [x["first"] for x in both[0]] == [8, 8]


def test_the_loss_of_a_process_is_told_by_the_other(both, scenes):
    killed = scenes["killed"]
    status, words = killed.end()
    assert status == 75
    assert words.startswith("lost contact with process 1; everything saved is good")
    assert words.endswith("continues from the last checkpoint")
    assert killed.end(1) == (128 + 9, "the process was ended by SIGKILL")
    noticed, lost = (path.stat().st_mtime for path in killed.stderr)
    assert noticed - lost < BOUND


@pytest.mark.parametrize("scene", ["fails", "hangs"])
def test_no_process_waits_for_ever(scene, scenes):
    status, words = scenes[scene].end()
    assert status == 75
    if scene == "fails":  # for a reason of its own, which it has told
        assert words.startswith("process 1 ended with status 2, and said why;")
        assert scenes[scene].end(1) == (2, "together")
    else:
        assert words.startswith("lost contact with another process of the run")


def test_processes_that_leave_together(scenes):
    ends = [scenes["all at the end"].end(process) for process in (0, 1)]
    assert ends == [(128 + 15, "together")] * 2


def test_processes_that_never_meet(scenes):
    status, words = scenes["never came"].end()
    assert status == 75
    assert words.startswith("not all 2 processes met at 127.0.0.1:")
    assert "within 1 s: 1 here: process 1 is missing; start the same" in words
    (message,) = scenes["never came"].found()
    assert "give coordinator, number of processes and process id" in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("host:1", 2, None), "or none of the three"),
        (("host", 2, 0), r"expected HOST:PORT or \[IPV6\]:PORT, got 'host'"),
        (("::1:80", 2, 0), r"expected HOST:PORT or \[IPV6\]:PORT, got '::1:80'"),
        (("host:1", 2, 2), "below the number of processes, 2, got 2"),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(InputError, match=message):
        distributed.initialize(*given, meet_seconds=0)


def test_a_port_that_is_taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(InputError, match="choose another"):
            distributed.initialize(f"127.0.0.1:{port}", 2, 0, meet_seconds=0)


def test_the_devices_of_a_process_are_those_that_are_given(monkeypatch):
    for name, value in {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "JAX_LOCAL_DEVICE_IDS": "0,1,2,3",
    }.items():
        monkeypatch.setenv(name, value)
    assert distributed._found(1)[1:] == (1, 0, [0, 1, 2, 3])


@pytest.mark.parametrize("said", ["Failed to recognize coordinator address", "Retry"])
def test_a_process_0_without_an_address_is_late(monkeypatch, said):
    def detect(*args):
        error = RuntimeError(said)
        raise error from socket.gaierror("no such name")

    monkeypatch.setattr(
        distributed.ClusterEnv, "auto_detect_unset_distributed_params", detect
    )
    with pytest.raises(NotMetError, match="process 0 has no address yet"):
        distributed._found(1)


def test_an_exit_of_the_program_is_its_status(monkeypatch):
    monkeypatch.setattr(distributed, "supervised", lambda: True)
    monkeypatch.setattr(distributed, "initialize", lambda *args, **more: None)
    ended = []
    monkeypatch.setattr(
        distributed, "leave", lambda status, alone: ended.append(status)
    )
    for code in 3, None, "wrong":
        distributed.run(lambda code=code: sys.exit(code))
    assert ended == [3, 0, 1]
