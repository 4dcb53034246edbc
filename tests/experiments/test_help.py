"""What ``--help`` says of each script: examples, the common flags first, in groups."""

import dataclasses
import inspect
import re

import char_gen
import compare_cells
import compile_tpu
import compress
import evaluate
import export
import gradient_reach
import look_inside
import memory
import pytest
import runs
import sample
import talk

from charlm.config import Config
from common import flags
from common.help import documentation

SCRIPTS = {
    module.__name__: (module, kind)
    for module, kind in [
        (char_gen, Config),
        *(
            (module, module.Config)
            for module in (
                *(sample, talk, evaluate, compress, export, look_inside),
                compile_tpu,
                *(compare_cells, gradient_reach, memory, runs),
            )
        ),
    ]
}
GROUPS = [
    *("common flags", "text", "model", "training", "regularisation", "saving"),
    "writing: samples and metrics",
    *("what a command does besides training", "compiled programs", "several hosts"),
]
SCREEN = 24


def told(name, capsys, monkeypatch, columns=80):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as ended:
        SCRIPTS[name][0].main(["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_flag_is_told_once_and_what_it_is_for(name, capsys, monkeypatch):
    said = told(name, capsys, monkeypatch, columns=100)
    _, kind = SCRIPTS[name]
    listed = re.findall(r"^  (--[\w-]+)", said, re.MULTILINE)
    fields = [field.name for field in dataclasses.fields(kind)]
    assert sorted(listed) == sorted(map(flags.flag, fields))
    joined = " ".join(re.sub(r"(?<=\w)-\n +", "-", said).split())
    for field in fields:
        assert documentation(kind)[field] in joined


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_come_first_and_can_be_typed(name, capsys, monkeypatch):
    said = told(name, capsys, monkeypatch)
    begin = said.index(f"    python experiments/{name}.py")
    assert begin < said.index("\n  --")
    examples = re.findall(rf"^    python experiments/{name}\.py", said, re.MULTILINE)
    assert len(examples) == 3
    # Whoever reads on finds the exit statuses.
    assert "Exit status" in " ".join(said[said.rindex("\n  --") :].split())


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_common_part_fits_on_two_screens(name, capsys, monkeypatch):
    said = told(name, capsys, monkeypatch)
    # A group is a title and flags below it.
    before, common, *_ = re.split(r"^(?=\S.*:\n  -)", said, flags=re.MULTILINE)
    common = common[: common.rindex("\n  --")]
    assert len((before + common).splitlines()) <= 2 * SCREEN


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("name", SCRIPTS)
def test_help_fits_into_the_terminal(name, columns, capsys, monkeypatch):
    said = told(name, capsys, monkeypatch, columns)
    wide = [x for x in said.splitlines() if len(x) > min(columns, 100)]
    # Commands to copy, and flags that cannot be broken.
    assert all(x.startswith(("    python experiments/", "  --")) for x in wide)


def test_rows_of_a_table_stay_apart(capsys, monkeypatch):
    said = told("char_gen", capsys, monkeypatch, columns=40)
    rows = said[said.index("Exit status:\n") :].splitlines()[1:]
    statuses = [row.split()[0] for row in rows if row[2] != " "]
    assert statuses == ["0", "2", "3", "75", "128"]
    assert all(row[:11].isspace() for row in rows if row[2] == " ")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_whole_words_alone_ask_for_help(word, capsys):
    with pytest.raises(SystemExit) as ended:
        flags.typed(Config, ["--cell", "gru", word])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


def test_flags_are_in_groups(capsys, monkeypatch):
    said = told("char_gen", capsys, monkeypatch)
    found = re.findall(r"^(\S.*):$", said[: said.index("Give the same command")], re.M)
    assert found == GROUPS
    common = said[said.index("common flags:") : said.index("\ntext:")]
    for flag in ("preset", "corpus", "cell", "hidden", "minutes", "steps", "workdir"):
        assert f"\n  --{flag}" in common
    assert "\n  --coordinator" in said[said.index("\nseveral hosts:") :]


def test_no_string_below_a_field_is_lost():
    for _, kind in SCRIPTS.values():
        assert documentation(kind).keys() == {x.name for x in dataclasses.fields(kind)}
        assert all(inspect.cleandoc(x) == x for x in documentation(kind).values())
