"""Finds the Pythons of this machine that jaxtext supports.

It looks along PATH and among those that pyenv and uv have installed.
"""

import os
import shutil
import subprocess
from pathlib import Path

OLDEST = (3, 11)

_ASK = """
import ensurepip, platform, sys, venv
print(platform.python_version(), sys.executable)
"""


def find() -> dict[str, Path]:
    """The first working Python of each version, ``"3.12"`` say, oldest first."""
    names = ["python3", *(f"python3.{minor}" for minor in range(OLDEST[1], 30))]
    candidates = [*filter(None, map(shutil.which, names))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += sorted(pyenv.glob("versions/*/bin/python3"))
    candidates += sorted(Path.home().glob(".local/share/uv/python/*/bin/python3"))
    found: dict[tuple[int, int], Path] = {}
    for candidate in candidates:
        # A shim of pyenv may be of a version that is not installed.
        run = subprocess.run([candidate, "-c", _ASK], capture_output=True, text=True)
        if run.returncode == 0:
            said, path = run.stdout.split(maxsplit=1)
            major, minor, *_ = said.split(".")
            version = int(major), int(minor)
            if version >= OLDEST:
                found.setdefault(version, Path(path.strip()))
    return {f"{a}.{b}": found[a, b] for a, b in sorted(found)}
