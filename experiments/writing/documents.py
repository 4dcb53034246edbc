"""Documents that a run writes, printed so that they can be read as documents again."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from common.screen import Screen
from jaxtext.generation import Document, log_probabilities
from jaxtext.model import LanguageModel
from jaxtext.text import Documents, Vocabulary, isin
from jaxtext.types import Params
from writing.texts import Written

AT_ONCE = 256  # documents that are written side by side, at most
MOST = 50  # documents are written for each that is asked for, at most


class Form(NamedTuple):
    """How documents are printed.

    Attributes:
      mode: What a document is, as ``--documents`` of ``char_gen.py`` says it.
      field: The field or the column that it is, if it is one.
    """

    mode: str
    field: str | None = None


class Found(NamedTuple):
    """The documents that were written.

    Attributes:
      documents: Those that are kept, in their order.
      known: How many were left out, as they stand in the training text.
    """

    documents: list[Document]
    known: int


def told(found: Found, number: int, most: int) -> Iterator[str]:
    """What there is to say of documents, in a line each.

    Args:
      found: The documents.
      number: How many were asked for.
      most: How many characters there was room for in each.
    """
    cut = sum(not x.ended and len(x.ids) >= most for x in found.documents)
    if cut:
        yield f"cut at --length, before their end: {cut:,} of {len(found.documents):,}"
    if found.known:
        yield f"left out, as they stand in the training text: {found.known:,}"
    if len(found.documents) < number:
        yield (
            f"the search was given up after {MOST * number:,} documents, with "
            f"{len(found.documents):,} of the {number:,} that were asked for; try a "
            "higher --temperature, or another --prompt"
        )


def as_texts(
    model: LanguageModel,
    params: Params,
    documents: Sequence[Document],
    given: np.ndarray,
    score: bool,
) -> list[Written]:
    """Documents as texts, and how likely the model finds them.

    Args:
      model: The model that wrote them.
      params: Its parameters.
      documents: The documents.
      given: What each of them begins with, which has no part in the likelihood.
      score: Whether to compute that.
    """
    if not score:
        return [Written(x.ids, x.ended, None) for x in documents]
    assert model.end is not None  # or it could not have written them
    rows = []
    for document in documents:
        ids = document.ids[len(given) :]
        rows.append(np.append(ids, model.end) if document.ended else ids)
    found = []
    prompt = np.append(model.end, given).astype(np.int32)
    for begin in range(0, len(rows), AT_ONCE):
        group = rows[begin : begin + AT_ONCE]
        ids = np.full((AT_ONCE, max(map(len, group))), -1, np.int32)
        for row, own in zip(ids, group, strict=False):
            row[: len(own)] = own
        log_p = log_probabilities(model, params, np.tile(prompt, (AT_ONCE, 1)), ids)
        found += [x[: len(own)] for x, own in zip(log_p, group, strict=False)]
    scored = zip(documents, found, strict=True)
    return [Written(x.ids, x.ended, log_p) for x, log_p in scored]


def form_of(about: dict[str, Any], vocabulary: Vocabulary) -> Form:
    """The form of a run's documents, which is that of its text.

    Args:
      about: What its checkpoint says. If it says nothing of documents, they are lines,
        or paragraphs if there are newlines in them.
      vocabulary: Its symbols.
    """
    own = about.get("identity", {})
    usual = "paragraphs" if "\n" in vocabulary.characters else "lines"
    return Form(own.get("documents", usual), own.get("field"))


def collect(
    draw: Callable[..., Iterator[Document]],
    number: int,
    known: Documents | None,
    display: Screen,
) -> Found:
    """Writes documents until there are enough.

    Args:
      draw: ``(number, first=…) -> documents``, such as `generate_documents` writes.
      number: How many are wanted.
      known: Documents to leave out. The search ends at `MOST` for each that is wanted.
      display: Shows how many there are.
    """
    display.start(f"writing {number:,} documents", number)
    kept: list[Document] = []
    left_out = index = 0
    while len(kept) < number and index < MOST * number:
        missing = number - len(kept) if known is None else number
        group = list(draw(missing, first=index))
        stands = np.zeros(len(group), bool)
        if known is not None:
            stands = isin([document.ids for document in group], known)
        for document, is_known in zip(group, stands.tolist(), strict=True):
            if len(kept) == number:
                break
            index += 1
            left_out += is_known
            if not is_known:
                kept.append(document)
        display.advance(len(kept))
    display.stop()
    return Found(kept, left_out)


def printed(texts: list[str], form: Form) -> str:
    r"""Documents as the text that their form stands for.

    Example:
      >>> printed(["anna", "bert"], Form("lines"))
      'anna\nbert\n'
      >>> printed(["anna", "bert"], Form("csv", "name"))
      'name\nanna\nbert\n'
    """
    if form.mode == "lines":
        return "".join(f"{text}\n" for text in texts)
    if form.mode == "jsonl":
        rows = texts if form.field is None else [{form.field: x} for x in texts]
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    if form.mode == "csv":
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerows([x] for x in (form.field, *texts))
        return table.getvalue()
    # Files and paragraphs: a blank line stands between two.
    return "\n".join(text if text.endswith("\n") else f"{text}\n" for text in texts)
