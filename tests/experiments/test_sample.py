"""sample.py: the text of a trained run, alone on standard output."""

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import char_gen
import jax
import numpy as np
import pytest
import sample
from char_build import restore

from jaxtext.generation import generate
from jaxtext.runs import checkpoint
from jaxtext.runs.log import read_metrics

SCRIPT = Path(sample.__file__)
TEXT = "hello world, é 😀\n" * 60


def train(folder, text, *flags):
    (folder / "text").write_bytes(text)
    small = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "5"]
    run = folder / "run"
    argv = ["--corpus", str(folder / "text"), "--workdir", str(run), *small, *flags]
    assert char_gen.main(argv) == 0
    (folder / "text").unlink()  # a run needs nothing but its directory
    return run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return train(tmp_path_factory.mktemp("sample"), TEXT.encode())


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    """A run over bytes, of a text in Latin-1."""
    latin = "naïve café, déjà vu, où êtes-vous ?\n" * 40
    folder = tmp_path_factory.mktemp("bytes")
    return train(folder, latin.encode("latin-1"), "--vocab", "bytes")


def write(capfdbinary, *args):
    status, out, err = written(capfdbinary, *args)
    return status, out.decode(), err.decode()


def written(capfdbinary, *args):
    status = sample.main([str(a) for a in args])
    return status, *capfdbinary.readouterr()


def test_text_alone_and_the_same_again(workdir, capfdbinary):
    first = write(capfdbinary, "--workdir", workdir, "--length", 70)
    assert first[0] == 0
    assert len(first[1]) == 70
    assert set(first[1]) <= set(TEXT)
    assert write(capfdbinary, "--workdir", workdir, "--length", 70)[1] == first[1]
    other = write(capfdbinary, "--workdir", workdir, "--length", 70, "--seed", 1)
    assert other[1] != first[1]


def test_a_prompt_changes_what_follows(workdir, capfdbinary):
    args = ["--workdir", workdir, "--length", 40, "--temperature", 0.0]
    one = write(capfdbinary, *args, "--prompt", "😀 hell")[1]
    two = write(capfdbinary, *args, "--prompt", "\n\n\n")[1]
    assert len(one) == len(two) == 40
    assert one != two


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--temperature", "2e38"], "--temperature: expected a number from 0 to 1e+06"),
        (["--checkpoint", "lates"], "expected one of latest, best, or a whole numb"),
        (
            ["--checkpoint", "4"],
            "holds no checkpoint of step 4; it holds those of step",
        ),
        (
            ["--prompt", "hexe"],
            "error: --prompt: the character 'x' (U+0078) at position 2",
        ),
        (["--prompt", ""], "--prompt: expected at least one character"),
        (["--prompt-file", os.devnull], "--prompt-file: expected at least one"),
        (["--prompt-file", "missing"], "cannot read missing (No such file"),
        (["--prompt", "h", "--prompt", "e"], "--prompt: expected one prompt, got"),
        (["--prompt", "h", "--prompt=e"], "--prompt: expected one prompt, got"),
        (["--prompt", "h", "--prompt-file", "f"], "expected no --prompt with it"),
        (
            ["--temperature", "-1"],
            "--temperature: expected a number from 0 to 1e+06, got -1",
        ),
        (["--seed", str(2**32)], "number of 0 or more, below 2**32"),
        (["--length", "-1"], "--length: expected a whole number of 0 or more, got -1"),
    ],
)
def test_bad_input_is_one_line(workdir, args, said, capfdbinary):
    status, out, err = write(capfdbinary, "--workdir", workdir, *args)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


def drawn(workdir, prompt, length):
    """What a run writes after some bytes, at temperature 0."""
    about = checkpoint.read_about(workdir, warn=lambda _: None).about
    model, found = restore(workdir, about, warn=lambda _: None)
    prompts, key = np.frombuffer(prompt, np.uint8)[None], jax.random.key(0)
    pieces = generate(model, found.arrays, prompts, length, key=key, temperature=0.0)
    return np.concatenate(list(pieces), axis=1)[0].astype(np.uint8).tobytes()


def test_bytes_come_out_as_they_were_drawn(of_bytes, capfdbinary):
    args = ["--workdir", of_bytes, "--length", 200]
    status, out, _ = written(capfdbinary, *args)
    assert (status, len(out)) == (0, 200)
    with pytest.raises(UnicodeDecodeError):
        out.decode()
    cold = written(capfdbinary, *args, "--temperature", 0)[1]
    assert cold == drawn(of_bytes, b"\n", 200)


