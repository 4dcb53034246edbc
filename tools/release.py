"""Builds the wheel and the source distribution, and tries them as a user would.

    make dist

Both are built from the last commit into dist/, and the wheel is installed, without
extras, in a fresh environment outside the checkout. There it runs the README's library
program, restores a checkpoint and shows help. What a wheel must and must not hold is
checked before. Exit status: 0 all is well, 1 something is not.
"""

import email
import email.policy
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = (sys.executable, "-m", "uv")
_INSIDE = re.compile(r"jaxtext(-[\d.]+\.dist-info)?/")
_LINK = re.compile(r"\]\((.+?)\)")

_CHECKPOINT = """
import tempfile, jax, optax, jaxtext as jt
from pathlib import Path
from jaxtext.runs.checkpoint import Checkpoints
model, optimizer = jt.LanguageModel(jt.gru(8), vocab_size=5), optax.sgd(0.1)
state = jt.training.create_state(model, optimizer, jax.random.key(0), 2)
checkpoints = Checkpoints(Path(tempfile.mkdtemp()))
checkpoints.save_latest(state, {"vocabulary": "abcde"})
checkpoints.finish()
found = checkpoints.restore_latest(like=state)
assert found.about == {"vocabulary": "abcde"}
pair = found.arrays.params, state.params
assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), *pair))
"""
_HELP = """
import pydoc, sys, jaxtext
text = pydoc.plain(pydoc.render_doc(jaxtext.unroll))
assert "backend" in text and "Raises:" in text, text
assert jaxtext.__version__ == sys.argv[1], jaxtext.__version__
assert "site-packages" in jaxtext.__file__, jaxtext.__file__
"""


def build(out: Path) -> tuple[Path, Path]:
    """Builds from a clone of the last commit; returns the wheel and the sdist."""
    for old in out.glob("jaxtext-*"):
        old.unlink()
    with tempfile.TemporaryDirectory() as directory:
        clone = Path(directory, "jaxtext")
        _run("git", "clone", "--quiet", ROOT, clone)
        _run(*UV, "build", "--quiet", "--out-dir", out, clone)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def check(wheel: Path, sdist: Path) -> str:
    """Raises `AssertionError` for what should not be published; returns the version."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        about = email.message_from_bytes(
            archive.read(metadata), policy=email.policy.default
        )
    assert "jaxtext/py.typed" in names
    assert "jaxtext/__init__.pyi" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert [name for name in names if not _INSIDE.match(name)] == []
    assert not [name for name in names if "test" in Path(name).name]
    relative = [x for x in _LINK.findall(str(about.get_payload())) if "://" not in x]
    assert relative == [], f"links that PyPI cannot follow: {relative}"
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "jaxtext/unroll.py"} <= inside
    return about["Version"]


def attempt(wheel: Path, version: str) -> None:
    """Installs the wheel in a bare environment elsewhere, and uses it."""
    readme = (ROOT / "README.md").read_text("utf-8")
    program = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0]
    with tempfile.TemporaryDirectory() as directory:
        env = Path(directory, "env")
        _run(*UV, "venv", "--quiet", "--python", sys.executable, env)
        own = os.environ | {"JAX_PLATFORMS": "cpu"}
        own.pop("PYTHONPATH", None)
        _run(*UV, "pip", "install", "--quiet", "--python", env, wheel)
        python = env / "bin" / "python"
        for what in (program, _CHECKPOINT, _HELP):
            _run(python, "-W", "error", "-c", what, version, cwd=directory, env=own)


def _run(*command: str | Path, **options) -> None:
    subprocess.run(list(map(str, command)), check=True, **options)


def main() -> int:
    """Builds, checks and tries; prints what was built."""
    wheel, sdist = build(ROOT / "dist")
    version = check(wheel, sdist)
    _run(*UV, "tool", "run", "--quiet", "twine", "check", "--strict", wheel, sdist)
    attempt(wheel, version)
    for path in (wheel, sdist):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB, good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
