r"""Let a trained run write: the text alone on standard output, streamed as it comes.

    python experiments/sample.py --workdir runs/stdlib-lstm-1a2b3c4d
    python experiments/sample.py --workdir DIR --prompt "def main(" --temperature 0.5
    python experiments/sample.py --workdir DIR --prompt-file beginning.txt > whole.txt

It needs nothing but the run's directory. The same seed writes the same text. Standard
error says which checkpoint was used.

A model over bytes reads the bytes of the prompt as they are, in any encoding (in bash,
--prompt $'caf\xe9' is Latin-1), and writes bytes to a file or a pipe. A terminal shows
U+FFFD in place of bytes that are not UTF-8.

Exit status: 0 done, or the reader has enough; 2 bad input, or standard output cannot be
written; 130 stopped by Ctrl-C.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import jax
import numpy as np

from charlm.build import restore
from charlm.checkpoints import Which, described
from charlm.samples import neutral_prompt
from common.flags import read
from common.programs import Keeping, keep_programs
from common.script import script
from common.values import Bound, Directory, Seed, Whole
from jaxtext.errors import InputError
from jaxtext.generation import generate
from jaxtext.generation.sampling import HOTTEST
from jaxtext.runs import checkpoint
from jaxtext.streams import say
from jaxtext.text import Vocabulary
from jaxtext.text.formats import reading

Temperature: TypeAlias = Annotated[
    float, Bound(lambda x: 0 <= x <= HOTTEST, f"a number of 0 to {HOTTEST:g}")
]


@dataclass(frozen=True)
class Config(Keeping):
    """Continue a prompt with a trained model."""

    workdir: Directory
    """Directory of the run, as char_gen.py printed it."""
    prompt: str | None = None
    """Text to continue, as it is typed, or bytes for a model over bytes. It is not
    printed. Default: a new line."""
    prompt_file: Path | None = None
    """Continue the whole of this file instead, with its last new line; - is standard
    input."""
    length: Whole = 500
    """Characters to write (bytes, for a model over bytes)."""
    temperature: Temperature = 0.8
    """Below 1, likely symbols become likelier; 0 always takes the likeliest."""
    checkpoint: Which = "best"
    """Which parameters: those that did best in validation (the latest, if nothing was
    validated), the latest ones, or those of this step, if they were kept."""
    seed: Seed = 0
    """Another seed writes another text."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Writes the text and returns the exit status."""
    argv = _as_typed(sys.argv[1:] if argv is None else argv)
    config = read(Config, argv, __doc__)
    keep_programs(config.compilation_cache)
    write(config)
    return 0


def write(config: Config) -> None:
    """Restores the model, and streams what it writes to standard output."""
    which = config.checkpoint
    about = checkpoint.read_about(config.workdir, which=which, warn=_warn).about
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    ids = _prompt(config, vocabulary)[None]
    model, found = restore(config.workdir, about, which=which, warn=_warn)

    pieces = generate(
        model,
        found.arrays,
        ids,
        config.length,
        key=jax.random.key(config.seed),
        temperature=config.temperature,
    )
    say(f"note: from the checkpoint of {described(found)}")
    decode, terminal = vocabulary.decoder(), sys.stdout.isatty()
    for piece in pieces:
        _put(decode(piece[0]).encode() if terminal else vocabulary.to_bytes(piece[0]))
    if terminal:
        _put((decode([], final=True) + "\n").encode())


def _as_typed(words: Sequence[str]) -> list[str]:
    """The command line with the prompt joined to its flag: it may look like a flag."""
    joined, rest = [], iter(words)
    for word in rest:
        following = next(rest, None) if word == "--prompt" else None
        joined.append(word if following is None else f"{word}={following}")
    if sum(word.startswith("--prompt=") for word in joined) > 1:
        raise InputError(
            "--prompt: expected one prompt, got several; leave one of them"
        )
    return joined


def _prompt(config: Config, vocabulary: Vocabulary) -> np.ndarray:
    """The ids of what is to be continued."""
    if config.prompt_file is None:
        flag, prompt = "--prompt", config.prompt
    elif config.prompt is None:
        flag, prompt = "--prompt-file", _read(config.prompt_file)
    else:
        raise InputError("--prompt-file: expected no --prompt with it; leave one out")
    if prompt is None:
        prompt = neutral_prompt(vocabulary)
    if not prompt:
        raise InputError(f"{flag}: expected at least one character, got none")
    if vocabulary.kind == "bytes" and isinstance(prompt, str):
        prompt = os.fsencode(prompt)  # the bytes that were typed
    try:
        return vocabulary.encode(prompt)
    except InputError as error:
        raise InputError(f"{flag}: {error}") from error


def _read(path: Path) -> bytes:
    with reading(path):
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()


def _warn(text):
    say(f"warning: {text}")


def _put(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
