"""A program that hangs is told, with its phase and its stacks; a slow one is not."""

import ctypes
import itertools
import threading
import time

from jaxtext.runs.watchdog import watching

LIMIT = 0.2  # seconds


class Program:
    """Something that is watched: its signs, and what is heard of it."""

    def __init__(self, capfd):
        self.step, self.heard, self._capfd = 0, "", capfd

    def watched(self):
        return watching(LIMIT, lambda: self.step, lambda: f"step {self.step}")

    def hear(self, words):
        """Waits until something is said."""
        end = time.monotonic() + 60
        while words not in self.heard:
            assert time.monotonic() < end, self.heard
            time.sleep(0.05)
            self.heard += self._capfd.readouterr().err


def hang_here(over):
    over.wait()


def test_a_hang_is_told_once_with_its_phase_and_every_thread(capfd):
    program, over = Program(capfd), threading.Event()
    thread = threading.Thread(target=hang_here, args=(over,))
    thread.start()
    try:
        with program.watched():
            program.hear("no progress for 0.2 s in this phase: step 0.")
            program.hear("in hang_here")
            program.hear("in test_a_hang_is_told_once")
            program.step = 1
            program.hear("in this phase: step 1.")
            time.sleep(3 * LIMIT)
        program.heard += capfd.readouterr().err
        assert program.heard.count("no progress") == 2
    finally:
        over.set()
        thread.join()


def test_progress_is_never_told(capfd):
    counter = itertools.count()
    with watching(LIMIT, lambda: next(counter), lambda: "counting"):
        time.sleep(4 * LIMIT)
    assert capfd.readouterr() == ("", "")


def test_stacks_are_written_even_if_no_python_thread_can_run(capfd):
    program = Program(capfd)
    with program.watched():
        program.hear("step 0")  # so that the thread has begun
        ctypes.PyDLL(None).usleep(int(1e6 * 5 * LIMIT))  # holds the interpreter
        program.hear("Timeout (0:00:00.3")
    assert "in test_stacks_are_written_even" in program.heard
