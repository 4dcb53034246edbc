"""saving.py: a row for each thing that is timed and each place, and nothing is left."""

import json

import pytest
import saving


@pytest.mark.thorough
def test_it_prints_a_row_for_each_place_and_leaves_nothing(store, folder, capsys):
    small = "--hidden 8 --steps 2 --large-hidden 16 --rounds 1 --places"
    assert saving.main([*small.split(), store.url(folder)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    places = {(row["what"], row["place"]) for row in result["rows"]}
    assert places == {
        ("training", saving.NONE),
        *(
            (x, y)
            for x in ("training", "save", "restore")
            for y in ("disk", store.scheme)
        ),
    }
    assert result["rows"][0]["cost_ms"] == 0
    assert store.names(folder) == []
