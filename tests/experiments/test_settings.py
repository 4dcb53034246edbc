"""A result has all that was set otherwise than the preset has it."""

import json

import char_gen
import pytest

from charlm.parse import parse
from charlm.settings import settings, usual

SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--sample-every", "0"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--preset", "shakespeare", "--learning-rate", "0.004", "--seed", "3"],
        ["--preset", "tutorial", "--cell", "gru", "--minutes", "2"],
        ["--seq-len", "8", "16", "--layers", "2", "--residual", "--log-every", "7"],
    ],
)
def test_preset_and_settings_make_the_configuration_again(words):
    config = parse(words)
    found = json.loads(json.dumps(settings(config)))
    assert (found["seed"], found["learning_rate"]) == (
        config.seed,
        config.learning_rate,
    )
    again = usual(found["preset"]) | {"preset": found["preset"]} | found["config"]
    for name, value in again.items():
        expected = getattr(config, name)
        assert value == (list(expected) if isinstance(value, list) else expected), name


def test_a_result_has_them_and_so_has_one_that_is_read_again(tmp_path, capsys):
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 20)
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run"), *SMALL]
    of += ["--seed", "5", "--learning-rate", "0.01", "--steps", "3"]
    kept = tmp_path / "run" / "result.json"
    assert char_gen.main(of) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads(kept.read_text())
    assert (result["preset"], result["seed"], result["learning_rate"]) == (
        *("modern", 5, 0.01),
    )
    names = "batch_size corpus hidden learning_rate sample_every seed seq_len steps"
    assert sorted(result["config"]) == sorted(names.split())
    older = {k: x for k, x in result.items() if k not in ("preset", "seed", "config")}
    kept.write_text(json.dumps(older))
    assert char_gen.main(of) == 0
    assert json.loads(capsys.readouterr().out) == result
