"""The text of an evaluation."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import jaxtext as jt
from charlm.config import BEFORE
from charlm.remembered import is_there, remembered
from charlm.texts import own_parts
from common.screen import Screen
from jaxtext.errors import InputError
from jaxtext.text import Ids, Vocabulary, cache
from jaxtext.text.download import DATASETS
from jaxtext.text.encoded import encode
from jaxtext.text.excluding import Exclusion
from jaxtext.text.sources import resolve

Part = Literal["validation", "all"]
_CHUNK = 1 << 20  # symbols at a time


@dataclass(frozen=True)
class Text:
    """A text to evaluate a run on.

    Attributes:
      corpus: The whole text, in the run's vocabulary.
      own: Whether the run was trained on it.
      part: Which part of it is evaluated.
      ids: That part.
      train: What the run was trained on, if the text is its own; else empty.
      validation: What the run kept of it for validation; else empty.
    """

    corpus: jt.text.Corpus
    own: bool
    part: Part
    ids: Ids
    train: Ids
    validation: Ids


def read(
    specs: Sequence[str] | None,
    part: Part | None,
    workdir: Path,
    about: dict[str, Any],
    display: Screen,
) -> Text:
    """Reads the text to evaluate a run on.

    Args:
      specs: As ``--corpus``. ``None``: what the run was validated on, if its directory
        knows where that is.
      part: ``None``: the validation part if the run kept one, else all.
      workdir: The run's directory.
      about: What the run's checkpoint holds beside its arrays.
      display: Shows the bytes that are read, and what is left out.

    Raises:
      InputError: If the text cannot be read, has characters that the run does not know,
        or is not the run's own where it has to be.
    """
    validated_on = specs if specs is not None else _validated_on(workdir, about)
    corpus, own = _read(validated_on, about, display)
    if specs is None:
        validated = about["identity"].get("val_corpus")  # its hash, if it is apart
        if not (own if validated is None else corpus.sha256 == validated):
            name = about["corpus"]["name"] if validated is None else corpus.name
            did = "trained" if validated is None else "validated"
            raise InputError(
                f"--corpus: expected the text {name} as the run was {did} on it, but "
                "it has changed; give the one to evaluate on"
            )
    train = validation = corpus.ids[:0]
    if own:
        train, validation = _parts(corpus, about)
    if part is None:
        part = "validation" if len(validation) > 1 else "all"
    elif part == "validation" and not own:
        raise InputError(
            "--part validation: expected the text that the run was trained on, got "
            "another one, which has no such part; use --part all"
        )
    elif part == "validation" and not len(validation):
        raise InputError(
            "--part validation: the run kept nothing of this text for validation; "
            "use --part all, or a text that it has not seen"
        )
    ids = validation if part == "validation" else corpus.ids
    return Text(corpus, own, part, ids, train, validation)


def say_what_is_read(text: Text, about: dict[str, Any], display: Screen) -> None:
    """Says if the run was trained on the text, or if only its beginning is read."""
    if text.own and text.part == "all":
        display.say("note: the run was trained on this text, or on most of it")
    if text.own and about["identity"]["characters"] is not None:
        display.say(
            f"note: the run's corpus is the first {len(text.corpus.ids):,} characters "
            "of this text; what follows them is not read"
        )


def trained_on(
    workdir: Path, about: dict[str, Any], flag: str = "--statistics"
) -> Sequence[str]:
    """Where the text is that the run was trained on, for `read_training`.

    Args:
      workdir: The run's directory.
      about: What its checkpoint says.
      flag: What the text can be given as.

    Raises:
      InputError: If the run's directory does not know, or nothing is there any more.
    """
    what = "the text that the run was trained on"
    return _where(workdir, about, ("corpus",), flag, what, "give it again")


def _validated_on(workdir, about):
    """Where the text is that the run was validated on."""
    names, advice = ("val_corpus", "corpus"), "give it again, or any other"
    return _where(workdir, about, names, "--corpus", "the text to evaluate on", advice)


def _where(workdir, about, names, flag, what, advice):
    """Where a run's text is, by the first of its flags that says so."""
    name, kept = about["corpus"]["name"], remembered(workdir)
    specs = next((kept[x] for x in names if kept.get(x)), (name,))
    known = ("stdlib", *DATASETS)
    if "-" in specs or (not kept and name not in known):
        raise InputError(
            f"{flag}: expected {what}, got none; the run knows its own only by the "
            f"name {name}, so {advice}"
        )
    if lost := [x for x in specs if not is_there(x)]:
        raise InputError(
            f"{flag}: expected the run's text where it was, {lost[0]}, and found none; "
            f"{advice}"
        )
    return specs


def read_training(
    specs: Sequence[str],
    about: dict[str, Any],
    display: Screen,
    flag: str = "--statistics",
) -> Ids:
    """Reads the text that a run was trained on, and checks that it is this text.

    Args:
      specs: Where it is.
      about: What the run's checkpoint says.
      display: Shows the progress.
      flag: What the text is given as.

    Raises:
      InputError: If it is another text, or cannot be read.
    """
    corpus, own = _read(specs, about, display)
    if not own:
        wanted = about["corpus"]
        raise InputError(
            f"{flag}: expected the text that the run was trained on, "
            f"{wanted['name']} with SHA-256 {wanted['sha256'][:12]}…, got another one "
            f"with {corpus.sha256[:12]}…; give the same files as then"
        )
    return _parts(corpus, about)[0]


def _parts(corpus, about):
    """What a run trained on, and what it kept of the same text for validation."""
    of = about["identity"]
    fraction = 0.0 if of.get("val_corpus") else of["val_fraction"]
    return own_parts(corpus, fraction, of.get("val_split"), of["seed"])


def _read(specs, about, display):
    """A text in the run's vocabulary, and whether it is the run's own."""
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    of = about["identity"]
    limit = of["characters"]
    # As the run read its own text.
    ways = BEFORE[vocabulary.kind] | about["corpus"]
    packed = ways.get("any_bytes", False)
    how: Any = {
        "documents": of.get("documents", "none"),
        "field": of.get("field"),
        "newlines": ways.get("newlines", "keep"),
        "any_bytes": packed,
        "progress": display.advance,
    }
    with resolve(
        specs,
        cache=cache.root(),
        kind=vocabulary.kind,
        any_bytes=packed,
        exclude=Exclusion(ways.get("exclude", ())),
        progress=display.advance,
        warn=display.say,
    ) as sources:
        # A run may have been trained on the beginning of a text alone.
        corpus = encode(sources, vocabulary, limit=limit, **how)
        own = corpus.sha256 == about["corpus"]["sha256"]
        if not own and limit is not None:
            corpus = encode(sources, vocabulary, **how)
    return corpus, own


def fingerprint(vocabulary: Vocabulary, ids: Ids) -> str:
    """SHA-256 of the text that the ids stand for, in UTF-8 (or of the bytes)."""
    digest = hashlib.sha256()
    for piece in _pieces(ids):
        digest.update(vocabulary.to_bytes(piece))
    return digest.hexdigest()


def size(vocabulary: Vocabulary, ids: Ids) -> int:
    """How many bytes that text has."""
    if vocabulary.kind == "bytes":
        return len(ids)
    sizes = np.array([len(x.encode()) for x in vocabulary.characters])
    if vocabulary.end is not None:  # which is no byte of the text
        sizes = np.append(sizes, 0)
    return sum(int(sizes[piece].sum()) for piece in _pieces(ids))


def _pieces(ids: Ids) -> Iterator[np.ndarray]:
    for begin in range(0, len(ids), _CHUNK):
        yield np.asarray(ids[begin : begin + _CHUNK])
