"""remat.py: what it prints is what it measured."""

import json

import pytest
import remat


@pytest.mark.thorough
def test_less_memory_the_more_is_computed_again(capsys):
    small = "--hidden 16 --batch-size 2 --seq-len 512 --every 16 --seconds 0.01"
    assert remat.main(small.split()) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    memory = {row["way"]: row["memory_of_plain"] for row in result["rows"]}
    assert memory["scan, all kept"] == 1
    ways = "auto, all kept", "auto, gates again", "auto, every 16"
    assert 1 > memory[ways[0]] > memory[ways[1]] > memory[ways[2]]
    assert result["seq_len"] == 512
