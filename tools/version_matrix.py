"""Runs the whole suite on every Python of this machine, with new and with old packages.

    python tools/version_matrix.py                          # make test-versions
    python tools/version_matrix.py 3.12:highest -- tests/kernels

Each run has a fresh clone of the last commit and a fresh environment, made by uv. With
"highest" it has the packages that pip would install today, with "lowest-direct" the
lowest version of each that pyproject.toml allows. By default every Python runs with the
first, and the two oldest also with the second, because a new Python may have no wheels
of old packages. Words after ``--`` go to pytest.

What pytest prints goes to a file for each run, and the table is printed at the end.
Exit status: 0 all pass, 1 some fail, 2 bad input.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from matrix import pythons

ROOT = Path(__file__).parents[1]
RESOLUTIONS = ("highest", "lowest-direct")
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
_PRINT = f"""
import importlib.metadata
print(*map(importlib.metadata.version, {PACKAGES}))
"""


class Result(NamedTuple):
    """The result of one run."""

    python: str
    resolution: str
    versions: list[str]
    passed: int
    failed: int
    skipped: int
    seconds: float


def test(python: Path, resolution: str, words: list[str], log: Path) -> list[str]:
    """Clones, installs and tests, in a directory that is removed afterwards.

    Args:
      python: The interpreter.
      resolution: One of `RESOLUTIONS`.
      words: More arguments for pytest.
      log: Where all output goes.

    Returns:
      The versions of `PACKAGES`; none if they could not be installed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="jaxtext-") as directory,
        log.open("w", encoding="utf-8") as file,
    ):
        clone, env = Path(directory, "jaxtext"), Path(directory, "env")
        shared = ROOT.parent / "shared"
        if shared.exists():  # texts that some tests read
            Path(directory, "shared").symlink_to(shared)
        environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}

        def succeeds(*command: str | Path, where: Path = clone) -> bool:
            print("$", *command, file=file, flush=True)
            run = subprocess.run(
                command, cwd=where, env=environment, stdout=file, stderr=file
            )
            return run.returncode == 0

        uv = sys.executable, "-m", "uv"
        install = *uv, "pip", "install", "--resolution", resolution, "--python", env
        ready = (
            succeeds("git", "clone", "--quiet", ROOT, clone, where=ROOT)
            and succeeds(*uv, "venv", "--quiet", "--python", python, env)
            and succeeds(*install, "--editable", ".[test]")
        )
        if not ready:
            return []
        pytest = env / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider"
        succeeds(*pytest, "-m", "", "-n", "2", "--dist", "worksteal", *words)
        ask = env / "bin" / "python", "-c", _PRINT
        return subprocess.check_output(ask, text=True).split()


def result(
    python: str, path: Path, resolution: str, words: list[str], log: Path
) -> Result:
    """Runs `test`, and parses the counts in the last line of pytest."""
    began = time.monotonic()
    versions = test(path, resolution, words, log)
    closing = re.findall(r"^.* in [\d.]+s.*$", log.read_text("utf-8"), re.MULTILINE)
    pairs = re.findall(r"(\d+) (passed|failed|skipped|errors?)", "".join(closing[-1:]))
    count = {what: int(number) for number, what in pairs}
    passed = count.get("passed", 0)
    failed = sum(count.get(what, 0) for what in ("failed", "error", "errors"))
    return Result(
        python,
        resolution,
        versions or ["not installed"] * len(PACKAGES),
        passed,
        failed if passed else max(failed, 1),  # it ended before it could count
        count.get("skipped", 0),
        time.monotonic() - began,
    )


def table(results: list[Result]) -> str:
    """The results in Markdown."""
    heads = "Python", "resolved", *PACKAGES, "passed", "failed", "skipped", "seconds"
    rows = [heads, ["---"] * len(heads)]
    for r in results:
        counts = r.passed, r.failed, r.skipped, round(r.seconds)
        rows.append((r.python, r.resolution, *r.versions, *map(str, counts)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(argv: list[str]) -> int:
    """Makes the runs that are asked for, and prints the table."""
    at = argv.index("--") if "--" in argv else len(argv)
    asked, words = argv[:at], argv[at + 1 :]
    found = pythons.find()
    pairs = [(python, "highest") for python in found]
    pairs += [(python, "lowest-direct") for python in list(found)[:2]]
    if asked:
        pairs = [word.partition(":")[::2] for word in asked]
    for python, resolution in pairs:
        if python not in found or resolution not in RESOLUTIONS:
            print(
                f"error: expected PYTHON:RESOLUTION, of {', '.join(found)} and "
                f"{', '.join(RESOLUTIONS)}; got {python}:{resolution}",
                file=sys.stderr,
            )
            return 2
    logs = Path(tempfile.mkdtemp(prefix="jaxtext-versions-"))
    results = []
    for python, resolution in pairs:
        log = logs / f"{python}-{resolution}.txt"
        print(f"Python {python}, {resolution}: {log}", file=sys.stderr, flush=True)
        results.append(result(python, found[python], resolution, words, log))
        print(table(results[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(results))
    return int(any(r.failed for r in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
