"""ingredients.py: each variant's own step is timed, beside the preset's."""

import json

import ingredients
import pytest
import quality


def test_variants_are_timed_beside_the_preset_as_it_is(tmp_path, capsys, monkeypatch):
    small = "--hidden 8 --batch-size 8 --seq-len 8"
    variants = (
        quality.Variant("as it is", small),
        quality.Variant("wide", "--hidden 16 --batch-size 8 --seq-len 8"),
        quality.Variant("three lengths", "--hidden 8 --batch-size 8 --seq-len 12 8 4"),
    )
    study = quality.Study("cpu-3min", (0,), variants, flags="--steps 9")
    monkeypatch.setattr(ingredients, "STUDY", study)
    (tmp_path / "text").write_text("(a brown fox) [and {a lazy} dog]\n" * 100)
    command = ["--corpus", str(tmp_path / "text"), "--seconds", "0.1"]
    out = tmp_path / "out.json"
    assert ingredients.main([*command, "--variants", "wide", "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(out.read_text())
    first, wide = said["rows"]
    assert (first["variant"], wide["variant"]) == ("as it is", "wide")
    assert first["relative_time"] == 1
    assert first["parameters"] < wide["parameters"] / 2
    ratio = wide["relative_time"] * wide["chars_per_second"] / first["chars_per_second"]
    assert ratio == pytest.approx(1)

    assert ingredients.main([*command, "--variants", "wider"]) == 2
    assert "--variants: expected of ['as it is', 'wide'" in capsys.readouterr().err
