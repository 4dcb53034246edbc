"""Texts read from elsewhere, in this process or in one that is killed."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from jaxtext.text.sources import resolve

_READS = """
import sys
from pathlib import Path
from jaxtext.text import bucket
from jaxtext.text.sources import resolve

bucket.CHUNK = 20_000

def progress(done, total):
    print(done, flush=True)

with resolve(sys.argv[1], cache=Path(sys.argv[2]), progress=progress):
    pass
"""
_MEASURES = """
import sys
from pathlib import Path
from jaxtext.text.sources import resolve

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def size(url):
    with resolve(url, cache=Path(sys.argv[3])) as (_, [path]):
        return path.stat().st_size

size(sys.argv[1])
before = peak()
print(size(sys.argv[2]), before, peak())
"""


def read(url: str, cache: Path, **more) -> bytes:
    """The contents of all that a URL stands for."""
    with resolve(url, cache=cache, **more) as (_, paths):
        return b"".join(path.read_bytes() for path in paths)


def kept(cache: Path) -> list[str]:
    """The endings of the names of all files in the cache but locks."""
    return sorted(x.suffix for x in cache.glob("downloads/*") if x.suffix != ".lock")


def peaks(small: str, large: str, cache: Path) -> tuple[int, float, float]:
    """Reads a small and a large file in a process of its own (Linux).

    Returns:
      The bytes of the large one, and the peak of resident memory in MiB, after the
      small one and after the large one.
    """
    command = [sys.executable, "-c", _MEASURES, small, large, str(cache)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    size, before, after = found.stdout.split()
    return int(size), float(before), float(after)


def killed(url: str, cache: Path, content: bytes, seconds: float, times: int) -> int:
    """Kills downloads of a file of that content, each within so many seconds.

    Returns:
      How many were continued.
    """
    draw, continued = random.Random(0), 0
    command = [sys.executable, "-c", _READS, url, str(cache)]
    for _ in range(times):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(draw.uniform(0, seconds))
            process.kill()
        continued += int(first) > 0
        for copy in cache.glob("downloads/*.text"):
            assert copy.read_bytes() == content
            copy.unlink()
        for part in cache.glob("downloads/*.part"):
            assert content.startswith(part.read_bytes())
    return continued
