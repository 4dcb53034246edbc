"""What every result has: versions, hardware, and one line of JSON."""

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from jaxtext import streams
from jaxtext.files import write_durably

PACKAGES = (
    *("jax", "jaxlib", "libtpu", "flax", "optax", "numpy"),
    *("dm-haiku", "equinox", "keras", "torch"),
)


def environment() -> dict[str, Any]:
    """Versions, hardware and XLA's flags of this process, as entries of a result.

    This opens JAX's devices.

    Returns:
      ``{"versions": …, "hardware": …, "xla_flags": …}``.
    """
    flags = os.environ.get("XLA_FLAGS", "").strip()
    return {"versions": versions(), "hardware": hardware(), "xla_flags": flags}


def versions() -> dict[str, str]:
    """Versions of Python, of jaxtext and of the installed `PACKAGES`.

    In a checkout, that of jaxtext is the commit, with ``-dirty`` if files differ.
    """
    found = {"python": platform.python_version(), "jaxtext": _jaxtext()}
    for name in PACKAGES:
        version = _installed(name)
        if version is not None:
            found[name] = version
    return found


def hardware() -> dict[str, Any]:
    """The machine and the default device of JAX."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "memory_gib": round(pages * page / 2**30, 1),
        "platform": platform.platform(),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
    }


def write(result: dict[str, Any], path: Path) -> None:
    """Writes `result` to a file as indented JSON, and makes its directories.

    A reader sees the old file or the new one, never a part of it.

    Raises:
      ValueError: If the result has NaN or infinity, which JSON does not have.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    if path.exists() and not path.is_file():  # such as /dev/null
        path.write_text(text, "utf-8")
    else:
        write_durably(path, text.encode())


def print_last_line(result: dict[str, Any], out: Path | None = None) -> None:
    """Prints `result` as one line of JSON, and writes it to `out` if given."""
    if out is not None:
        write(result, out)
    streams.print_last_line(json.dumps(result, allow_nan=False), kept=out)


def _installed(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _jaxtext():
    """The commit if there is one: the metadata are the same for many commits."""
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    try:
        git = subprocess.run(command, cwd=here, capture_output=True, text=True)
    except FileNotFoundError:
        return _installed("jaxtext") or "unknown"
    return git.stdout.strip() or _installed("jaxtext") or "unknown"


def _cpu_model():
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores():
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
