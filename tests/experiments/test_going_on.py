"""A run goes on elsewhere: on other devices, in another place, by another name."""

import json
import os
import re
import shlex
import shutil
import subprocess

import char_gen
import evaluate
import jax
import look_inside
import pytest
import sample

from charlm import config
from charlm.parse import parse
from common import names

SENTENCE = "the quick brown fox jumps over the lazy dog. "
# The schedule does not depend on how many steps there will be.
SMALL = ["--hidden", 8, "--sample-every", 0, "--schedule=constant", "--warmup-steps=0"]
LONG = [*SMALL, "--batch-size", 8, "--seq-len", 8]


@pytest.fixture
def devices(monkeypatch):
    """``devices(n)``: this machine has so many."""
    there = jax.local_devices()

    def only(count):
        for name in ("devices", "local_devices"):
            monkeypatch.setattr(jax, name, lambda *_, **__: there[:count])
        for name in ("device_count", "local_device_count"):
            monkeypatch.setattr(jax, name, lambda: count)

    return only


@pytest.fixture
def call(capfdbinary):
    """Runs a script: exit status, standard output, standard error."""

    def call(script, *args):
        status = script.main([str(a) for a in args])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return call


@pytest.fixture
def gen(call):
    """Runs char_gen.py, which ends well: its result, and standard error."""

    def gen(*args):
        status, out, err = call(char_gen, *args)
        assert status == 0, err
        return json.loads(out), err

    return gen


