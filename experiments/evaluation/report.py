"""What an evaluation found, as a person reads it: lines, and the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np

import jaxtext as jt
from evaluation.measure import Static
from evaluation.novelty import LENGTHS
from evaluation.page import heat_map, page
from jaxtext.text import Ids, Vocabulary
from jaxtext.training import predictions as predict
from jaxtext.types import Params

GUESSES = 3  # that the page tells of each symbol
SHOWN = 80  # symbols of a passage


def figures(result: dict[str, Any]) -> dict[str, str]:
    """Lines about a result, by their titles."""
    unit = "byte" if result["vocab"] == "bytes" else "character"
    of = f" of {result['documents']:,} documents" if "documents" in result else ""
    lines = {
        "text": f"{result['corpus']}, {result['part']}: {result['characters']:,} "
        f"{unit}s{of} predicted",
        "protocol": result["protocol"],
        "checkpoint": f"{result['checkpoint']}: {result['checkpoint_is_of']}",
    }
    names = {"": "static", "dynamic_": "dynamic evaluation"}
    names["ensemble_"] = f"ensemble of {result.get('ensemble_of')}"
    for prefix, name in names.items():
        if f"{prefix}nats_per_symbol" in result:
            lines[f"{name}, with the ends"] = (
                f"{result[prefix + 'nats_per_symbol']:.4f} nats per symbol, "
                f"{result[prefix + 'nats_per_document']:.2f} per document"
            )
        if f"{prefix}nats_per_char" in result:
            lines[name] = (
                f"{result[prefix + 'nats_per_char']:.4f} nats and "
                f"{result[prefix + 'bits_per_char']:.4f} bits per {unit}, "
                f"{result[prefix + 'bits_per_byte']:.4f} bits per byte, "
                f"perplexity {result[prefix + 'perplexity']:.3f}"
            )
    for what, of in result.get("novelty", {}).items():
        shares = ", ".join(f"{of[f'share_in_{n}']:.1%} of {n}" for n in LENGTHS)
        passage = json.dumps(of["longest_passage"][:SHOWN], ensure_ascii=False)
        lines[f"copied, {what}"] = (
            f"of {of['symbols']:,} {unit}s, in passages of that many or more: "
            f"{shares}; longest: {of['longest']}, {passage}"
        )
    return lines


def whole_page(
    result: dict[str, Any],
    model: jt.LanguageModel,
    params: Params,
    vocabulary: Vocabulary,
    ids: Ids,
    most: int,
    window: int | None,
    static: Static,
) -> str:
    """The page of a result, in HTML.

    Args:
      result: The result.
      model: The model.
      params: Its parameters.
      vocabulary: What the ids mean.
      ids: The text that was evaluated.
      most: How many of its symbols the page shows.
      window: As the text was read.
      static: What was measured.
    """
    shown = np.asarray(ids[:most])
    likeliest = min(GUESSES, len(vocabulary))
    said = predict(model, params, shown, window=window, likeliest=likeliest)
    notes = []
    if len(shown) < len(ids):
        notes.append(
            f"The first {len(shown):,} of {len(ids):,}; --page-characters shows more."
        )
    if "dynamic" in result:
        notes.append("The colours are those of the static model.")
    if window is not None:
        notes.append("A blue line marks where a window begins, from the zero state.")
    title = f"{Path(result['workdir']).resolve().name} on {result['corpus']}"
    heat = heat_map(vocabulary, shown, said, window)
    return page(title, figures(result), notes, static.by_position, heat)
