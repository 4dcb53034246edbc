"""What the documents tell to type is understood; what they quote is in the code."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

import jaxtext
from charlm import parse as char_flags
from common.flags import read

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in path.parts
]
TUTORIAL = (ROOT / "docs/tutorial.md").read_text("utf-8")


def _commands():
    for name in DOCUMENTS:
        text = (ROOT / name).read_text("utf-8").replace("\\\n", " ")
        for line in re.findall(r"python experiments/.*", text):
            line = line.split("`")[0].removesuffix(" &")
            if line.count("'") % 2:  # the end of a command for another machine
                line = line.removesuffix("'")
            yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_commands_have_the_flags_that_they_use(words):
    values = dict.fromkeys(("$t", "$i", "T"), "1")
    script, flags = Path(words[0]), [values.get(x, x) for x in words[1:]]
    flags = [flag.removeprefix("gs://") for flag in flags]  # which would be asked for
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


# What makes a reader stop, and what to write. The list is short on purpose: each entry
# was once in these pages. (proselint asks mostly for curly quotes; vale's package on
# PyPI downloads the program from elsewhere.)
PLAIN = {
    r"\bwhoever\b": "anyone who, or the name of the role",
    r"\bwho need not\b": "callers do not need to",
    r"\bwhat (came|becomes) of\b": "the result",
    r"\bwhat there is to\b": "the noun",
    r"\bnothing is (said|told)\b": "no message",
    r"\b(is|are|be) told\b": "reports, or says",
    r"\btells? apart\b|\btold apart\b": "separates, or distinguishes",
    r"\b(go|goes|going|went) on\b": "continue",
    r"\blest\b": "so that … not",
    r"\bthere(of|in|by)\b": "of it",
    r"\bby way of\b": "through",
    r"\bfor ever\b": "forever, or indefinitely",
    r"\bin order to\b": "to",
    r"\butili[sz]e": "use",
}
MOST_WORDS = 42  # of a sentence


def _sentences(text):
    """The sentences of a page, without code, tables and addresses."""
    text = re.sub(r"^```.*?^```\n", "\n\n", text, flags=re.M | re.S)
    text = re.sub(r"^(\||#|>).*\n", "\n\n", text, flags=re.M)
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    for paragraph in re.split(r"\n\s*\n|\n *(?:[-*]|\d+\.) ", text):
        yield from re.split(r"(?<=[.!?:;)]) ", " ".join(paragraph.split()))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_sentences_are_short_and_plain(name):
    found = []
    for sentence in _sentences((ROOT / name).read_text("utf-8")):
        if (words := len(sentence.split())) > MOST_WORDS:
            found.append(f"{words} words: {sentence}")
        for pattern, better in PLAIN.items():
            if match := re.search(pattern, sentence, re.IGNORECASE):
                found.append(f"{match[0]!r}, better {better}: {sentence}")
    assert found == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_are_there(name):
    text = (ROOT / name).read_text("utf-8")
    for path in re.findall(r"`([\w./-]+\.(?:py|pyi|sh))`", text):
        places = [ROOT / path, ROOT / "jaxtext" / path, ROOT / "tests" / path]
        inside = (ROOT / "jaxtext").rglob(path) if "/" not in path else ()
        scripts = ROOT / "experiments" / path
        assert any(p.exists() for p in (*places, *inside, scripts)), path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_linked_is_there(name):
    text = (ROOT / name).read_text("utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text)
    assert [x for x in links if not (ROOT / name).parent.joinpath(x).exists()] == []


def test_the_version_is_said_once():
    cited = re.findall(r"^version: (.*)", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited == [jaxtext.__version__]


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
