"""The texts of a run: what it is trained on, and what it is validated on."""

from collections.abc import Callable

import jaxtext as jt
from charlm.config import Config
from common.screen import Screen
from jaxtext.errors import InputError
from jaxtext.runs.interrupt import Request
from jaxtext.text import cache
from jaxtext.text.encoded import encode
from jaxtext.text.sources import resolve


def read_corpus(
    config: Config,
    display: Screen,
    stop: Request,
    including: jt.text.Vocabulary | None = None,
) -> jt.text.Corpus:
    """Reads the corpus, in a vocabulary that has certain symbols in any case.

    Raises:
      InputError: If it cannot be read.
      Stopped: On a signal.
    """
    corpus = jt.text.load(
        config.corpus,
        vocab=config.vocab,
        limit=config.characters,
        including=including,
        progress=_reading("the corpus", display, stop),
        warn=display.say,
    )
    display.stop()
    distinct = "" if including else f", {len(corpus.vocabulary)} distinct"
    display.say(f"corpus {corpus.name}: {len(corpus.ids):,} characters{distinct}")
    return corpus


def divide(
    config: Config, corpus: jt.text.Corpus, display: Screen, stop: Request
) -> tuple[jt.text.Ids, jt.text.Ids, str | None]:
    """Reads or takes off the text to validate on.

    Returns:
      What to train on, what to validate on, and the hash of the latter if it is another
      text.

    Raises:
      InputError: If that text cannot be read, or has characters that the corpus lacks.
      Stopped: On a signal.
    """
    if not config.val_corpus:
        return *jt.text.split(corpus.ids, config.val_fraction), None
    progress = _reading("the text to validate on", display, stop)
    with resolve(
        config.val_corpus, cache=cache.root(), progress=progress, warn=display.say
    ) as sources:
        validation = encode(sources, corpus.vocabulary, progress=progress)
    display.stop()
    return corpus.ids, validation.ids, validation.sha256


def frequent_symbols(
    config: Config, text: jt.text.Ids, vocab_size: int
) -> tuple[int, ...]:
    """The symbols that ``--frequent`` counts, from the text to train on.

    Raises:
      InputError: If the vocabulary has no more symbols than that.
    """
    if config.frequent is None:
        return ()
    if config.frequent >= vocab_size:
        raise InputError(
            f"--frequent: expected fewer than the {vocab_size} distinct symbols of the "
            f"corpus, got {config.frequent}"
        )
    return jt.text.most_frequent(text, vocab_size, config.frequent)


def _reading(
    what: str, display: Screen, stop: Request
) -> Callable[[float, float], None]:
    """Begins a bar; returns what moves it, and ends the reading on a signal."""
    display.start(f"reading {what}", total=1)

    def progress(done, total):
        stop.check()
        display.advance(done, total)

    return progress
