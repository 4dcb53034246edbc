"""ingredients.py: each variant's own step is timed, beside the base's."""

import json
import subprocess
import sys

import ingredients
import pytest
from studies.variants import Study, Variant

SMALL = "--batch-size 8 --hidden"


@pytest.mark.thorough
def test_variants_are_timed_beside_the_base(tmp_path, capsys, monkeypatch):
    variants = (
        Variant("base", f"{SMALL} 8 --seq-len 8"),
        Variant("left out", f"{SMALL} 9 --seq-len 8"),
        Variant("wide, two lengths", f"{SMALL} 16 --seq-len 12 4"),
    )
    study = Study("cpu-3min", (0,), variants, flags="--steps 9")
    monkeypatch.setattr(ingredients, "STUDY", study)
    (tmp_path / "text").write_text("(a brown fox) [and {a lazy} dog]\n" * 100)
    command = ["--corpus", str(tmp_path / "text"), "--seconds", "0.1"]
    command += ["--variants", "wide, two lengths"]
    out = tmp_path / "out.json"
    assert ingredients.main([*command, "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(out.read_text())
    first, wide = said["rows"]
    assert [row["variant"] for row in said["rows"]] == [
        variants[k].name for k in (0, 2)
    ]
    assert first["parameters"] < wide["parameters"] / 2
    for row in said["rows"]:
        read = row["chars_per_second"] * row["median_ms"] / 1e3
        assert read == pytest.approx(ingredients.STEPS * 8 * 8)  # 8 is the mean length

    assert ingredients.main([*command, "wider"]) == 2
    assert "--variants: expected of ['base', 'left out'" in capsys.readouterr().err


def test_it_is_found_from_where_one_is(tmp_path):
    command = [sys.executable, ingredients.__file__, "--variants", "none of them"]
    (tmp_path / "text").write_text("a brown fox " * 9)
    command += ["--corpus", str(tmp_path / "text")]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    assert "--variants: expected of" in run.stderr
