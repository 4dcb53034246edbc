"""Let a trained run write: the text alone on standard output, streamed as it comes.

    python experiments/sample.py --workdir runs/stdlib-lstm-1a2b3c4d
    python experiments/sample.py --workdir DIR --prompt "def main(" --temperature 0.5

Uses the run's best checkpoint, or its latest where nothing was validated, and needs
nothing but the run's directory. The same seed writes the same text.

Exit status: 0 done, or the reader has enough; 2 bad input, or standard output cannot be
written; 130 stopped by Ctrl-C.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from char_build import restore
from char_flags import check_seed
from char_samples import neutral_prompt
from flags import read

from jaxtext.errors import InputError
from jaxtext.generation import generate
from jaxtext.streams import say, script
from jaxtext.text import Vocabulary
from jaxtext.training import checkpoint


@dataclass(frozen=True)
class Config:
    """Continue a prompt with a trained model."""

    workdir: Path
    """Directory of the run, as char_gen.py printed it."""
    prompt: str | None = None
    """Text to continue; it is not printed. Default: a new line."""
    length: int = 500
    """Characters to write (bytes, for a model over bytes)."""
    temperature: float = 0.8
    """Below 1 the likely grows likelier; 0 always takes the likeliest."""
    seed: int = 0
    """Another seed writes another text."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Writes the text and returns the exit status."""
    write(read(Config, argv))
    return 0


def write(config: Config) -> None:
    """Restores the model and streams what it writes to standard output."""
    check_seed(config.seed)
    about = checkpoint.read_about(config.workdir, warn=_warn).about
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    prompt = neutral_prompt(vocabulary) if config.prompt is None else config.prompt
    if not prompt:
        raise InputError("--prompt: expected at least one character, got none")
    ids = vocabulary.encode(prompt)[None]
    model, found = restore(config.workdir, about, warn=_warn)

    pieces = generate(
        model,
        found.arrays,
        ids,
        config.length,
        key=jax.random.key(config.seed),
        temperature=config.temperature,
    )
    decode = vocabulary.decoder()
    for piece in pieces:
        _put(decode(piece[0]))
    _put(decode(np.zeros(0, np.uint8), final=True))
    if sys.stdout.isatty():
        _put("\n")


def _warn(text):
    say(f"warning: {text}")


def _put(text):
    # As bytes: the text is what was learnt, line ends and all, whatever the locale.
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
