"""A language model as a page of HTML that runs it in a browser.

What runs there is in ``browser/``: small files of plain JavaScript, which share one
scope, in the order of `SCRIPTS`. The page holds them, its style, the weights in base64,
and a description of the model in JSON.
"""

import base64
import html
import json
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxtext.errors import InputError
from jaxtext.interop.fitting import check_vocabulary, refuse_documents
from jaxtext.interop.precision import Precision, rounded, rows_of
from jaxtext.interop.written import Call, call_of
from jaxtext.model import LanguageModel
from jaxtext.parameters import numbered, parts_of
from jaxtext.text import Vocabulary
from jaxtext.types import Params

BROWSER = Path(__file__).with_name("browser")
# What runs a network, and the page around it.
RUNTIME = ("weights", "arithmetic", "cells", "model", "vocabulary")
SCRIPTS = (*RUNTIME, "page")

_NOTHING = {"dropout", "variational_dropout"}  # without a key
_GATES = {
    "rnn": 1,
    "lstm": 4,
    "gru": 3,
    "layer_norm_rnn": 1,
    "layer_norm_lstm": 4,
    "layer_norm_gru": 3,
    "coupled_lstm": 3,
    "peephole_lstm": 4,
    "projected_lstm": 4,
    "minimal_gated_unit": 2,
    "min_gru": 2,
    "min_lstm": 3,
    "para_gru": 3,
    "para_lstm": 3,
}


def to_html(
    model: LanguageModel,
    params: Params,
    vocabulary: Vocabulary,
    *,
    precision: Precision = "float16",
    title: str = "jaxtext",
    details: Mapping[str, str] = {},
    prompt: str = "\n",
) -> str:
    """Makes one page of HTML that runs a model in any browser of today.

    The page needs no network and nothing beside itself. It computes in float32, with
    sums in float64, from weights that are rounded to `precision`. At temperature 0 it
    writes what `jaxtext.generation.generate` writes with
    ``round_weights(params, precision)``, except where two symbols are equally likely to
    the last bits.

    Args:
      model: The model, of any cells that have a step, but `jaxtext.mogrifier` and cells
        of your own.
      params: Its parameters.
      vocabulary: What its symbols are.
      precision: ``"float32"``, ``"float16"`` or ``"int8"``: four, two, or about one
        byte for each weight, and a third more in the page.
      title: The page's title.
      details: What the page says about the model, label by label.
      prompt: What it continues if no prompt is typed.

    Returns:
      The page.

    Raises:
      InputError: If the model has another cell, another activation than ``tanh``, or
        another number of symbols than the vocabulary; if it has an `end` of documents;
        or as `round_weights`.

    Example:
      >>> import jax, jaxtext as jt
      >>> vocabulary = jt.text.Vocabulary("chars", "abc")
      >>> model = jt.LanguageModel(jt.lstm(8), vocab_size=3)
      >>> params = model.init(jax.random.key(0), None, jax.numpy.array([[0]]))["params"]
      >>> to_html(model, params, vocabulary).splitlines()[0]
      '<!DOCTYPE html>'
    """
    check_vocabulary(model, vocabulary)
    refuse_documents(model, "the page")
    about, weights = packed(model, params, precision)
    told = {
        "model": about,
        "vocabulary": vocabulary.to_json(),
        "prompt": prompt,
        "details": dict(details),
    }
    files = {
        "title": html.escape(title),
        "style": _read("page.css"),
        "scripts": "\n".join(f"<script>\n{_read(f'{x}.js')}</script>" for x in SCRIPTS),
        "about": _in_a_script(told),
        "weights": base64.b64encode(weights).decode(),
    }
    first, *pieces = _read("page.html").split("{{")
    page = [first]
    for piece in pieces:  # not by `replace`: a text may have what looks like a place
        name, rest = piece.split("}}", 1)
        page += [files[name], rest]
    return "".join(page)


