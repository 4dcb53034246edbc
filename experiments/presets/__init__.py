"""What ``--preset NAME`` sets; each file says what for, how, and to what end."""

from typing import Any

from presets import (
    cpu_3min,
    enwik8,
    names,
    ptb_char,
    shakespeare,
    small,
    text8,
    tutorial,
)

PRESETS: dict[str, dict[str, Any]] = {
    "modern": {},  # the defaults of the flags
    "cpu-3min": cpu_3min.VALUES,
    "small": small.VALUES,
    "names": names.VALUES,
    "shakespeare": shakespeare.VALUES,
    "ptb-char": ptb_char.VALUES,
    "enwik8": enwik8.VALUES,
    "text8": text8.VALUES,
    "tutorial": tutorial.VALUES,
}
