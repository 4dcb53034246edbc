"""Imports run downwards only: a module may import what stands before it here."""

import ast
from pathlib import Path

import jaxtext

LAYERS = [
    "errors",
    "streams",
    "versions",
    "needs_experiments",
    "quantities",
    "types",
    "evidence",
    "checks",
    "keys",
    "parameters",
    "target",
    "kernels",
    "expected",
    "constructor",
    "cells",
    "noise",
    "dispatch",
    "walk",
    "unroll",
    "compose",
    "model",
    "interop",
    "text",
    "training",
    "runs",
    "generation",
]
# Rooms that may not look into one another, whatever their order.
APART = {("training", "generation"), ("generation", "training"), ("runs", "generation")}
# What `text`, which does without JAX, may import.
ALONE = "text", "errors", "quantities"
ROOT = Path(jaxtext.__file__).parent


def imported(path):
    """The parts of jaxtext that a file imports, by their first name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "jaxtext"
        ):
            inner = node.module.split(".")[1:]
            yield from inner[:1] or [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            yield from (
                alias.name.partition(".")[2].split(".")[0]
                for alias in node.names
                if alias.name.startswith("jaxtext.")
            )


def test_imports_run_downwards():
    checked = 0
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        below = LAYERS[: LAYERS.index(own) + 1]
        for name in imported(path):
            checked += 1
            assert name in below, f"{path} imports {name}, which stands above {own}"
            assert (own, name) not in APART, f"{path} imports {name}"
            assert own != "text" or name in ("text", "errors", "quantities"), (
                f"{path}: text is alone"
            )
    assert checked > 50


def test_text_knows_no_jax():
    for path in (ROOT / "text").glob("*.py"):
        assert "import jax\n" not in path.read_text()


def test_pmap_is_said_in_one_file():
    saying = [p.name for p in ROOT.rglob("*.py") if "jax.pmap(" in p.read_text()]
    assert saying == ["parallel.py"]
