"""The table of how a run can end: what each row says, and that the guide has it."""

import re
from pathlib import Path

import pytest

from jaxtext.runs.endings import Ending, versions

GUIDE = Path(__file__).parents[2] / "docs" / "distributed.md"
FIELDS = {
    "error": "ERROR",
    "who": "WHO",
    "its_status": "STATUS",
    "number": "N",
    "name": "SIGNAL",
    "versions": "VERSIONS",
}


def row(ending):
    """A row of the guide's table."""
    status = "128 + n" if ending.status is None else ending.status
    said = re.sub("`([a-z_]+)`", lambda x: f"--{x[1]}".replace("_", "-"), ending.text)
    said = f"`{said.format(**FIELDS)}`" if said else ""
    return f"| {status} | {ending.cause} | {said} | {ending.others} |"


def test_the_guide_has_the_table():
    found = re.findall(r"^\| (?:\d|128).*\|$", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert found == [row(ending) for ending in Ending]


@pytest.mark.parametrize("ending", Ending)
def test_each_has_one_line_and_a_status(ending):
    words = ending.words(**FIELDS)
    assert "\n" not in words
    assert "{" not in words
    assert ending.status_of(15) == (
        128 + 15 if ending.status is None else ending.status
    )


def test_a_lost_partner_is_always_75():
    assert {Ending[x].status for x in ("LOST", "LEFT", "NOT_MET")} == {75}


def test_versions_are_those_that_a_report_needs():
    found = dict(x.split() for x in versions().split(", "))
    assert {"jaxtext", "jax", "jaxlib", "Python"} <= found.keys()
