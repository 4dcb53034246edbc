"""What documents and messages tell to install can be installed: pip's lines resolve.

uv resolves them by the metadata of the packages, and downloads none of them.
"""

import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_WORD = r"(?:'[^']+'|[\w.\[\],=<>-]+)"
_LINE = re.compile(rf"pip\s+install\s+({_WORD}(?: {_WORD})*)")


def lines():
    """What follows ``pip install``, wherever it is said."""
    found = set()
    folders = "", "docs/", "benchmarks/", "tools/"
    for pattern in (*(f"{name}*.md" for name in folders), "experiments/*.py"):
        for path in ROOT.glob(pattern):
            text = path.read_text("utf-8")
            found.update(" ".join(line.split()) for line in _LINE.findall(text))
    return sorted(found)


def requirement(word):
    """As uv reads it from a file; the project by its path, not by its name."""
    name, bracket, extras = word.partition("[")
    if name in (".", "jaxtext"):
        return f"jaxtext{bracket}{extras} @ {ROOT.as_uri()}"
    return word


def extras():
    """Each extra of the project, as one would install it."""
    names = importlib.metadata.metadata("jaxtext").get_all("Provides-Extra") or []
    return [f"'.[{name}]'" for name in names]


def test_the_main_ones_are_found():
    assert {".", "'.[experiments,tpu]'"} <= set(lines())
    assert {"'.[cuda]'", "'.[tpu]'", "'.[peers]'"} <= set(extras())


@pytest.mark.everyday(line=(".",))
@pytest.mark.parametrize("line", sorted({*lines(), *extras()}))
def test_it_resolves(line):
    words = "\n".join(map(requirement, shlex.split(line)))
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "-"]
    own = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    run = subprocess.run(command, input=words, env=own, capture_output=True, text=True)
    if "error sending request" in run.stderr or "Could not connect" in run.stderr:
        pytest.skip(f"no package index can be reached: {run.stderr.splitlines()[0]}")
    assert run.returncode == 0, run.stderr
