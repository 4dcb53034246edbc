r"""Let a trained run write: the text alone on standard output, streamed as it comes.

    python experiments/sample.py --workdir DIR --prompt "def " --top-p 0.9 --stop ":"
    python experiments/sample.py --workdir DIR --count 8 --score --jsonl > texts.jsonl
    python experiments/sample.py --workdir DIR --documents 20 --unlike-training

It needs nothing but the run's directory. The same seed writes the same text. Standard
error says which checkpoint was used. Several texts are written side by side, and shown
when all of them are done, the first as it would be alone.

A run on documents (char_gen.py --documents) writes whole documents with --documents, in
the form of its text: a line each, a row of CSV or JSON each, or a blank line between
two. char_gen.py can read all but files again.

A model over bytes reads the bytes of the prompt as they are, in any encoding (in bash,
--prompt $'caf\xe9' is Latin-1), and writes bytes to a file or a pipe. A terminal shows
U+FFFD in place of bytes that are not UTF-8.

Exit status: 0 done, or the reader has enough; 2 bad input, or standard output cannot be
written; 130 stopped by Ctrl-C.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import jax
import numpy as np

from charlm.build import restore
from charlm.checkpoints import Which, described, read_about
from charlm.samples import neutral_ids
from common.flags import Typed, build, flag, typed
from common.programs import Keeping, keep_programs
from common.rules import Needs, check, option
from common.screen import screen
from common.script import script
from common.values import Bound, Count, Directory, Seed, Whole
from evaluation.text import read_training, trained_on
from jaxtext.errors import InputError
from jaxtext.generation import (
    beam_search,
    generate,
    generate_documents,
    log_probabilities,
)
from jaxtext.streams import say
from jaxtext.text import Documents, Vocabulary, cache
from jaxtext.text.formats import reading
from jaxtext.text.reader import How, blocks
from jaxtext.text.sources import is_elsewhere, resolve
from writing import documents, texts
from writing.rules import TRUNCATING, Rules, Temperature, decoding

Finite: TypeAlias = Annotated[
    float, Bound(lambda x: abs(x) < float("inf"), "a finite number")
]
PathOrUrl: TypeAlias = Annotated[str, Bound(bool, "a path or a URL")]


_DOCUMENTS = Needs(lambda config: config.documents, "--documents with it")


@dataclass(frozen=True)
class Several:
    """several texts, and how likely"""

    count: Count = 1
    """Write this many texts, each by noise of its own."""
    documents: Count | None = None
    """Write this many documents, each from its beginning to its end. The prompt is the
    beginning of each, and is printed."""
    unlike_training: tuple[str, ...] | None = field(
        default=None, metadata={"needs": _DOCUMENTS, "alone": ()}
    )
    """Leave out documents that stand in the text that the run was trained on, and write
    others. It is read where it was then, or from the paths that you give."""
    best_of: Count | None = None
    """Write this many, and show the one with the highest mean log-probability of a
    symbol."""
    beams: Count | None = None
    """Do not draw: search for the likeliest text, keeping this many beginnings."""
    length_penalty: Finite = option(
        1.0, needs=Needs(lambda c: c.beams and c.stop, "--beams and --stop with it")
    )
    """Scores of --beams are log-probabilities over the length to this power."""
    score: bool = False
    """Also tell the log-probability of what was written, by the model alone."""
    score_file: Path | None = None
    """Write nothing: print the log-probability of this file's text after the prompt."""
    jsonl: bool = False
    """Print a JSON object a line for each text, all at the end."""


@dataclass(frozen=True, kw_only=True)
class Config(Keeping, Several, Rules):
    """Continue a prompt with a trained model."""

    workdir: Directory
    """Directory of the run, as char_gen.py printed it."""
    prompt: str | None = None
    """Text to continue, as it is typed, or bytes for a model over bytes. It is not
    printed. Default: a new line."""
    prompt_file: PathOrUrl | None = None
    """Continue the whole of this file instead, with its last new line. A URL is read as
    --corpus of char_gen.py reads it; - is standard input."""
    length: Whole = 500
    """Characters to write (bytes, for a model over bytes); of a document, at most."""
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
    words = typed(Config, _as_typed(sys.argv[1:] if argv is None else argv), __doc__)
    config = build(Config, words)
    check(config, words)
    _check_together(words)
    keep_programs(config.compilation_cache)
    write(config)
    return 0


