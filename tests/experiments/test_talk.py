"""talk.py in a pipe: turns, commands, and what is taken back."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import char_gen
import jax
import numpy as np
import pytest
import talk

from charlm.build import restore
from jaxtext.generation import Decoding, generate, prompt, steps
from jaxtext.runs import checkpoint
from jaxtext.text import Vocabulary
from talking.settings import Settings, from_json
from talking.text import Network, Text, key_of, one

TEXT = "hello world, é 😀\n" * 60
SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "5"]


def train(folder, *flags):
    (folder / "text").write_text(TEXT)
    where = ["--corpus", str(folder / "text"), "--workdir", str(folder / "run")]
    assert char_gen.main([*where, *SMALL, *flags]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return train(tmp_path_factory.mktemp("talk"))


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    return train(tmp_path_factory.mktemp("bytes"), "--vocab", "bytes")


def network_of(workdir):
    about = checkpoint.read_about(workdir, warn=lambda _: None).about
    model, found = restore(workdir, about, warn=lambda _: None)
    return Network(model, found.arrays, Vocabulary.from_json(about["vocabulary"]))


@pytest.fixture
def say(workdir, capfdbinary, monkeypatch):
    """Says lines to a run; returns what it writes, and what is told beside that."""

    def said(lines, *args, run=workdir):
        lines = lines.encode() if isinstance(lines, str) else lines
        stdin = SimpleNamespace(buffer=io.BytesIO(lines), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", stdin)
        capfdbinary.readouterr()
        assert talk.main(["--workdir", str(run), *map(str, args)]) == 0
        out, err = capfdbinary.readouterr()
        note, *told = err.decode().splitlines()
        assert note.startswith("note: from the checkpoint of step 5")
        return out, told

    return said


def written(workdir, given, length, turn=0, **rules):
    """What `generate` writes after a new line and what was given."""
    model, params, vocabulary = network_of(workdir)
    key = key_of(Settings(), turn)
    prompt = vocabulary.encode("\n" + given)[None]
    decoding = Decoding(**{"temperature": 0.8} | rules)
    pieces = generate(model, params, prompt, length, key=key, decoding=decoding)
    return vocabulary.to_bytes(np.concatenate(list(pieces), axis=1)[0]).decode()


def test_a_turn_is_what_sampling_writes(workdir, say):
    out, told = say("hello", "--length", 60)
    assert (out.decode(), told) == (written(workdir, "hello", 60) + "\n", [])
    out, _ = say("hello", "--length", 60, "--top-k", 3, "--repetition-penalty", 1.3)
    rules = {"top_k": 3, "repetition_penalty": 1.3}
    assert out.decode() == written(workdir, "hello", 60, **rules) + "\n"


def test_the_state_is_kept_between_turns(workdir, say):
    out, _ = say("hello\n\n w\n", "--length", 20)
    text = given = ""
    for turn, given in enumerate(["hello", "", " w"]):
        text += given
        answer = written(workdir, text, 20, turn)
        text += answer
        size = len(f"{answer}\n".encode())
        assert out[:size].decode() == f"{answer}\n"
        out = out[size:]
    assert out == b""


def test_a_backslash_joins_lines(workdir, say):
    out, _ = say("hello\\\nworld", "--length", 20)
    assert out.decode() == written(workdir, "hello\nworld", 20) + "\n"


def test_commands_change_what_follows(workdir, say):
    out, told = say("/temperature 0\n/length 30\nhello\n/top-p off\n/settings\n/top-k")
    assert out.decode() == written(workdir, "hello", 30, temperature=0.0) + "\n"
    assert told[:3] == ["/temperature 0.0", "/length 30", "/top-p off"]
    assert told[3:5] == ["/length 30", "/temperature 0.0"]
    assert told[-1] == "/top-k off"


def test_nothing_is_compiled_for_other_values(workdir):
    network = network_of(workdir)
    text = Text(network)

    def write(given, **settings):
        text.settings = from_json({"length": 70} | settings)
        for symbol in network.vocabulary.encode(given):
            text.add(one(symbol))
        return list(text.write(key_of(text.settings, 0)))

    write("h")
    before = [f._cache_size() for f in (steps.choose, steps.follow, prompt._read)]
    write("hello world", top_p=0.9, top_k=3, typical_p=0.5, min_p=0.1, length=90)
    write("", temperature=0.0, repetition_penalty=1.2, window=7, seed=3)
    text.go_back(5)
    after = [f._cache_size() for f in (steps.choose, steps.follow, prompt._read)]
    assert before == after


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize("size", [3, 64, 100, 210])
def test_going_back_leads_to_the_same_bits(workdir, size):
    text, other = Text(network_of(workdir)), Text(network_of(workdir))
    text.settings = other.settings = from_json({"length": 210})
    list(text.write(jax.random.key(1)))
    ids = list(text.ids)
    text.go_back(size)
    other.agree(ids[:size])
    assert text.ids == other.ids == ids[:size]
    assert bits((text.place.state, text.place.logits)) == bits(
        (other.place.state, other.place.logits)
    )
    text.agree(ids)
    assert text.ids == ids


def test_undo_is_as_before(workdir, say):
    kept = say("hello\n/seed 0\n w", "--length", 90)[0]
    undone = say("hello\n\nwor\n/undo\n/undo\n/seed 0\n w", "--length", 90)[0]
    first = f"{written(workdir, 'hello', 90)}\n".encode()
    assert kept.startswith(first)
    assert undone.startswith(first)
    assert undone.endswith(kept.removeprefix(first))

    talking = talk.Conversation(network_of(workdir), Settings(length=90))
    talking._answer(b"hello")
    before, ids = talking.text.place, list(talking.text.ids)
    talking._answer(b"wor")
    assert len(talking.text.ids) == len(ids) + 3 + 90
    talking._answer(b"/undo")
    assert talking.text.ids == ids
    assert bits(talking.text.place) == bits(before)


def test_again_writes_another_text_after_the_same(workdir, say):
    out = say("hello\n/again\n", "--length", 40)[0].decode()
    first, second = (written(workdir, "hello", 40, turn) for turn in (0, 1))
    assert first != second
    assert out == f"{first}\n{second}\n"


def test_a_reset_begins_anew(workdir, say):
    out = say("hello\n/reset\n/seed 0\nhello\n", "--length", 40)[0].decode()
    assert out == 2 * (written(workdir, "hello", 40) + "\n")


def test_quit_ends_it(say):
    assert say("/quit\nhello\n") == (b"", [])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hexe", "the character 'x' (U+0078) at position 2 is not in the vocabulary"),
        ("//", "the character '/' (U+002F) at position 0"),
        (b"\xff", "expected UTF-8, got byte 0xff at position 0"),
        ("/temperature -1", "/temperature: expected a number from 0 to 1e+06, got -1"),
        ("/temperature off", "/temperature: expected one value, a number from 0"),
        ("/temperature 1 2", "/temperature: expected one value, a number from 0"),
        ("/top-p 2", "/top-p: expected a number above 0, up to 1, got 2"),
        ("/length 0", "/length: expected a whole number of 1 or more, got 0"),
        ("/lenght 3", "/lenght: there is no such command; did you mean /length"),
        ("/", "/: there is no such command"),
        ("/undo", "/undo: expected a turn before it, got none"),
        ("/again", "/again: expected a turn before it, got none"),
        ("/reset all", "/reset: expected no value, got all"),
    ],
)
def test_a_wrong_line_is_told_and_nothing_is_lost(workdir, say, line, told):
    line = line.encode() if isinstance(line, str) else line
    lines = [b"/reset", line, b"/seed 0", b"hello"]
    out, said = say(b"\n".join(lines), "--length", 30)
    assert out.decode() == written(workdir, "hello", 30) + "\n"
    assert len(said) == 2
    assert said[0].startswith(f"error: {told}")
    assert "--" not in said[0].replace("--vocab", "")


def test_bytes_are_well_formed_unless_they_are_not_asked_to_be(of_bytes, say):
    hot = "--temperature", 50, "--length", 300
    out, _ = say("hello\n", *hot, run=of_bytes)
    assert len(out.decode()) < len(out) in range(301, 305)
    out, _ = say("hello\n", *hot, "--no-utf8", run=of_bytes)
    assert len(out) == 301
    with pytest.raises(UnicodeDecodeError):
        out.decode()


def test_help_names_all_commands(say):
    told = "\n".join(say("/help")[1])
    for name in ("temperature", "repetition-penalty", "undo", "quit", "utf8"):
        assert f"\n/{name} " in told
    assert "--" not in told


def test_ctrl_c_stops_the_turn_and_not_the_program(workdir):
    with subprocess.Popen(
        [sys.executable, talk.__file__, "--workdir", str(workdir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(120, process.kill)  # it would write for hours
        late.start()
        process.stdin.write(b"/length 100000000\nhello\n")
        process.stdin.flush()
        assert process.stdout.read(1)  # it writes
        process.send_signal(signal.SIGINT)
        process.stdin.write(b"/length 10\n/seed 0\n/reset\nhello\n")
        process.stdin.close()
        rest = process.stdout.read().decode()
        assert process.wait() == 0
    late.cancel()
    assert rest.endswith("\n" + written(workdir, "hello", 10) + "\n")


def test_a_terminal_has_a_prompt_that_ctrl_c_clears(workdir):
    ours, theirs = pty.openpty()
    seen, deadline = b"", time.monotonic() + 120
    controlled = (  # by the terminal, whose Ctrl-C is a signal then
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )

    def wait(for_what, again=b""):
        """Reads until that has come, and types `again` now and then until it has."""
        nonlocal seen
        while for_what not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 4096)
            else:
                os.write(ours, again)
        seen = seen[seen.index(for_what) + len(for_what) :]

    with subprocess.Popen(
        [
            *(sys.executable, "-c", controlled, sys.executable, talk.__file__),
            *("--workdir", str(workdir), "--length", "20"),
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TERM": "dumb"},
        start_new_session=True,
    ) as process:
        wait(b"> ")
        os.write(ours, b"wrong\x03")  # Ctrl-C
        # CPython overlooks a signal that comes just before it waits for a key.
        wait(b"\n> ", again=b"\x03")
        os.write(ours, b"hello\n")
        wait(b"hello\r\n")
        answer = written(workdir, "hello", 20)
        wait((answer + "\n").replace("\n", "\r\n").encode())
        wait(b"> ")
        os.write(ours, b"/quit\n")
        assert process.wait() == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--workdir", "nowhere"], "nowhere holds no checkpoint"),
        ([], "--workdir: expected a directory, got none"),
        (["--workdir", "W", "--checkpoint", "77"], "no checkpoint of step 77"),
        (["--workdir", "W", "--temperature", "-1"], "--temperature: expected a number"),
        (["--workdir", "W", "--top-p", "0"], "--top-p: expected a number above 0"),
        (["--workdir", "W", "--length", "0"], "--length: expected a whole number of 1"),
    ],
)
def test_bad_input_is_one_line(workdir, args, said, capfd):
    capfd.readouterr()
    assert talk.main([str(workdir) if x == "W" else x for x in args]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1
