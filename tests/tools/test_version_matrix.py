"""The Pythons that are found, and what is read from a run of the suite."""

import subprocess
from pathlib import Path

import pytest
import version_matrix
from matrix import pythons


def test_pythons_are_found_and_work():
    found = pythons.find()
    assert list(found) == sorted(found, key=lambda v: [*map(int, v.split("."))])
    assert found
    for version, path in found.items():
        said = subprocess.check_output([path, "--version"], text=True)
        assert said.startswith(f"Python {version}.")


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ("== 3 failed, 10 passed, 2 skipped in 5.01s ==", (10, 3, 2)),
        ("1937 passed, 70 skipped in 855.08s (0:14:15)", (1937, 0, 70)),
        ("5 passed in 1.0s\n2 passed, 1 error in 5.01s", (2, 1, 0)),
        ("F1128 Unknown flag in XLA_FLAGS", (0, 1, 0)),
    ],
)
def test_what_pytest_said_is_counted(said, counts, tmp_path, monkeypatch):
    log = tmp_path / "log.txt"
    log.write_text(said + "\n")
    monkeypatch.setattr(version_matrix, "test", lambda *words: ["0.12.0"] * 5)
    result = version_matrix.result("3.12", Path("python"), "highest", [], log)
    assert (result.passed, result.failed, result.skipped) == counts
    row = version_matrix.table([result]).splitlines()[-1]
    assert row.startswith("| 3.12 | highest | 0.12.0 |")


def test_what_cannot_be_run_is_told(capsys):
    assert version_matrix.main(["3.2:highest"]) == 2
    assert "expected PYTHON:RESOLUTION" in capsys.readouterr().err