# What has no effect beside a flag, and is refused with it.
_DRAWN = ("temperature", "seed", *TRUNCATING)
_APART = {
    "beams": ("count", "best_of", *_DRAWN),
    "best_of": ("count",),
    "documents": ("count", "best_of", "beams", "score_file"),
    "score_file": (
        *("count", "best_of", "beams", "score", "jsonl", "length", *_DRAWN),
        *("repetition_penalty", "forbid", "only", "stop", "utf8"),
    ),
}


def _check_together(words: Typed) -> None:
    for name, others in _APART.items():
        for other in others:
            if name in words and other in words:
                raise InputError(
                    f"{flag(other)}: expected no {flag(name)} with it; leave one out"
                )


def write(config: Config) -> None:
    """Restores the model, and prints what it writes."""
    which, of_documents = config.checkpoint, config.documents is not None
    # What another program has saved does not say what it was trained on.
    of_any = config.unlike_training is None
    about = read_about(config.workdir, which, warn=_warn, of_any=of_any)
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    if of_documents and vocabulary.end is None:
        raise InputError(
            "--documents: expected a run on documents (char_gen.py --documents), which "
            "knows where they end, got one on a single text; leave it out"
        )
    given = _given(config, vocabulary)
    temperature = config.temperature if config.beams is None else 1.0
    rules = decoding(config, temperature, vocabulary)
    scored = _scored(config.score_file, vocabulary)
    known = _known(config, about, vocabulary.end)
    model, found = restore(config.workdir, about, which=which, warn=_warn)
    of = model, found.arrays
    symbol = "byte" if vocabulary.kind == "bytes" else "character"
    if config.documents is not None:
        say(f"note: from the checkpoint of {described(found)}")
        form = documents.form_of(about, vocabulary)
        _write_documents(of, config, vocabulary, given, rules, known, form)
        return
    prompt = given
    if vocabulary.end is not None or not len(given):  # a text begins as in training
        prompt = np.concatenate([neutral_ids(vocabulary), given])
    if scored is not None:
        log_p = log_probabilities(*of, prompt[None], scored[None])[0]
        say(f"note: from the checkpoint of {described(found)}")
        _put(f"{texts.likelihood(log_p, symbol)}\n".encode())
        return

    length, key = config.length, jax.random.key(config.seed)
    rows = config.best_of or config.count
    prompts = np.repeat(prompt[None], rows, axis=0)
    if config.beams is None:
        pieces = generate(*of, prompts, length, key=key, decoding=rules)
        say(f"note: from the checkpoint of {described(found)}")
        if rows == 1 and not config.jsonl:
            ids = _stream(pieces, vocabulary)
        else:
            with screen() as display:
                ids = texts.collect(pieces, rows, length, display)
    else:
        say(f"note: from the checkpoint of {described(found)}")
        ids = np.zeros((1, 0), np.int32)
        if length:
            penalty = config.length_penalty
            how = {"beams": config.beams, "length_penalty": penalty}
            ids = beam_search(*of, prompts, length, **how, decoding=rules).ids[:, 0]
    log_p = None
    if config.score or config.best_of:
        log_p = log_probabilities(*of, prompts, ids)
    written = texts.texts(ids, length, log_p)
    if config.best_of:
        written = [max(written, key=lambda one: one.each)]
    streamed = config.beams is None and rows == 1 and not config.jsonl
    _show(written, config, vocabulary, symbol, streamed)


def _write_documents(of, config, vocabulary, given, rules, known, form):
    """Prints documents, and tells of those that are not as one would expect."""
    draw = partial(
        *(generate_documents, *of),
        length=config.length,
        key=jax.random.key(config.seed),
        beginning=given,
        decoding=rules,
        rows=min(config.documents, documents.AT_ONCE),
    )
    with screen() as display:
        found = documents.collect(draw, config.documents, known, display)
    model, params = of
    kept = found.documents, given, config.score
    written = documents.as_texts(model, params, *kept)
    if config.jsonl:
        lines = [texts.as_json(i, x, vocabulary) for i, x in enumerate(written)]
        _put("".join(f"{line}\n" for line in lines).encode())
    else:
        decoded = [vocabulary.decode(x.ids) for x in written]
        _put(documents.printed(decoded, form).encode())
        for i, one in enumerate(written):
            if one.log_p is not None:
                likely = texts.likelihood(one.log_p, "symbol")
                say(f"note: document {i + 1}: {likely}")
    for line in documents.told(found, config.documents, len(given) + config.length):
        say(f"note: {line}")