def test_a_terminal_is_shown_what_it_can_show(of_bytes, capfdbinary, monkeypatch):
    args = ["--workdir", of_bytes, "--length", 200]
    raw = written(capfdbinary, *args)[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = written(capfdbinary, *args)[1]
    assert shown.decode() == raw.decode(errors="replace") + "\n"


@pytest.mark.parametrize("raw", [b"caf\xe9", "café".encode(), b"\0\xff\n", b"-\xe9"])
def test_a_prompt_is_the_bytes_that_were_given(
    of_bytes, capfdbinary, tmp_path, monkeypatch, raw
):
    args = ["--workdir", of_bytes, "--length", 30, "--temperature", 0]
    expected = drawn(of_bytes, raw, 30)
    (tmp_path / "prompt").write_bytes(raw)
    assert written(capfdbinary, *args, "--prompt", os.fsdecode(raw))[1] == expected
    file = tmp_path / "prompt"
    assert written(capfdbinary, *args, "--prompt-file", file)[1] == expected
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
    assert written(capfdbinary, *args, "--prompt-file", "-")[1] == expected


def test_the_log_shows_what_it_can_show(tmp_path, capfdbinary):
    train(tmp_path, bytes(range(128, 256)) * 20, "--vocab", "bytes")
    said = capfdbinary.readouterr().err.decode()
    assert "\ufffd" in said.split("sample at step 5")[1]


TYPED = ["None", "1", "True", "-x", "--length", "--prompt", "a b\n", "--a_b=c", "-"]


@pytest.mark.parametrize("prompt", TYPED)
def test_a_prompt_is_what_was_typed(of_bytes, capfdbinary, prompt):
    args = ["--workdir", of_bytes, "--length", 30, "--temperature", 0]
    expected = drawn(of_bytes, prompt.encode(), 30)
    assert written(capfdbinary, "--prompt", prompt, *args)[1] == expected
    assert written(capfdbinary, *args, f"--prompt={prompt}")[1] == expected


def test_a_prompt_from_a_file_is_text_for_characters(workdir, capfdbinary, tmp_path):
    args = ["--workdir", workdir, "--length", 40, "--temperature", 0.0]
    typed = write(capfdbinary, *args, "--prompt", "😀 hell")[1]
    (tmp_path / "prompt").write_text("😀 hell", encoding="utf-8-sig")
    assert write(capfdbinary, *args, "--prompt-file", tmp_path / "prompt")[1] == typed
    (tmp_path / "prompt").write_bytes(b"h\xe9")
    status, _, err = write(capfdbinary, *args, "--prompt-file", tmp_path / "prompt")
    assert status == 2
    assert "expected UTF-8 text, but" in err
    assert "it looks like Latin-1" in err


def test_it_says_which_checkpoint_it_is_from(workdir, tmp_path, capfdbinary):
    """Its step and its loss there, as the log has it."""
    log = read_metrics(workdir / "metrics.jsonl")
    losses = {x["step"]: x["val_nats_per_char"] for x in log if len(x) == 2}
    said = f"step 5, validated in the run at {losses[5]:.4f} nats per character"
    for which in ("best", "latest", 5):
        args = ["--workdir", workdir, "--length", 3, "--checkpoint", which]
        assert said in write(capfdbinary, *args)[2]
    begin = write(capfdbinary, *args[:-1], 0)[2]
    assert "step 0, of which no loss is known" in begin
    run = train(tmp_path, TEXT.encode(), "--val-fraction", "0")
    (record,) = read_metrics(run / "metrics.jsonl")  # of all five steps
    said = write(capfdbinary, "--workdir", run, "--length", 3)[2]
    assert f"step 5, training loss {record['loss']:.4f} nats per character" in said


def test_a_directory_without_a_run(tmp_path, capfdbinary):
    status, out, err = write(capfdbinary, "--workdir", tmp_path / "none")
    assert (status, out) == (2, "")
    assert "holds no checkpoint" in err


def test_a_reader_that_has_enough(workdir):
    command = [sys.executable, SCRIPT, "--workdir", workdir, "--length", "100000"]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "XLA_FLAGS": ""}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read().startswith(b"note: from the checkpoint of step ")
        assert process.wait(60) == 0
