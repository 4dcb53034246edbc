"""What is typed is what is meant, also where a flag may be left out."""

from pathlib import Path

import evaluate
import look_inside
import memory
import pytest
import sample

from charlm.parse import parse
from common.flags import read as read_flags

RUN = ["--workdir", "run"]


@pytest.mark.parametrize(
    ("read", "flag", "field", "value"),
    [
        (parse, "--workdir", "workdir", Path("None")),
        (parse, "--coordinator", "coordinator", "None"),
        (parse, "--corpus", "corpus", ("None",)),
        (evaluate.Config, "--corpus", "corpus", ("None",)),
        (evaluate.Config, "--statistics", "statistics", ("None",)),
        (evaluate.Config, "--page", "page", Path("None")),
        (look_inside.Config, "--corpus", "corpus", ("None",)),
        (look_inside.Config, "--page", "page", Path("None")),
        (memory.Config, "--out", "out", Path("None")),
        (sample.Config, "--prompt", "prompt", "None"),
        (sample.Config, "--prompt-file", "prompt_file", "None"),
    ],
)
def test_none_is_a_name_like_any_other(read, flag, field, value):
    words = [flag, "None"]
    if read is parse:
        words += ["--distributed"]
        assert getattr(parse(words), field) == value
        return
    words += RUN if read is not memory.Config else []
    assert getattr(read_flags(read, words), field) == value


def test_what_is_not_given_is_none():
    config = read_flags(evaluate.Config, RUN)
    assert (config.corpus, config.statistics, config.page) == (None, None, None)
    assert (parse([]).workdir, parse([]).coordinator) == (None, None)


def test_help_offers_no_word_none(capsys):
    with pytest.raises(SystemExit):
        read_flags(sample.Config, ["--help"])
    assert "None" not in capsys.readouterr().out
