"""The conversation in a terminal or a pipe: a line is a turn, or a command."""

import contextlib
import dataclasses
import difflib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from common.flags import build, flag, off, typed, with_flags
from common.help import documentation
from jaxtext.errors import InputError
from jaxtext.streams import say
from talking.settings import Settings
from talking.text import Network, Text, key_of, one

COMMANDS = {
    "again": "writes the last turn anew",
    "undo": "takes the last turn back, with what you typed",
    "reset": "begins a new text; the settings stay",
    "settings": "shows the settings",
    "help": "shows this",
    "quit": "ends the program, as the end of the input does",
}
_SETTINGS = [field.name for field in dataclasses.fields(Settings)]
_WAYS = """\
A line is continued. An empty line continues without anything new. A line that ends in a
backslash is joined to the next one by a new line. // at its beginning stands for /.
Ctrl-C stops the writing of a turn."""


class Conversation:
    """A text, its turns, and the settings.

    Attributes:
      text: The text so far.
    """

    def __init__(self, network: Network, settings: Settings):
        self._network, self._settings = network, settings
        self._decode_for_people = sys.stdout.isatty()
        self._drawn = 0  # turns, and those that were taken back
        self._reset()

    def run(self) -> None:
        """Reads lines to the end of standard input, and answers each."""
        if _is_terminal():
            say("note: each line is written on; /help lists the commands")
        for line in _turns():
            try:
                if self._answer(line):
                    return
            except InputError as error:
                say(f"error: {with_flags(str(error))}")

    def _answer(self, line: bytes) -> bool:
        """Does what a line asks for, and returns whether that is to end."""
        if not line.startswith(b"/") or line.startswith(b"//"):
            self._turn(line.removeprefix(b"/") if line.startswith(b"//") else line)
            return False
        name, *values = _words(line)
        if name == "quit":
            return True
        if name.replace("-", "_") in _SETTINGS:
            self._set(name, values)
        elif name not in COMMANDS:
            raise InputError(_unknown(name))
        elif values:
            raise InputError(f"/{name}: expected no value, got {' '.join(values)}")
        elif name == "help":
            say(_help())
        elif name == "settings":
            for setting in _SETTINGS:
                self._show(setting)
        elif name == "reset":
            self._reset()
        else:
            self._change_last(name)
        return False

    def _turn(self, given: bytes) -> None:
        # Nothing is changed before it is known that all of it can be read.
        ids = self._network.vocabulary.encode(given)
        start = len(self.text.ids)
        self.text.keep()
        with _ctrl_c() as stop:
            for symbol in ids.tolist():
                self.text.add(one(symbol))
            self._turns.append((start, len(self.text.ids)))
            self._write(stop)

    def _change_last(self, name: str) -> None:
        if not self._turns:
            raise InputError(f"/{name}: expected a turn before it, got none")
        start, end = self._turns[-1]
        if name == "undo":
            self._turns.pop()
            self.text.go_back(start)
            return
        self.text.go_back(end)
        with _ctrl_c() as stop:
            self._write(stop)

    def _write(self, stop: threading.Event) -> None:
        """Writes until the turn is done, or there is a request to stop."""
        vocabulary, people = self._network.vocabulary, self._decode_for_people
        decode = vocabulary.decoder()
        key = key_of(self._settings, self._drawn)
        self._drawn += 1
        for choice in self.text.write(key):
            ids = choice.ids
            _put(decode(ids).encode() if people else vocabulary.to_bytes(ids))
            if stop.is_set():
                break
        _put((decode([], final=True) if people else "").encode() + b"\n")

    def _set(self, name: str, values: list[str]) -> None:
        field = name.replace("-", "_")
        if values:
            words = [flag(field), *values]
            if values == ["on"]:
                words = [flag(field)]
            elif values == ["off"]:
                words = [off(Settings, field) or flag(field)]
            try:
                changed = typed(Settings, words)
            except InputError as error:
                said = str(error).partition("; without the flag")[0]
                raise InputError(said.replace("--", "/")) from error
            before = dataclasses.asdict(self._settings)
            self.text.settings = self._settings = build(Settings, changed, before)
            if field == "seed":
                self._drawn = 0
        self._show(field)

    def _show(self, field: str) -> None:
        value = getattr(self._settings, field)
        told = {None: "off", True: "on", False: "off"}
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        say(f"{_command(field)} {value if is_number else told[value]}")

    def _reset(self) -> None:
        self.text = Text(self._network)
        self.text.settings = self._settings
        self._turns: list[tuple[int, int]] = []


@contextlib.contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Turns Ctrl-C into an event, so that nothing is left half done."""
    pressed = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _turns() -> Iterator[bytes]:
    """The lines of standard input, those joined that end in a backslash."""
    kept = b""
    for line in _lines():
        if line.endswith(b"\\"):
            kept += line[:-1] + b"\n"
            continue
        yield kept + line
        kept = b""
    if kept:
        yield kept


def _lines() -> Iterator[bytes]:
    if not _is_terminal():
        for line in sys.stdin.buffer:
            yield line.removesuffix(b"\n").removesuffix(b"\r")
        return
    import readline  # noqa: F401 (`input` then edits lines and remembers them)

    while True:
        try:
            yield os.fsencode(input("> "))
        except KeyboardInterrupt:
            _put(b"\n")  # as a shell does
        except EOFError:
            _put(b"\n")
            return
        except UnicodeDecodeError as error:
            say(f"error: expected UTF-8, got {error.object!r}")


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _words(line: bytes) -> list[str]:
    """The name of a command and its values."""
    return line[1:].decode("utf-8", "replace").split() or [""]


def _unknown(name: str) -> str:
    known = [*map(_command, _SETTINGS), *(f"/{command}" for command in COMMANDS)]
    near = difflib.get_close_matches(f"/{name}", known, n=2)
    hint = f"did you mean {' or '.join(near)}" if near else "/help lists all"
    return f"/{name}: there is no such command; {hint}; // begins a line with /"


def _help() -> str:
    texts = {_command(name): documentation(Settings)[name] for name in _SETTINGS}
    texts |= {f"/{name}": text for name, text in COMMANDS.items()}
    width = max(map(len, texts)) + 2
    rows = [f"{name:<{width}}{text}" for name, text in texts.items()]
    return "\n".join([_WAYS, "", *rows]).replace("--", "/")


def _command(field: str) -> str:
    return flag(field).replace("--", "/")


def _put(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
