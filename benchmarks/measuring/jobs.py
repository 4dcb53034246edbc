"""Runs scripts in processes of their own, several at once, each with a time limit.

A crash, a hang or an error of one is reported, and does not affect the others.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

CHECKOUT = Path(__file__).parents[2]


class Outcome(NamedTuple):
    """The outcome of a script.

    Attributes:
      result: The JSON object in its last line, or ``None`` if it failed.
      status: Its exit status; ``-n`` if signal n ended it, ``None`` if it exceeded the
        limit and was killed.
      reason: Why it failed: the status or the limit, and its last line on standard
        error, or on standard output if that is not a JSON object.
      seconds: The time that it took.
    """

    result: dict[str, Any] | None
    status: int | None
    reason: str
    seconds: float


def run(
    script: str | Path,
    *words: object,
    seconds: float,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs a Python script, and parses its last line.

    Args:
      script: Its path, from the root of the checkout.
      *words: Its command line.
      seconds: The time limit.
      log: A file to append its standard error to.
      environment: The whole environment. Default: that of this process.
    """
    command = [sys.executable, str(CHECKOUT / script), *map(str, words)]
    begin = time.monotonic()
    status, out = None, ""
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # invalid UTF-8 must not lose the rest
            timeout=seconds,
        )
        status, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        err = (late.stderr or b"").decode(errors="replace")
    took = time.monotonic() - begin
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(command)}\n{err}\n")
    if status == 0:
        last = _last_line(out)
        result = _json_object(last)
        reason = f"status 0, but its last line is no JSON object: {last!r}"
        return Outcome(result, status, reason if result is None else "", took)
    reason = f"killed after {seconds:g} s" if status is None else f"status {status}"
    last = _last_line(err)
    return Outcome(None, status, f"{reason}: {last}" if last else reason, took)


def side_by_side(
    jobs: Mapping[str, Sequence[Any]], at_once: int, **options: Any
) -> Iterator[tuple[str, Outcome]]:
    """Runs scripts, several at once, and yields the outcome of each as it ends.

    Args:
      jobs: The arguments of `run` for each name, in the order to start them.
      at_once: Number of scripts at once.
      **options: For `run`.
    """
    with ThreadPoolExecutor(at_once) as threads:
        names = {threads.submit(run, *job, **options): n for n, job in jobs.items()}
        for done in as_completed(names):
            yield names[done], done.result()


def _last_line(text):
    return (text.strip().splitlines() or [""])[-1]


def _json_object(line):
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
