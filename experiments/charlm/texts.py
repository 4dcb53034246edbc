"""The texts of a run: what it is trained on, and what it is validated on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import jaxtext as jt
from charlm.config import Config
from charlm.identity import texts_before_documents
from common.flags import with_flags
from common.screen import Screen
from jaxtext.errors import InputError
from jaxtext.runs.interrupt import Request
from jaxtext.text import cache, looks
from jaxtext.text.download import DATASETS
from jaxtext.text.encoded import encode
from jaxtext.text.excluding import Exclusion
from jaxtext.text.modes import Mode
from jaxtext.text.sources import resolve

_SHOWN = 60  # characters of a document


def read_corpus(
    config: Config,
    known: dict[str, Any] | None,
    display: Screen,
    stop: Request,
    including: jt.text.Vocabulary | None = None,
) -> jt.text.Corpus:
    """Reads the corpus, in a vocabulary that has certain symbols in any case.

    Args:
      config: The configuration. Where it does not say what a document is, `known` does,
        and else the corpus.
      known: The identity of the run in ``--workdir``, if there is one already.
      display: Shows the progress.
      stop: Is polled meanwhile.
      including: The symbols.

    Raises:
      InputError: If it cannot be read.
      Stopped: On a signal.
    """
    mode = config.documents
    if mode is None and known is not None:
        mode = known.get("documents", "none")  # older runs read one text
    if mode is None and config.stride is not None:
        mode = "none"

    def load(mode: Mode | None) -> jt.text.Corpus:
        found = jt.text.load(
            config.corpus,
            vocab=config.vocab,
            documents=mode,
            field=config.field,
            newlines=config.newlines,
            any_bytes=config.any_bytes,
            exclude=config.exclude,
            limit=config.characters,
            including=including,
            progress=_reading("the corpus", display, stop),
            warn=lambda text: display.say(with_flags(text)),
        )
        display.stop()
        return found

    corpus = load(mode)
    if mode is None and corpus.mode != "none" and config.workdir is None:
        corpus = _as_it_began(config, corpus, load, display)
    distinct = "" if including else f", {len(corpus.vocabulary)} distinct"
    display.say(f"corpus {corpus.name}: {len(corpus.ids):,} characters{distinct}")
    if corpus.mode != "none":
        tell_documents(corpus, display)
    if config.documents is None and known is None:
        _tell_what_it_seems(corpus, display)
    return corpus


def _as_it_began(config, corpus, load, display):
    """The files as one text, if a run in its default directory began so."""
    before = texts_before_documents(config)
    if not before or "-" in config.corpus:
        return corpus
    joined = load("none")
    if joined.sha256 not in before:
        return corpus
    display.say(
        "note: a run on these files began as one text, and goes on; give --documents "
        "files for a new one, in which the model learns where each ends"
    )
    return joined


def _tell_what_it_seems(corpus, display):
    """Says which flag to try where a text looks like documents of another kind."""
    beginning = np.asarray(corpus.ids[: looks.CHARACTERS])
    found = looks.seems(corpus.vocabulary.decode(beginning))
    if found is None or corpus.name in ("stdlib", *DATASETS):
        return
    mode, why = found
    field = " --field NAME" if "with the" in why else ""
    display.say(
        f"note: {corpus.name} looks like {why}; to learn where each ends, add "
        f"--documents {mode}{field}"
    )


def tell_documents(corpus: jt.text.Corpus, display: Screen) -> None:
    """Says what was taken for a document: how many, how long, and the first one."""
    documents = corpus.documents
    shortest, median, longest = documents.lengths()
    first = documents[0]
    shown = repr(corpus.vocabulary.decode(first[:_SHOWN]))
    more = "…" if len(first) > _SHOWN else ""
    display.say(
        f"{len(documents):,} documents ({corpus.mode}), of {shortest:,} to "
        f"{longest:,} characters, {median:,} in the median; the first: {shown}{more}",
        verbatim=True,
    )


def decided(config: Config, corpus: jt.text.Corpus) -> Config:
    """The configuration with what it left to the corpus: documents and their split.

    Raises:
      InputError: For a flag about documents, if the corpus has none.
    """
    if corpus.mode == "none":
        if config.val_split == "documents":
            raise InputError(
                "--val-split: expected --documents with documents, got none, and the "
                f"corpus {corpus.name} is one text; say what a document is"
            )
        if config.document_order != "shuffled":
            raise InputError(
                "--document-order: expected --documents with documents, got none, and "
                f"the corpus {corpus.name} is one text; leave it out"
            )
        return config
    usual = "end" if corpus.mode == "files" else "documents"
    split = config.val_split or (None if config.val_corpus else usual)
    return dataclasses.replace(config, documents=corpus.mode, val_split=split)


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
        of = config.val_fraction, config.val_split, config.seed
        train, validation = own_parts(corpus, *of)
        if corpus.mode != "none" and len(validation):
            share = len(validation) / len(corpus.ids)
            how = "drawn" if config.val_split == "documents" else "at the end"
            display.say(f"validation: {share:.1%} of it, whole documents, {how}")
        return train, validation, None
    progress = _reading("the text to validate on", display, stop)
    with resolve(
        config.val_corpus,
        cache=cache.root(),
        kind=config.vocab,
        any_bytes=config.any_bytes,
        exclude=Exclusion(config.exclude),
        progress=progress,
        warn=display.say,
    ) as sources:
        validation = encode(
            sources,
            corpus.vocabulary,
            documents=corpus.mode,
            field=config.field,
            newlines=config.newlines,
            any_bytes=config.any_bytes,
            progress=progress,
        )
    display.stop()
    return corpus.ids, validation.ids, validation.sha256


def own_parts(
    corpus: jt.text.Corpus, val_fraction: float, val_split: str | None, seed: int
) -> tuple[jt.text.Ids, jt.text.Ids]:
    """What of a corpus a run trains on, and what it validates on.

    Args:
      corpus: The corpus.
      val_fraction: The share to validate on.
      val_split: As in the configuration, once it is decided.
      seed: That of the run.

    Raises:
      InputError: If nothing was drawn to validate on, or little is left to train on.
    """
    if corpus.mode == "none":
        return jt.text.split(corpus.ids, val_fraction)
    documents = corpus.documents
    if val_split == "documents":
        of = documents, corpus.vocabulary, val_fraction, seed
        train, validation = jt.text.draw_documents(*of)
    else:
        train, validation = jt.text.split_documents(documents, val_fraction)
    if val_fraction and not len(validation):
        raise InputError(
            f"--val-fraction {val_fraction:g} keeps none of {len(documents):,} "
            f"documents for validation (--val-split {val_split}); give --val-corpus, "
            "--documents none to read one text, or --val-fraction 0 for no validation"
        )
    share = len(validation) / len(corpus.ids)
    if share > 0.75:
        raise InputError(
            f"--val-fraction {val_fraction:g} keeps {share:.0%} of the text for "
            f"validation, for whole documents are kept and one is so long; give "
            "--val-corpus, or --documents none to read one text"
        )
    return train, validation


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
