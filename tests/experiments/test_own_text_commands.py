"""The commands of README.md for texts of one's own train and write."""

import json
import re
import shlex
from pathlib import Path

import char_gen
import pytest
import sample

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SECTION = README.split("## Your own text")[1].split("\n## ")[0]
# A comment that says what the text is, then the command that trains and that writes.
COMMANDS = re.findall(r"^# (.+)\npython (.+)\npython (.+)$", SECTION, re.M)
SMALL = ["--steps", "3", "--hidden", "8", "--batch-size", "8", "--seq-len", "8"]

LINE = "the quick brown fox jumps over the lazy dog, number {}. Once (def 'a')"


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """A directory to stand in, with what the commands read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXTEXT_CACHE", str(tmp_path / "cache"))
    lines = [LINE.format(number) for number in range(60)]
    for folder in ("poems", "src/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "book.txt").write_text("\n".join(lines))
    names = {line[4 + n % 7 : 12 + n % 5] for n, line in enumerate(lines)} | {"anna"}
    (tmp_path / "names.txt").write_text("\n".join([*sorted(names), *lines[:20]]))
    for number, line in enumerate(lines[:20]):
        (tmp_path / f"poems/{number}.txt").write_text(f"{line}\n{line}\n")
    rows = [json.dumps({"who": "me", "text": line}) for line in lines]
    (tmp_path / "chat.jsonl").write_text("\n".join(rows))
    (tmp_path / "src/one.py").write_text("\n".join(lines))
    (tmp_path / "src/deep/two.py").write_text("\n".join(lines[:30]))
    (tmp_path / "src/test_three.py").write_text("left out")
    return tmp_path


def test_each_text_of_the_section_is_tried():
    assert [what.split(",")[0] for what, _, _ in COMMANDS] == [
        *("a book", "names", "poems", "a chat", "code"),
    ]


@pytest.mark.parametrize(
    ("train", "write"), [x[1:] for x in COMMANDS], ids=[x[0] for x in COMMANDS]
)
def test_two_commands_train_and_write(texts, train, write, capfdbinary):
    script, *flags = shlex.split(train)
    assert script == "experiments/char_gen.py"
    status = char_gen.main([*flags, *SMALL, "--sample-every", "0"])
    out, err = capfdbinary.readouterr()
    assert status == 0, err.decode()
    result = json.loads(out)
    script, *flags = shlex.split(write)
    assert script == "experiments/sample.py"
    status = sample.main([*flags, "--length", "20"])
    out, err = capfdbinary.readouterr()
    assert status == 0, err.decode()
    assert out
    # What writes documents has learnt documents.
    assert "documents" in result or "--documents" not in flags
