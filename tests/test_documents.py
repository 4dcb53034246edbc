"""What the documents tell to type is understood; what they quote is in the code."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from charlm import parse as char_flags
from common.flags import read

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "RESULTS.md",
    "docs/tutorial.md",
    "docs/design.md",
    "docs/contract.md",
)
TUTORIAL = (ROOT / "docs/tutorial.md").read_text("utf-8")


def _commands():
    for name in DOCUMENTS:
        text = (ROOT / name).read_text("utf-8").replace("\\\n", " ")
        for line in re.findall(r"python experiments/.*", text):
            yield shlex.split(line.split("`")[0], comments=True)[1:]


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_commands_have_the_flags_that_they_use(words):
    script, flags = Path(words[0]), [{"$t": "1", "T": "1"}.get(x, x) for x in words[1:]]
    assert (ROOT / script).exists()
    if flags == ["--help"]:
        return
    if script.name == "char_gen.py":
        char_flags.parse(flags)
    else:
        read(importlib.import_module(script.stem).Config, flags)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_code_that_is_quoted_is_that_of_the_cell(cell):
    path = f"jaxtext/cells/{cell}.py"
    section = TUTORIAL.split(f"(../{path})")[1].split("\n## ")[0]
    quoted = re.findall(r"^\|.*\| `(.+)` \|$", section, re.MULTILINE)
    code = (ROOT / path).read_text("utf-8")
    assert quoted
    assert [line for line in quoted if line not in code] == []


def test_the_program_says_what_it_is_told_to_say():
    pattern = r"<<'END'\n(.*?)END\n```\n\n```text\n(.*?)```"
    ((program, said),) = re.findall(pattern, TUTORIAL, re.DOTALL)
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, said), run.stderr


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_linked_is_there(name):
    links = re.findall(r"\]\((?!https?:)(.+?)\)", (ROOT / name).read_text("utf-8"))
    assert [x for x in links if not (ROOT / name).parent.joinpath(x).exists()] == []


def test_every_sentence_of_the_contract_has_its_test():
    text = (ROOT / "docs/contract.md").read_text("utf-8")
    promises = re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)
    assert len(promises) > 40
    for promise in promises:
        held_by = re.findall(r"`([\w/]+\.py)::(\w+)`", promise)
        assert held_by, f"no test holds: {promise}"
        for file, name in held_by:
            code = (ROOT / "tests" / file).read_text("utf-8")
            if file == "test_contracts.py":  # whose clauses are in a file of their own
                code += (ROOT / "tests/contracts.py").read_text("utf-8")
            assert f"def {name}(" in code, f"tests/{file} has no {name}"
