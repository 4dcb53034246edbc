"""jobs.py: what came of a script, whatever became of it."""

import pytest
from measuring import jobs

SCRIPTS = {
    "good": "print('a word'); print('{\"x\": 1}')",
    "bad": "import sys; print('why', file=sys.stderr); sys.exit(3)",
    "silent": "",
    "a number": "print(3)",
    "no JSON": "print('{\"x\": ')",
    "no UTF-8": "import sys; sys.stdout.buffer.write(b'\\xff\\n{}')",
    "hanging": "import sys, time; print('on', file=sys.stderr, flush=True)\n"
    "time.sleep(60)",
}


@pytest.mark.thorough
def test_outcomes_side_by_side(tmp_path):
    commands = {}
    for name, text in SCRIPTS.items():
        (tmp_path / f"{name}.py").write_text(text)
        commands[name] = [tmp_path / f"{name}.py", "--flag", 1]
    log = tmp_path / "logs" / "all.log"
    found = dict(jobs.side_by_side(commands, 3, seconds=5, log=log))
    assert found["good"][:3] == ({"x": 1}, 0, "")
    assert found["bad"][:3] == (None, 3, "status 3: why")
    assert found["hanging"][:3] == (None, None, "killed after 5 s: on")
    assert 5 <= found["hanging"].seconds < 30
    assert found["no UTF-8"][:3] == ({}, 0, "")
    for name, last in ("silent", ""), ("a number", "3"), ("no JSON", '{"x":'):
        reason = f"status 0, but its last line is no JSON object: {last!r}"
        assert found[name][:3] == (None, 0, reason)
    assert log.read_text().count("--flag 1\n") == len(SCRIPTS)
