"""resume.py: a run that is killed has to end like the one that was not."""

import json

import pytest
import resume

# Takes steps, saves every tenth, and goes on from what is there.
SCRIPT = """
import json, os, sys, time
from pathlib import Path
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
saved = Path(words["--workdir"], "checkpoints", "latest")
saved.mkdir(parents=True, exist_ok=True)
start = max((int(p.name) for p in saved.iterdir()), default=0)
for step in range(start, int(words["--steps"])):
    time.sleep(0.01)
    if (step + 1) % 10 == 0:
        (saved / str(step + 1)).mkdir()
cache = Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).name
forgets = {forgets} and start > 0
print(json.dumps({{
    "parameters_sha256": f"{{forgets}}{{cache == 'another cache'}}",
    "train_nats_per_char": 1.0, "val_nats_per_char": 2.0,
    "resumed_from_step": start,
}}))
"""


@pytest.mark.parametrize("forgets", [False, True])
def test_the_bits_are_compared(forgets, tmp_path, monkeypatch, capsys):
    path = tmp_path / "char_gen.py"
    path.write_text(SCRIPT.format(forgets=forgets))
    monkeypatch.setattr(resume, "CHAR_GEN", path)
    status = resume.main(["--steps", "60", "--save-steps", "10"])
    assert status == (1 if forgets else 0)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["same_bits"] is not forgets
    assert result["same_bits_compiled_anew"] is False
    assert 20 <= result["killed_after_step"] == result["resumed_from_step"] < 60


def test_a_run_that_fails_is_told(tmp_path, monkeypatch):
    path = tmp_path / "char_gen.py"
    path.write_text("import sys; sys.exit('no text')")
    monkeypatch.setattr(resume, "CHAR_GEN", path)
    with pytest.raises(RuntimeError, match=r"left alone: status 1: .*no text"):
        resume.main([])
