"""char_gen.py in two processes of four simulated devices, as if on two hosts."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import char_gen

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
def pair(outputs, *flags, second=(), environments=({}, {})):
    """Two processes that train together; their outputs are files beside `outputs`.

    The second may have flags more, and each has an environment of its own.
    """
    flags = [*FLAGS, *flags, "--coordinator", f"127.0.0.1:{free_port()}"]
    flags += ["--num-processes", 2, "--process-id"]
    with contextlib.ExitStack() as stack:
        processes = []
        for i in range(2):
            out, err = (
                stack.enter_context(outputs.with_suffix(f".{i}.{name}").open("w"))
                for name in ("out", "err")
            )
            command = [sys.executable, char_gen.__file__, "--distributed", *flags, i]
            command += second if i else ()
            processes.append(
                subprocess.Popen(
                    [str(word) for word in command],
                    env=os.environ | {"JAX_NUM_CPU_DEVICES": "4"} | environments[i],
                    stdout=out,
                    stderr=err,
                )
            )
            stack.callback(processes[-1].kill)
        yield processes


def wait(processes):
    return [process.wait(timeout=300) for process in processes]


def said(outputs, i, name="err"):
    return outputs.with_suffix(f".{i}.{name}").read_text()


def result(outputs):
    return json.loads(said(outputs, 0, "out").splitlines()[-1])
