"""quality.py: each run's line is kept, and none is made twice."""

import json

import pytest
import quality
from studies import tables
from studies.variants import Study, Variant

from charlm import parse as char_flags

TEXT = "the quick brown fox jumps over the lazy dog. (what a day!)\n" * 60
SMALL = "--hidden 8 --batch-size 8 --seq-len 8 --minutes 1 --eval-every 5"


@pytest.mark.thorough
def test_a_study_goes_on_where_it_stopped(tmp_path, capsys, monkeypatch):
    (tmp_path / "text").write_text(TEXT)
    variants = (Variant("A", SMALL),)
    study = Study("cpu-3min", (3,), variants, flags="--steps 12")
    monkeypatch.setitem(quality.STUDIES, "cpu-3min", study)
    where = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "lines")]
    command = ["cpu-3min", "--corpus", str(tmp_path / "text"), *where]
    assert quality.main(command) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["variant"], line["seed"]) == ("A", 3)
    assert line["trained"]["steps"] == 12
    assert line["wall_seconds"] >= line["trained"]["seconds"]
    cold = line["evaluated"]["best cold-256"]
    assert cold["nats_per_char"] == line["trained"]["val_nats_per_char"]
    assert cold["protocol"] == "cold-256"
    assert line["versions"]["jaxtext"]
    assert str(tmp_path) not in json.dumps(line["evaluated"])

    asked = []

    def run(study, variant, seed, config):
        asked.append((variant.name, seed, config.corpus))
        return line | {"trained": line["trained"] | {"corpus": "other"}}

    monkeypatch.setattr(quality, "run", run)
    assert quality.main(command) == 0
    assert (asked, capsys.readouterr().out) == ([], "")
    command[2] = str(tmp_path / "other")
    for _ in range(2):
        assert quality.main(command) == 0
    assert asked == [("A", 3, str(tmp_path / "other"))]
    assert json.loads(capsys.readouterr().out)["trained"]["corpus"] == "other"

    (tmp_path / "lines" / "memory.jsonl").write_text('{"no": "study"}\n')
    assert quality.main(["tables", *where]) == 0
    table = capsys.readouterr().out
    assert f"| A | 1 | {line['trained']['parameters']:,} |" in table
    assert f"{cold['nats_per_char']:.4f}" in table


def test_tables_have_means_and_deviations():
    def line(seed, nats, minutes=3):
        said = {"nats_per_char": nats, "dynamic_nats_per_char": nats - 0.1}
        evaluated = {
            f"{checkpoint} {protocol}": said
            for checkpoint in ("best", "last")
            for protocol in ("cold-256", "carried")
        }
        trained = {
            "corpus": "C",
            "parameters": 1234,
            "epochs": 2.5,
            "train_nats_per_char": 1.25,
            "chars_per_second": 20_000 + 1000 * seed,
            "minutes": minutes,
        }
        return {
            "variant": "B",
            "seed": seed,
            "wall_seconds": 180.4,
            "trained": trained,
            "evaluated": evaluated,
        }

    table = tables.table([line(0, 1.4), line(1, 1.6)])
    row = table.splitlines()[-1]
    assert row.startswith("| B | 2 | 1,234 | 2.5 ± 0.0 | 1.5000 ± 0.1414 |")
    assert "| 1.4000 ± 0.1414 | 1.250 ± 0.000 | 180 ± 0 | 20,500 ± 707 |" in row
    row = tables.table([line(0, 1.4, None)]).splitlines()[-1]
    assert row.endswith("| 1.250 | – | – |")
    other = line(0, 1.3)
    other["variant"] = "C"
    columns = tables.table([line(0, 1.4), other], ("seeds", "difference"))
    assert columns.splitlines()[-2:] == ["| B | 1 | +0.000 |", "| C | 1 | -0.100 |"]
    other["trained"]["corpus"] = "D"
    assert "| D | C | 1 |" in tables.table([line(0, 1.4), other])


def test_every_variant_is_a_configuration():
    for study in quality.STUDIES.values():
        names = [variant.name for variant in study.variants]
        assert len(set(names)) == len(names)
        for variant in study.variants:
            flags = f"{study.flags} {variant.flags}".split()
            char_flags.parse(["--preset", study.preset, *flags])
