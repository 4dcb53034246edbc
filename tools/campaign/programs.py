"""Starts the programs under trial, and makes sure that they end."""

import atexit
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from campaign.syscalls import Call, Intercepted

ROOT = Path(__file__).parents[2]
LONGEST = 300.0  # seconds, the time limit of a child

_started: list[subprocess.Popen[str]] = []
_lock = threading.RLock()  # a signal handler may need it while its thread has it


def environment(scratch: Path, **more: str) -> dict[str, str]:
    """The environment of children: this checkout, one CPU device, a compilation cache.

    With the step in the cache a trial takes three seconds instead of ten.
    """
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAXTEXT_CACHE": str(scratch / "corpora"),
        **more,
    }


def start(
    command: Sequence[str],
    names: Sequence[str] = (),
    decide: Callable[[Call], int] | None = None,
    **options: Any,
) -> subprocess.Popen[str]:
    """Starts a process in a group of its own, which is killed when this process ends.

    Args:
      command: What to run.
      names: The kinds of system calls to intercept.
      decide: As for `Intercepted`. Without it no call is intercepted.
      **options: For `subprocess.Popen`.
    """
    with _lock:
        if decide is None:
            process = subprocess.Popen(
                command, start_new_session=True, text=True, **options
            )
        else:
            process = Intercepted(command, names, decide, text=True, **options)
        _started[:] = [p for p in _started if p.poll() is None]
        _started.append(process)
    return process


def kill(process: subprocess.Popen[str]) -> None:
    """Kills a process and everything that it started, and waits for it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@atexit.register
def kill_all() -> None:
    """Kills everything that still runs. Nothing can be started afterwards."""
    _lock.acquire()
    for process in list(_started):
        if process.poll() is None:
            kill(process)


class Training:
    """A run of ``experiments/char_gen.py``, seen from outside.

    Args:
      flags: The command line.
      scratch: Directory for its output.
      environment: The environment.
      names: As for `start`.
      decide: As for `start`.
      piped: Whether `feed` writes to its standard input.
    """

    def __init__(
        self,
        flags: Sequence[str],
        scratch: Path,
        environment: Mapping[str, str],
        names: Sequence[str] = (),
        decide: Any = None,
        piped: bool = False,
    ):
        command = [sys.executable, str(ROOT / "experiments" / "char_gen.py"), *flags]
        stem = f"{time.monotonic_ns()}"
        self.err, self.out = scratch / f"{stem}.err", scratch / f"{stem}.out"
        with self.err.open("w") as err, self.out.open("w") as out:
            options = {"stderr": err, "stdout": out, "env": environment}
            options["stdin"] = subprocess.PIPE if piped else subprocess.DEVNULL
            self.process = start(command, names, decide, **options)
        self.began = time.monotonic()

    def said(self) -> str:
        """Its standard error so far."""
        return self.err.read_text("utf-8", "replace")

    def feed(self, text: str, last: bool = False) -> None:
        """Writes to its standard input, and closes it after the last text."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(text)
            self.process.stdin.flush()
        if last:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def finish(self) -> int | None:
        """Waits for its exit status; ``None`` if it took too long and was killed."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            kill(self.process)
            return None

    def result(self) -> dict[str, Any]:
        """The result in its last line."""
        lines = self.out.read_text("utf-8").splitlines()
        return json.loads(lines[-1]) if lines else {}

    def start_step(self) -> int | None:
        """The step that it started from, if it has printed it."""
        said = self.said()
        if "a new run in" in said:
            return 0
        found = re.search(r"going on from step (\d+)", said)
        return int(found[1]) if found else None

    def forget(self) -> None:
        """Removes its output."""
        self.err.unlink(missing_ok=True)
        self.out.unlink(missing_ok=True)


class Orders:
    """A process of `saver`, which takes orders line by line, from any thread.

    Args:
      scratch: Directory for its standard error.
      names: As for `Training`.
      decide: As for `Training`.
    """

    def __init__(self, scratch: Path, names: Sequence[str] = (), decide: Any = None):
        command = [sys.executable, str(Path(__file__).with_name("saver.py"))]
        self.err = scratch / f"saver-{time.monotonic_ns()}.err"
        self._one_at_a_time = threading.Lock()
        with self.err.open("w") as err:
            options: dict[str, Any] = {
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
                "stderr": err,
                "env": environment(scratch),
            }
            self.process = start(command, names, decide, **options)

    def __call__(self, do: str, **details: Any) -> dict[str, Any]:
        """Gives an order and returns the answer.

        Raises:
          EOFError: If the process ended instead.
        """
        assert self.process.stdin
        assert self.process.stdout
        with self._one_at_a_time, _ending(self.process, LONGEST):
            try:
                self.process.stdin.write(json.dumps({"do": do, **details}) + "\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            kill(self.process)
            raise EOFError(f"the saver ended with status {self.process.returncode}")
        return json.loads(line)


@contextlib.contextmanager
def _ending(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """Kills the process if the block takes longer than this."""
    timer = threading.Timer(seconds, kill, [process])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