def _known(config, about, end):
    """The documents that the run was trained on, if they are to be left out."""
    if config.unlike_training is None:
        return None
    name = "--unlike-training"
    specs = config.unlike_training or trained_on(config.workdir, about, name)
    with screen() as display:
        display.start("reading the training text", total=1)
        ids = read_training(specs, about, display, name)
    return Documents.of(ids, end)


def _stream(pieces, vocabulary):
    """Prints one text as it comes, and returns its ids, ``[1, n]``."""
    decode, terminal = vocabulary.decoder(), sys.stdout.isatty()
    whole = [np.zeros((1, 0), np.int32)]
    for piece in pieces:
        ids = piece[0]
        _put(decode(ids).encode() if terminal else vocabulary.to_bytes(ids))
        whole.append(piece)
    if terminal:
        _put((decode([], final=True) + "\n").encode())
    return np.concatenate(whole, axis=1)


def _show(written, config, vocabulary, symbol, streamed):
    """Prints texts, and tells how likely they are."""
    terminal = sys.stdout.isatty()
    for i, one in enumerate(written):
        if config.jsonl:
            _put(f"{texts.as_json(i, one, vocabulary)}\n".encode())
        elif not streamed:
            if len(written) > 1:
                _put(f"----- text {i + 1} of {len(written)}\n".encode())
            text = vocabulary.decode(one.ids).encode()
            _put(text if terminal else vocabulary.to_bytes(one.ids))
            _put(b"\n" if terminal or len(written) > 1 else b"")
        if config.score and not config.jsonl:
            of = f"text {i + 1}: " if len(written) > 1 else ""
            say(f"note: {of}{texts.likelihood(one.log_p, symbol)}")


def _scored(path, vocabulary):
    """The ids of the text to score; ``None``: there is none."""
    if path is None:
        return None
    try:
        return vocabulary.encode(_read(path, vocabulary))
    except InputError as error:
        raise InputError(f"--score-file: {error}") from error


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


def _given(config: Config, vocabulary: Vocabulary) -> np.ndarray:
    """The ids of what is to be continued; none, if none are given."""
    if config.prompt_file is None:
        flag, prompt = "--prompt", config.prompt
    elif config.prompt is None:
        flag, prompt = "--prompt-file", _read(config.prompt_file, vocabulary)
    else:
        raise InputError("--prompt-file: expected no --prompt with it; leave one out")
    if prompt is None:
        return vocabulary.encode("")
    if not prompt:
        raise InputError(f"{flag}: expected at least one character, got none")
    if vocabulary.kind == "bytes" and isinstance(prompt, str):
        prompt = os.fsencode(prompt)  # the bytes that were typed
    try:
        return vocabulary.encode(prompt)
    except InputError as error:
        raise InputError(f"{flag}: {error}") from error


def _read(path: str, vocabulary: Vocabulary) -> bytes:
    """The text in a file, in UTF-8, or the bytes for a model over bytes.

    Files are unpacked and decoded as corpora are. Line ends become LF unless the model
    knows others.
    """
    newlines = "keep" if "\r" in vocabulary.characters else "lf"
    with contextlib.ExitStack() as stack:
        paths = (Path(path),)
        if path == "-" or is_elsewhere(path):
            found = resolve(path, cache=cache.root(), warn=_warn)
            paths = stack.enter_context(found).paths
        if vocabulary.kind == "bytes":
            with reading(path):
                return b"".join(x.read_bytes() for x in paths)
        found = blocks(paths, "chars", None, how=How(newlines))
        return b"".join(block.raw for block in found)


def _warn(text):
    say(f"warning: {text}")


def _put(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
