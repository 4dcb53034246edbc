"""--print-config: the command that is printed means the same configuration."""

import dataclasses
import shlex

import char_gen
import pytest

from charlm.config import Config
from charlm.parse import parse
from charlm.spelling import whole_command
from presets import PRESETS

COMMANDS = [
    *([f"--preset={name}"] for name in PRESETS),
    ["--corpus", "a b", "-", "it's", "--minutes", "2.5"],
    ["--val-corpus", "other.txt", "--seq-len", "150", "75"],
    ["--layers", "3", "--residual", "--zoneout", "0.1", "--remat", "gates"],
    ["--optimizer", "rmsprop", "--steps", "7", "--minutes", "1", "--dropout", "0"],
    ["--workdir", "runs/mine", "--profile", "5:2", "--compilation-cache", ""],
    ["--distributed", "--coordinator", "host:1", "--num-processes", "2"],
    ["--preset", "shakespeare", "--no-variational", "--val-fraction", "0"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_command_gives_the_same_configuration(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert char_gen.main([*words, "--print-config"]) == 0
    captured = capsys.readouterr()
    assert "note: " not in captured.err
    _, script, *again = shlex.split(captured.out.replace("\\\n", ""))
    assert script.endswith("char_gen.py")
    found, expected = parse(again), parse([*words, "--print-config"])
    assert found == dataclasses.replace(expected, print_config=False)
    assert list(tmp_path.iterdir()) == []


def test_every_flag_is_there_but_those_without_effect():
    rows = dataclasses.replace(Config(), layers=2, documents="jsonl", field="text")
    of_bytes = dataclasses.replace(Config(), vocab="bytes")
    said = f"{whole_command(rows)} {whole_command(of_bytes)}"
    without = {"workdir", "profile", "compilation_cache", "print_config", "dry_run"}
    without |= {"coordinator", "num_processes", "process_id"}
    without |= {"heartbeat_seconds", "meet_seconds", "init_from"}
    for field in dataclasses.fields(Config):
        flag = f"-{field.name.replace('_', '-')} "
        assert (flag in f"{said} ") != (field.name in without), flag


def test_bad_flags_are_refused_as_ever(capsys):
    assert char_gen.main(["--print-config", "--hidden", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: --hidden: expected")
