"""Starting the programs under trial, and making sure that they end."""

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
LONGEST = 300.0  # seconds that any child may take

_started: list[subprocess.Popen[str]] = []
_lock = threading.RLock()  # for a signal may come while the main thread has it


def environment(scratch: Path, **more: str) -> dict[str, str]:
    """The environment of children: this checkout, one CPU device, a cache that is warm.

    A step that is compiled already makes a trial three seconds and not ten.
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
    """Starts a process in a group of its own, which does not outlive this one's end.

    Args:
      command: What to run.
      names: The kinds of system calls that `decide` is asked about.
      decide: As for `Intercepted`; without it no call is intercepted.
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
    """Kills a process and all that it started, and waits for it."""
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
    """Kills all that was started and runs yet; nothing is started from now on."""
    _lock.acquire()
    for process in list(_started):
        if process.poll() is None:
            kill(process)


class Training:
    """A run of ``experiments/char_gen.py``, as one sees it from outside.

    Args:
      flags: Its command line.
      scratch: Where its output goes.
      environment: Its environment.
      names: The kinds of system calls that `decide` is asked about, if any.
      decide: As for `Intercepted`.
      piped: Whether its standard input is what `feed` is given.
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
        """What is on its standard error by now."""
        return self.err.read_text("utf-8", "replace")

    def feed(self, text: str, last: bool = False) -> None:
        """Writes to its standard input, and closes it after the last."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(text)
            self.process.stdin.flush()
        if last:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def finish(self) -> int | None:
        """Waits for its end; ``None`` if that did not come, and it was killed."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            kill(self.process)
            return None

    def result(self) -> dict[str, Any]:
        """Its last line."""
        lines = self.out.read_text("utf-8").splitlines()
        return json.loads(lines[-1]) if lines else {}

    def start_step(self) -> int | None:
        """The step that it started from, if it got to say it."""
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
    """A process of `saver`, told line by line what to do.

    Args:
      scratch: Its standard error goes there.
      names: As for `Training`.
      decide: As for `Training`.
    """

    def __init__(self, scratch: Path, names: Sequence[str] = (), decide: Any = None):
        command = [sys.executable, str(Path(__file__).with_name("saver.py"))]
        self.err = scratch / f"saver-{time.monotonic_ns()}.err"
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
        with _ending(self.process, LONGEST):
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
    """Kills a process that is not done when so much time has passed."""
    timer = threading.Timer(seconds, kill, [process])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