def packed(
    model: LanguageModel, params: Params, precision: Precision
) -> tuple[dict[str, Any], bytes]:
    """What ``browser/model.js`` makes a model of.

    Returns:
      The description, which can be saved as JSON, and the bytes of all weights. In the
      description, an array is a dict of its type, its shape and its offset.

    Raises:
      InputError: As `to_html`.
    """
    weights = bytearray()

    def pack(name: str, array: Any) -> dict[str, Any]:
        rows = rows_of(name, array)
        entries, scales = rounded(rows, precision)
        offset = len(weights)
        if scales is not None:
            weights.extend(scales.tobytes())
        weights.extend(np.ascontiguousarray(entries).tobytes())
        weights.extend(bytes(-len(weights) % 4))
        kind = entries.dtype.name
        return {"type": kind, "shape": list(rows.shape), "offset": offset}

    cell = _cell(call_of(model.cell), params["recurrent"], pack)
    if cell is None:
        raise InputError("cell: expected one with parameters, got dropout alone")
    about: dict[str, Any] = {
        "vocabSize": model.vocab_size,
        "frequent": list(model.frequent),
        "cell": cell,
    }
    if "embedding" in params:
        about["embedding"] = pack("embedding", params["embedding"])
    if model.tied:
        about["bias"] = pack("bias", params["bias"])
    else:
        about["output"] = pack("kernel", params["output"]["kernel"])
        about["bias"] = pack("bias", params["output"]["bias"])
    return about, bytes(weights)


def _cell(
    call: Call, params: Params, pack: Callable[[str, Any], dict[str, Any]]
) -> dict[str, Any] | None:
    """The description of a cell; ``None`` if it passes its input on."""
    name, of = call
    if name in _NOTHING:
        return None
    if name == "stack":
        cells = of["cells"]
        parts = parts_of(params, numbered(len(cells)))
        within = [_cell(*both, pack) for both in zip(cells, parts, strict=True)]
        return {"kind": "stack", "cells": [x for x in within if x is not None]}
    if name == "recurrent_dropout":
        return _cell(of["cell"], params, pack)
    if name in ("residual", "zoneout"):
        inner = _cell(of["cell"], params, pack)
        if name == "residual" and inner is not None:
            return {"kind": name, "cell": inner}
        if inner is not None and inner["kind"] != "zoneout":
            return {"kind": name, "cell": inner, "rates": _rates(of["rate"], inner)}
    if name not in _GATES or of.get("activation") is not None:
        raise InputError(
            f"cell: expected cells that the page can run, {', '.join(_GATES)} with "
            f"tanh, in stack, residual or zoneout, got {name}"
        )
    if (heads := of.get("heads", 1)) > 1:
        one = Call(name, {**of, "heads": 1, "hidden": of["hidden"] // heads})
        each = (jax.tree.map(itemgetter(n), params) for n in range(heads))
        return {"kind": "heads", "cells": [_cell(one, part, pack) for part in each]}
    arrays = dict(params)
    if "bias" not in arrays:
        arrays["bias"] = np.zeros(_GATES[name] * of["hidden"], np.float32)
    if name == "gru":
        if not of.get("reset_after", True):
            name = "gru_reset_before"
        elif "recurrent_bias" not in arrays:
            arrays["recurrent_bias"] = np.zeros(of["hidden"], np.float32)
    weights = {key: pack(key, array) for key, array in arrays.items()}
    return {"kind": name, "hidden": of["hidden"], "weights": weights}


def _rates(rate: Any, inner: dict[str, Any]) -> dict[str, float]:
    """The rate of each part of the state, by its name."""
    if isinstance(rate, Call):  # of jt.LSTMState
        return dict(rate.arguments)
    memory = inner["kind"].endswith("lstm") and inner["kind"] != "min_lstm"
    parts = ("c", "h") if memory else ("h",)
    return dict.fromkeys(parts, rate)


def _in_a_script(value: Any) -> str:
    """JSON that can stand in an element ``script``, whatever text it holds."""
    return json.dumps(value).replace("<", "\\u003c")


def _read(name: str) -> str:
    return (BROWSER / name).read_text("utf-8")
