"""The parent process: what it passes on, what it says, and that the child is not left.

The children know of JAX as little as the parent: they run the one file alone.
"""

import os
import signal
import subprocess
import sys

import pytest

from jaxtext.runs import supervise as module
from jaxtext.runs.supervise import last_words, supervise, supervised

PREAMBLE = f"""
import os, signal, sys, time
exec(open({module.__file__!r}).read())
"""
CHILD = PREAMBLE + "assert supervised()\n"


def python(*lines):
    return [sys.executable, "-c", CHILD + "\n".join(lines)]


def test_exit_status_and_output_are_the_childs(capfd):
    command = python("print('out')", "print('err', file=sys.stderr)", "sys.exit(7)")
    assert supervise(command) == 7
    assert capfd.readouterr() == ("out\n", "err\n")


def test_the_runtimes_end_is_told_in_the_last_words(capfd):
    long = "last_words(1, 'first' * 100)"
    assert supervise(python(long, "last_words(75, 'lost ü')", "os.abort()")) == 75
    assert capfd.readouterr().err == "lost ü\n"
    assert supervise(python("last_words(2, '')", "os.abort()")) == 2
    assert capfd.readouterr().err == ""


def test_what_c_prints_is_not_on_standard_output(capfd):
    """Nor is what Gloo says of each device, whose threads break one another's lines."""
    command = python(
        "print('result')",
        "os.write(1, b'[Gloo] Rank [Gloo] Rank 1 is connected to 1 peer ranks. ')",
        "os.write(1, b'Expected number of connected peer ranks is : 1\\n')",
        "os.write(1, b'a warning of C++\\n')",
        "os.write(2, b'another without an end')",
    )
    assert supervise(command) == 0
    said = "a warning of C++\nanother without an end\n"
    assert capfd.readouterr() == ("result\n", said)


def test_what_c_prints_is_passed_on_while_the_child_runs(capfd):
    greeting = "[Gloo] Rank 0 is connected to 1 peer ranks."
    lines = f"os.write(2, b'{greeting}\\nslow compilation\\n')"
    command = python(lines, "time.sleep(2.5)", "print('end', file=sys.stderr)")
    assert supervise(command) == 0
    assert capfd.readouterr().err == "slow compilation\nend\n"


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ("F1129 Terminating process because the JAX distributed service", False),
        ("E1129 Polled an error from coordination service", False),
        ("F1129 Check failed: index < size", True),
    ],
)
def test_of_an_end_that_is_told_c_says_nothing_more(printed, kept, capfd):
    words = "last_words(75, 'lost')"
    lines = f"os.write(2, b'{printed}\\n*** stack ***\\n')"
    # It may take long to write all stacks.
    assert supervise(python(words, lines, "time.sleep(1.5)", "os.abort()")) == 75
    told = f"{printed}\n*** stack ***\nlost\n" if kept else "lost\n"
    assert capfd.readouterr().err == told


def test_a_child_may_end_at_once_with_its_last_words(capfd):
    end = (
        "import threading; threading.Thread(target=end_now, args=(75, 'lost')).start()"
    )
    assert supervise(python(end, "time.sleep(60)")) == 75
    assert capfd.readouterr().err == "lost\n"


@pytest.mark.parametrize(
    ("words", "name"), [("last_words(75, 'lost')", "SIGKILL"), ("", "SIGABRT")]
)
def test_any_other_end_is_a_signal(words, name, capfd):
    number = signal.Signals[name]
    kill = f"os.kill(os.getpid(), signal.{name})"
    assert supervise(python(words, kill)) == 128 + number
    assert capfd.readouterr().err == f"the process was ended by {name}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on(number, capfd):
    before = signal.getsignal(number)
    command = python(
        f"signal.signal({int(number)}, lambda number, frame: sys.exit(number))",
        f"os.kill(os.getppid(), {int(number)})",
        "time.sleep(30)",
    )
    assert supervise(command) == number
    assert signal.getsignal(number) == before


def test_the_child_does_not_outlive_its_parent():
    child = CHILD + "print(os.getpid(), flush=True)\ntime.sleep(60)"
    parent = PREAMBLE + f"supervise([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        # The pipe's other end is the child's, and closed when that has ended.
        process.communicate(timeout=10)


def test_a_process_of_the_childs_own_is_not_supervised():
    grandchild = PREAMBLE + "sys.exit(supervised())"
    command = python(
        "import subprocess",
        f"sys.exit(subprocess.call([sys.executable, '-c', {grandchild!r}]))",
    )
    assert supervise(command) == 0


def test_without_a_supervisor():
    assert not supervised()
    last_words(75, "nobody hears")
    assert "JAXTEXT_SUPERVISOR" not in os.environ
