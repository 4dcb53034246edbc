"""command.py: from flags to the exit status."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from measuring.command import chosen, command

from jaxtext.errors import InputError


@dataclass(frozen=True)
class Config:
    """Measure nothing."""

    size: int = 3
    """A size."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config):
    if config.size < 0:
        raise InputError("--size: expected 0 or more")
    return {"rows": [], **chosen(config, "size")}


@pytest.mark.parametrize(("size", "status"), [(3, 0), (4, 1)])
def test_the_result_is_printed_kept_and_judged(size, status, tmp_path, capsys):
    main = command(
        Config,
        measure,
        table=lambda result: f"| {result['size']} |",
        failed=lambda result: result["size"] > 3,
    )
    out = tmp_path / "results" / "here.json"
    assert main(["--size", str(size), "--out", str(out)]) == status
    said = capsys.readouterr()
    expected = {"rows": [], "size": size}
    assert json.loads(said.out) == json.loads(out.read_text()) == expected
    assert said.err == f"| {size} |\n"


def test_without_a_judge_nothing_fails(capsys):
    main = command(Config, measure)
    assert main([]) == 0
    assert main(["--size", "-1"]) == 2
    assert "error: --size: expected 0 or more" in capsys.readouterr().err
