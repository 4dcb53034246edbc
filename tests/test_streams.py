"""Standard output and error that are closed, full or read no more, in real processes.

The programs know nothing of JAX, so that each takes a moment.
"""

import contextlib
import errno
import io
import subprocess
import sys

import pytest

from jaxtext import streams
from jaxtext.errors import InputError
from jaxtext.streams import OutputError, script

WAYS = {
    "closed": "{0}>&-",
    "full": "{0}>/dev/full",
    "unread": "",  # a pipe whose reader has ended
}
PROGRAM = """
import sys
from jaxtext import streams
streams.open_all()

@streams.script
def main(argv=None):
    for k in range(3):
        streams.say(f"step {k}")
        print(f"step {k}", file=sys.stderr)
        sys.stderr.writelines(["as lines\\n"])
    WORK
    with open(sys.argv[1], "w") as file:
        file.write("result")
    print("result")
    return 0

sys.exit(main())
"""


def python(program, way, number, *args):
    """Runs a program with one stream that cannot be written; the other is read."""
    command = [sys.executable, "-c", program, *map(str, args)]
    shell = f'exec "$@" {WAYS[way].format(number)}'
    with subprocess.Popen(
        ["sh", "-c", shell, "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if way == "unread":
            (process.stdout if number == 1 else process.stderr).close()
        out = "" if process.stdout.closed else process.stdout.read()
        err = "" if process.stderr.closed else process.stderr.read()
        return process.wait(60), out, err


@pytest.mark.parametrize("way", WAYS)
def test_standard_error_costs_nothing(way, tmp_path):
    status, out, _ = python(PROGRAM.replace("WORK", ""), way, 2, tmp_path / "kept")
    assert (status, out) == (0, "result\n")
    assert (tmp_path / "kept").read_text() == "result"


@pytest.mark.parametrize("way", WAYS)
def test_standard_output_is_missed_only_if_it_is_wanted(way, tmp_path):
    status, _, err = python(PROGRAM.replace("WORK", ""), way, 1, tmp_path / "kept")
    assert (tmp_path / "kept").read_text() == "result"
    lines = err.splitlines()[9:]
    if way == "full":
        assert status == 2
        assert lines == [
            "error: standard output cannot be written (No space left on device); fix "
            "that, and run the same command again"
        ]
    else:
        assert (status, lines) == (0, [])


@pytest.mark.parametrize("way", WAYS)
def test_an_error_keeps_its_status(way, tmp_path):
    work = "raise streams.InputError('no')"
    program = PROGRAM.replace("WORK", work)
    assert python(program, way, 2, tmp_path / "kept")[0] == 2
    program = PROGRAM.replace("WORK", "raise KeyboardInterrupt")
    assert python(program, way, 2, tmp_path / "kept")[0] == 130
    program = PROGRAM.replace("WORK", "sys.exit(3)")  # as after --help
    assert python(program, way, 2, tmp_path / "kept")[0] == 3


def test_what_is_opened_gets_no_number_of_a_stream(tmp_path):
    program = """
import os, sys
from jaxtext import streams
streams.open_all()
file = open(sys.argv[1], "wb", buffering=0)
for number in 1, 2:
    os.write(number, b"from somewhere below Python")  # as XLA logs
file.write(str(file.fileno() > 2).encode())
"""
    shell = 'exec "$@" <&- >&- 2>&-'
    command = [sys.executable, "-c", program, tmp_path / "file"]
    subprocess.run(["sh", "-c", shell, "sh", *command], check=True, timeout=60)
    assert (tmp_path / "file").read_text() == "True"


class Broken(io.TextIOBase):
    """A stream that fails."""

    def __init__(self, error):
        self._error = error

    def write(self, text):
        raise self._error


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), BrokenPipeError(), ValueError("closed")]
)
def test_a_lenient_stream_leaves_out_what_it_cannot_write(error):
    stream = streams.lenient(Broken(error))  # pyright: ignore
    assert stream.write("four") == 4
    stream.flush()
    assert not stream.isatty()


def test_without_a_stream_nothing_is_said(monkeypatch, capsys):
    """`print` would take standard output in place of a standard error of None."""
    monkeypatch.setattr(sys, "stderr", None)
    streams.say("nobody hears it")
    streams.flush_all()
    assert capsys.readouterr().out == ""
    assert streams.lenient(None).write("nobody") == 6
    monkeypatch.setattr(sys, "stdout", None)
    assert script(lambda: print("nobody hears it") or 0)() == 0


def test_what_an_encoding_lacks_is_written_otherwise(monkeypatch):
    """It is no reason to end, and no stream that is closed."""
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    assert script(lambda: print("a box: ╭") or 0)() == 0
    assert ascii_only.buffer.getvalue() == b"a box: \\u256d\n"  # pyright: ignore


def test_streams_are_given_back(capsys):
    before = sys.stdout, sys.stderr

    @script
    def main():
        raise InputError("--this: expected that")

    assert main() == 2
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("", "error: --this: expected that\n")


def test_a_line_that_is_kept_elsewhere_is_not_missed(tmp_path, capsys, monkeypatch):
    full = Broken(OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(sys, "stdout", full)

    def main(kept):
        streams.print_last_line("{}", kept)
        return 0

    assert script(main)(tmp_path) == 0
    assert f"note: standard output cannot be written (No space left on device); the " \
        f"result is in {tmp_path}" in capsys.readouterr().err  # fmt: skip
    assert script(main)(None) == 2
    with contextlib.suppress(OutputError):
        raise OutputError(BrokenPipeError())
    assert OutputError(BrokenPipeError(errno.EPIPE, "")).unread
    assert not OutputError(OSError(errno.EIO, "")).unread
