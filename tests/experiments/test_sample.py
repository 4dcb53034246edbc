"""sample.py: the text of a trained run, alone on standard output."""

import os
import subprocess
import sys
from pathlib import Path

import char_gen
import pytest
import sample

SCRIPT = Path(sample.__file__)
TEXT = "hello world, é 😀\n" * 60


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    (folder / "text").write_text(TEXT)
    small = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "5"]
    run = folder / "run"
    argv = ["--corpus", str(folder / "text"), "--workdir", str(run), *small]
    assert char_gen.main(argv) == 0
    (folder / "text").unlink()  # a run needs nothing but its directory
    return run


def write(capfdbinary, *args):
    status = sample.main([str(a) for a in args])
    out, err = capfdbinary.readouterr()
    return status, out.decode(), err.decode()


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
        (["--prompt", "hexe"], "the character 'x' (U+0078) at position 2"),
        (["--prompt", ""], "--prompt: expected at least one character"),
        (["--temperature", "-1"], "temperature: expected 0 or more, got -1"),
        (["--seed", str(2**32)], "--seed: expected 0 or more, below 2**32"),
        (["--length", "-1"], "length: expected 0 or more, got -1"),
    ],
)
def test_bad_input_is_one_line(workdir, args, said, capfdbinary):
    status, out, err = write(capfdbinary, "--workdir", workdir, *args)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


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
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
