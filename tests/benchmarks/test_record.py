"""record.py: files of results are there whole or not at all."""

import json

import pytest
from measuring import record


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results" / "here.json"
    record.write({"x": 1}, path)
    with pytest.raises(ValueError, match="JSON"):
        record.write({"x": float("nan")}, path)
    before = path.stat().st_ino
    record.write({"x": 2}, path)
    assert json.loads(path.read_text()) == {"x": 2}
    assert path.stat().st_ino != before  # another file, which took the name
    assert [file.name for file in path.parent.iterdir()] == ["here.json"]


def test_what_is_no_file_is_written_to(tmp_path):
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    record.write({"x": 1}, null)
    assert null.is_symlink()