def text(path, length=2000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((SENTENCE * (1 + length // len(SENTENCE)))[:length])
    return path


@pytest.mark.everyday(before=(1,), after=(8,))
@pytest.mark.parametrize(
    ("length", "before", "after", "used", "batch"),
    [
        (260, 1, 2, 2, (4, 32)),
        (260, 2, 1, 1, (4, 32)),
        (260, 1, 8, 4, (4, 32)),
        (150, 8, 3, 2, (8, 16)),
    ],
)
def test_a_short_text_has_one_batch_on_any_devices(
    length, before, after, used, batch, tmp_path, devices, gen
):
    """The batch asked for is of 16 streams of 32."""
    corpus = text(tmp_path / "fox.txt", length)
    command = ["--corpus", corpus, *SMALL, "--val-corpus", corpus, "--workdir"]
    devices(before)
    whole, said = gen(*command, tmp_path / "whole", "--steps", 6)
    assert f"using {batch[0]} of {batch[1]}" in said
    gen(*command, tmp_path / "parts", "--steps", 3)
    devices(after)
    parts, said = gen(*command, tmp_path / "parts", "--steps", 6)
    assert (parts["resumed_from_step"], parts["devices"]) == (3, used)
    assert parts["epochs"] == whole["epochs"]
    told = f"divides between {used} of the {after} devices"
    assert (told in said) == (used < after)
    near = pytest.approx(whole["val_nats_per_char"], rel=1e-4)
    assert parts["val_nats_per_char"] == near


def test_a_new_run_wants_all_devices_and_one_that_goes_on_keeps_its_batch(
    tmp_path, devices, call, gen
):
    command = ["--corpus", text(tmp_path / "fox.txt"), *LONG, "--steps"]
    devices(3)
    status, _, said = call(char_gen, *command, 2, "--workdir", tmp_path / "new")
    assert (status, "multiple of 3" in said) == (2, True)
    assert not (tmp_path / "new").exists()
    devices(4)
    run = ["--workdir", tmp_path / "run"]
    gen(*command, 2, *run)
    devices(3)
    # Also where the checkpoints alone know what the run is.
    (tmp_path / "run" / "config.json").unlink()
    assert gen(*command, 4, *run)[0]["devices"] == 2


def test_a_text_that_changed_is_told_before_its_batch(tmp_path, call, gen):
    corpus = text(tmp_path / "fox.txt", 600)
    command = ["--corpus", corpus, *SMALL, "--workdir", tmp_path / "run", "--steps", 2]
    gen(*command)
    text(corpus, 200)
    status, _, said = call(char_gen, *command)
    assert status == 2
    assert "the text is not the one that the run in" in said


def snapshot(folder):
    """All that lies there; a directory's time tells of what came and went, too."""
    stats = {path: path.stat() for path in (folder, *folder.rglob("*"))}
    return {path: (s.st_mtime_ns, s.st_size, s.st_mode) for path, s in stats.items()}


def test_a_run_that_was_moved_or_copied_goes_on_there(tmp_path, call, gen):
    corpus, before, after = (
        text(tmp_path / "a" / "fox.txt"),
        *map(tmp_path.joinpath, ("before", "after")),
    )
    command = [*LONG, "--steps"]
    gen("--corpus", corpus, *command, 2, "--workdir", before)
    whole, _ = gen("--corpus", corpus, *command, 4, "--workdir", tmp_path / "whole")
    shutil.copytree(before, after)
    shutil.rmtree(before)
    moved = tmp_path / "b" / "reynard.txt"
    moved.parent.mkdir()
    corpus.rename(moved)
    again = ["--corpus", moved, *command]
    result, said = gen(*again, 2, "--workdir", after)
    assert "this run is finished" in said
    kept = json.loads((after / "result.json").read_text())
    assert result == kept
    assert kept["workdir"] == str(after)
    result, said = gen(*again, 4, "--workdir", after)
    assert f"going on from step 2 in {after}, with the same text, called fox" in said
    assert result["parameters_sha256"] == whole["parameters_sha256"]
    for path in after.rglob("*.json*"):
        assert str(before) not in path.read_text(), path
    of = ["--workdir", after]
    for script, args in (
        (sample, ["--length", 3]),
        (evaluate, ["--corpus", moved]),
        (look_inside, ["--corpus", moved]),
    ):
        assert call(script, *of, *args)[0] == 0, script


def test_what_a_run_was_given_need_not_be_typed_and_is_told(tmp_path, gen, call):
    """Not what the preset says too, nor what is typed."""
    corpus, run = text(tmp_path / "fox.txt"), tmp_path / "run"
    gen("--corpus", corpus, *LONG, "--steps", 2, "--no-tied", "--workdir", run)
    result, said = gen("--workdir", run, "--steps", 4, "--sample-every=0")
    assert result["resumed_from_step"] == 2
    assert said.splitlines()[0] == (
        f"as this run was given: --corpus {corpus} --hidden 8 --batch-size 8 "
        "--seq-len 8 --schedule constant --warmup-steps 0"
    )
    # Which is a command.
    words = shlex.split(said.splitlines()[0].partition(": ")[2])
    assert gen(*words, "--workdir", run, "--steps", 4)[0] == result
    status, _, said = call(char_gen, "--workdir", run, "--preset", "cpu-3min")
    assert status == 2
    assert said.splitlines()[0] == f"as this run was given: --corpus {corpus}"
    assert "preset is 'modern' there and 'cpu-3min' here" in said


def test_a_run_that_could_not_begin_leaves_no_flags(tmp_path, gen, call):
    corpus, run = text(tmp_path / "fox.txt"), tmp_path / "run"
    command = ["--corpus", corpus, *LONG, "--workdir", run]
    status, _, said = call(char_gen, *command, "--minutes", "0.0001")
    assert (status, "nothing was trained" in said) == (2, True)
    assert not (run / "flags.json").exists()
    gen(*command, "--steps", 2)
    assert json.loads((run / "flags.json").read_text())["steps"] == 2


def test_a_run_from_before_its_flags_were_kept_goes_on(tmp_path, gen, call):
    corpus, run = text(tmp_path / "fox.txt"), tmp_path / "run"
    gen("--corpus", corpus, *LONG, "--steps", 2, "--workdir", run)
    (run / "flags.json").unlink()
    command = ["--workdir", run, "--characters", 2000, "--steps", 4]
    status, _, said = call(char_gen, *command)
    assert status == 2
    assert f"the run in {run} was made before flags.json was kept" in said
    assert "give --corpus" in said
    assert "--hidden 8" in said
    command[2:4] = ["--corpus", corpus]
    result, said = gen(*command)
    assert result["resumed_from_step"] == 2
    assert "was made before" not in said


WHERE = "remembered from RUN/flags.json"


@pytest.mark.parametrize(
    ("kept", "typed", "said"),
    [
        (
            {"corpus": ["/gone"]},
            [],
            f"--corpus: expected a text where it was, /gone, and found none ({WHERE}; "
            "give --corpus again)",
        ),
        (
            {"corpus": ["a", "-"]},
            [],
            f"--corpus: expected the text that was piped in, got none ({WHERE}); pipe "
            "it in again, and give --corpus a -",
        ),
        (
            {"val_corpus": ["-"]},
            [],
            f"--val-corpus: expected the text that was piped in, got none ({WHERE}); "
            "pipe it in again, and give --val-corpus -",
        ),
        (
            {"val_corpus": ["stdlib"]},
            ["--val-fraction", 0.2],
            f"(--val-corpus: {WHERE}; --no-val-corpus turns it off)",
        ),
        (
            {"tensorboard": True},
            [],
            f"is missing (--tensorboard: {WHERE}; --no-tensorboard turns it off)",
        ),
        (
            {"dropout_hidden": 0.1},
            ["--cell", "gru"],
            f"(--dropout-hidden: {WHERE}; give --dropout-hidden again)",
        ),
    ],
)
def test_an_error_says_what_was_not_typed(
    kept, typed, said, tmp_path, call, monkeypatch
):
    monkeypatch.setattr(config, "lacking", lambda extra: "is missing")
    (tmp_path / "a").touch()
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "RUN" / "flags.json"
    path.parent.mkdir()
    path.write_text(json.dumps(kept))
    status, _, told = call(char_gen, "--workdir", "RUN", *typed)
    assert status == 2
    assert told.startswith("error: ")
    assert said in told


@pytest.mark.parametrize(
    "damage", ["[1]", "{", '{"hidden": "8", "tied": 3, "seed": 5}']
)
def test_what_is_damaged_is_passed_over_and_told(damage, tmp_path, capsys):
    (tmp_path / "flags.json").write_text(damage)
    config = parse(["--workdir", str(tmp_path)])
    said = capsys.readouterr().err
    assert f"note: {tmp_path / 'flags.json'} is " in said
    assert (config.hidden, config.tied) == (256, False)
    assert config.seed == (5 if "seed" in damage else 0)
    if "seed" in damage:
        assert "--hidden: expected a whole number of 1 or more, got '8'" in said
        assert "--tied: expected true or false, got 3" in said


def test_a_pattern_is_remembered_in_a_directory_with_brackets(
    tmp_path, gen, monkeypatch
):
    here = text(tmp_path / "[ab]" / "fox.txt").parent
    text(tmp_path / "a" / "fox.txt", 1000)  # which the pattern would match unescaped
    monkeypatch.chdir(here)
    run = tmp_path / "run"
    gen("--corpus", "*.txt", *LONG, "--steps", 2, "--workdir", run)
    monkeypatch.chdir(tmp_path)
    assert gen("--workdir", run, "--steps", 4)[0]["resumed_from_step"] == 2


def test_a_text_by_another_name_is_the_same_run(tmp_path, gen, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = text(tmp_path / "fox.txt")
    first, _ = gen("--corpus", corpus, *LONG, "--steps", 2)
    corpus.rename("reynard.txt")
    second, said = gen("--corpus", "reynard.txt", *LONG, "--steps", 4)
    assert second["workdir"] == first["workdir"]
    assert second["resumed_from_step"] == 2
    assert "called fox then" in said


def test_a_read_only_run_is_read(tmp_path, call, gen):
    """By its mode, which holds for root too; nothing of it is touched."""
    corpus, run = text(tmp_path / "fox.txt"), tmp_path / "run"
    gen("--corpus", corpus, *LONG, "--steps", 2, "--workdir", run)
    (run / "checkpoints" / "latest" / "saving-9").mkdir()  # as a kill leaves it
    for folder, _, files in os.walk(run):
        for name in files:
            os.chmod(os.path.join(folder, name), 0o444)
        os.chmod(folder, 0o555)
    before = snapshot(run)
    assert call(sample, "--workdir", run, "--length", 3)[0] == 0
    for script in (evaluate, look_inside):
        status, out, said = call(script, "--workdir", run, "--corpus", corpus)
        assert status == 0, said
        assert f"{run} is read-only, so no page is written" in said
        assert json.loads(out).get("page") is None
        page = tmp_path / f"{script.__name__}.html"
        args = ["--workdir", run, "--corpus", corpus, "--page", page]
        assert call(script, *args)[0] == 0
        assert page.exists()
    assert snapshot(run) == before
    for folder, _, _ in os.walk(run):
        os.chmod(folder, 0o755)


NAMES = [b'it\'s "a" b', b"two\nlines", "🦊[z]".encode(), b"caf\xe9\\", b"-dash"]


@pytest.mark.everyday(name=NAMES[:2])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_may_be_any(name, tmp_path, call, gen, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name)
    corpus, run = text(tmp_path / f"{name}.txt"), tmp_path / name
    command = ["--corpus", f"./{corpus.name}", f"--workdir=./{name}", *LONG, "--steps"]
    result, said = gen(*command, 2)
    assert result["workdir"] == name
    assert json.loads((run / "result.json").read_text("ascii")) == result
    # What to type next is what a shell makes of it.
    line = re.search(r"\nwrite    (.*?)\nmeasure", said, re.DOTALL)[1]
    script = f"set -- {line}; printf '%s\\0' \"$@\""
    words = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    typed = os.fsdecode(words.stdout).split("\0")[2:-1]
    status, written, said = call(sample, *typed, "--length", 3)
    assert (status, len(written)) == (0, 3), said
    assert gen(*command, 4)[0]["resumed_from_step"] == 2
    of = ["--workdir", run, "--corpus", corpus]
    status, out, said = call(evaluate, *of)
    assert status == 0, said
    assert json.loads(out)["workdir"] == str(run)
    assert call(look_inside, *of)[0] == 0
    # An error is one line, whatever it names.
    status, _, said = call(char_gen, "--corpus", f"{corpus}.gone", "--workdir", run)
    assert status == 2
    taken, error = said.splitlines()
    assert taken.startswith("as this run was given: --hidden 8 --batch-size 8 ")
    assert error.startswith("error: ")


def test_commands_are_quoted_for_the_shell():
    words = ["a b", "it's", "two\nlines", "🦊"]
    assert shlex.split(names.command(*words)) == words
    assert names.command(os.fsdecode(b"caf\xe9's")) == r"$'caf\351\047s'"
    assert names.as_typed("-run") == names.no_flag("-run") == "./-run"
    assert names.no_flag("-") == "-"  # standard input
