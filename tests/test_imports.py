"""Imports run downwards only.

In the library a module may import what stands before it in a list. In experiments/,
benchmarks/ and tools/ the rules follow from the files: there are no cycles, and nothing
imports a script.
"""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxtext

LAYERS = [
    "errors",
    "buckets",
    "locks",
    "files",
    "streams",
    "versions",
    "needs_experiments",
    "quantities",
    "types",
    "floats",
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
    "dropout",
    "dispatch",
    "outcome",
    "walk",
    "unroll",
    "compose",
    "model",
    "of_model",
    "text",
    "interop",
    "training",
    "runs",
    "generation",
    "compression",
]
# Rooms that may not look into one another, whatever their order.
APART = {("training", "generation"), ("generation", "training"), ("runs", "generation")}
# What `text`, which does without JAX, may import.
ALONE = "text", "errors", "locks", "files", "quantities", "buckets"
LIBRARY = Path(jaxtext.__file__).parent
ROOT = LIBRARY.parent
# Folders that are searched for modules by name. Each may import from those before it.
FOLDERS = ("experiments", "benchmarks", "tools")


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """What a file imports: a module, and the name that it takes from there, if any."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def tops(path: Path) -> set[str]:
    """The packages that a file imports from."""
    return {module.split(".")[0] for module, _ in imported(path)}


def modules(folder: Path) -> dict[str, Path]:
    """The modules in a folder that is searched for them, by their whole names."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def is_script(path: Path) -> bool:
    """Whether a file is a program that one starts by its name."""
    begins = 'if __name__ == "__main__":\n    sys.exit('
    return path.parent.name in FOLDERS and begins in path.read_text("utf-8")


PROGRAMS = {folder: modules(ROOT / folder) for folder in FOLDERS}
ALL = {name: path for found in PROGRAMS.values() for name, path in found.items()}


def uses(path: Path) -> set[str]:
    """The modules of `ALL` that a file imports; of a package, those that are named."""
    inner = [(f"{module}.{name}", module) for module, name in imported(path)]
    return {x if x in ALL else module for x, module in inner} & ALL.keys()


def test_imports_run_downwards():
    checked = 0
    for path in LIBRARY.rglob("*.py"):
        own = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        below = LAYERS[: LAYERS.index(own) + 1]
        for module, name in imported(path):
            parts = f"{module}.{name}".split(".")
            if parts[0] != "jaxtext" or parts[1] not in LAYERS:
                continue
            checked += 1
            room = parts[1]
            assert room in below, f"{path} imports {room}, which stands above {own}"
            assert (own, room) not in APART, f"{path} imports {room}"
            assert own != "text" or room in ALONE, f"{path} imports {room}"
    assert checked > 50


def test_the_library_imports_no_program():
    programs = {name.split(".")[0] for name in ALL}
    for path in LIBRARY.rglob("*.py"):
        assert not tops(path) & programs, path


def test_names_of_parts_are_unique():
    """Since all folders are searched for them."""
    found = [
        {name.split(".")[0] for name, path in each.items() if not is_script(path)}
        for each in PROGRAMS.values()
    ]
    assert len(set().union(*found)) == sum(map(len, found))


@pytest.mark.parametrize("folder", FOLDERS)
def test_programs_import_from_the_folders_before(folder):
    above = FOLDERS[FOLDERS.index(folder) + 1 :]
    for path in PROGRAMS[folder].values():
        for name in uses(path):
            assert ALL[name].relative_to(ROOT).parts[0] not in above, (
                f"{path} imports {name}"
            )


def test_no_script_is_imported():
    """Neither by parts nor by other scripts."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in ALL.values()
        for name in uses(path)
        if is_script(ALL[name])
    }
    assert found == set()


def test_programs_have_no_cycles():
    graph = {name: uses(path) - {name} for name, path in ALL.items()}
    assert sum(map(len, graph.values())) > 50
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_text_knows_no_jax():
    for path in (LIBRARY / "text").glob("*.py"):
        assert "jax" not in tops(path), path


def test_what_is_slow_to_import_waits_until_it_is_used():
    program = (
        "import sys, jaxtext as jt, jaxtext.training, jaxtext.runs.checkpoint as of; "
        "jt.lstm, jt.LanguageModel, jaxtext.training.evaluate, of.Checkpoints; "
        "print(*sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = found.stdout.split()
    assert {"jaxtext.kernels.mosaic", "jaxtext.runs.checkpoint.arrays"} <= set(loaded)
    assert not {"jax.experimental.pallas", "orbax.checkpoint"} & set(loaded)


def test_pmap_is_said_in_one_file():
    saying = [p.name for p in LIBRARY.rglob("*.py") if "jax.pmap(" in p.read_text()]
    assert saying == ["parallel.py"]


BY_ITSELF = """
import importlib, sys
folder, scripts, own = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
places = [folder, *sys.path[1:]]
for script in scripts:
    sys.path[:] = places
    importlib.import_module(script)
    for module in own:
        sys.modules.pop(module, None)
"""


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_script_finds_what_it_imports(folder):
    """From its own folder alone: pytest searches all of them."""
    scripts = [name for name, path in PROGRAMS[folder].items() if is_script(path)]
    assert len(scripts) > 5
    lists = " ".join(scripts), " ".join(ALL)
    started = [sys.executable, "-c", BY_ITSELF, str(ROOT / folder), *lists]
    done = subprocess.run(started, capture_output=True, text=True, cwd=ROOT / folder)
    assert done.returncode == 0, done.stderr
