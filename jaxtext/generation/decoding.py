"""What is said about decoding: which symbols are written, and when a text ends."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxtext.errors import InputError
from jaxtext.quantities import shown

HOTTEST = 1e6  # symbols are equally likely here; float32 has no room for more


class _Bound(NamedTuple):
    """What a number has to be."""

    holds: Callable[[Any], Any]
    expected: str
    dtype: type = np.float32


_ABOVE_ZERO = _Bound(lambda x: (x > 0) & (x <= 1), "a number above 0, up to 1")
_COUNT = _Bound(lambda x: x >= 1, "a whole number of at least 1", np.int32)
BOUNDS = {
    "temperature": _Bound(
        lambda x: (x >= 0) & (x <= HOTTEST), f"a number from 0 to {HOTTEST:g}"
    ),
    "repetition_penalty": _Bound(
        lambda x: (x > 0) & np.isfinite(x), "a finite number above 0"
    ),
    "window": _COUNT,
    "top_k": _COUNT,
    "top_p": _ABOVE_ZERO,
    "min_p": _Bound(lambda x: (x >= 0) & (x <= 1), "a number from 0 to 1"),
    "typical_p": _ABOVE_ZERO,
    "min_length": _Bound(lambda x: x >= 0, "a whole number of at least 0", np.int32),
}


@dataclass(frozen=True, eq=False)
class Decoding:
    """How symbols are drawn, and which.

    The rules are applied in this order, which is that of Hugging Face's Transformers:
    `repetition_penalty`; `forbid`, `only`, `min_length` and `utf8`; then, on ``logits /
    temperature``, `top_k`, `top_p`, `min_p` and `typical_p`. What remains is drawn by
    its relative probabilities. A rule that is ``None`` or empty is not compiled. Other
    numbers do not compile again: give a number that has no effect, such as ``top_p=1``,
    where a rule is to be turned on later.

    A number may be an array ``[B]``, one for each row.

    Attributes:
      temperature: Divides the logits. 0 takes the likeliest symbol that is allowed, and
        none of the rules after it has an effect then. At most 1e6.
      repetition_penalty: Symbols that are in the text already have their logit divided
        by this if it is positive, else multiplied. 1 has no effect. With characters,
        nearly all symbols recur soon, so choose it near 1, or a short `window`.
      window: How many of the last symbols `repetition_penalty` looks at, of the prompt
        too. ``None``: all.
      top_k: Keeps the likeliest symbols, this many.
      top_p: Keeps the likeliest symbols that together have this probability (nucleus
        sampling). 1 has no effect.
      min_p: Keeps symbols that are at least this many times as likely as the likeliest.
        0 has no effect.
      typical_p: Keeps the symbols whose surprisal is nearest to the entropy and that
        together have this probability. 1 has no effect.
      forbid: Ids that are not written.
      only: The ids that may be written, all others being forbidden. ``None``: all.
      stop: Strings of ids. A text ends with the first of them that it writes whole. The
        prompt does not count.
      min_length: The symbol that would complete a string of `stop` is not drawn before
        this many symbols are written.
      utf8: Symbols are bytes, and those that are written are well-formed UTF-8. An
        unfinished character at the end of the prompt is finished. No character is begun
        that does not end within `length`.

    If all symbols are taken away, the text ends.

    Raises:
      InputError: If a number is out of range, or two rules contradict each other.

    Example:
      >>> Decoding(temperature=0.8, top_p=0.95).top_p
      0.95

    References:
      Keskar et al., "CTRL: a conditional transformer language model for controllable
      generation", 2019 (`repetition_penalty`).

      Fan, Lewis and Dauphin, "Hierarchical neural story generation", 2018 (`top_k`).

      Holtzman et al., "The curious case of neural text degeneration", 2020 (`top_p`).

      Nguyen et al., "Turning up the heat: min-p sampling for creative and coherent LLM
      outputs", 2024 (`min_p`).

      Meister et al., "Locally typical sampling", 2022 (`typical_p`).

      The Unicode Standard, version 16.0, table 3-7 (`utf8`).
    """

    temperature: ArrayLike = 1.0
    repetition_penalty: ArrayLike | None = None
    window: ArrayLike | None = None
    top_k: ArrayLike | None = None
    top_p: ArrayLike | None = None
    min_p: ArrayLike | None = None
    typical_p: ArrayLike | None = None
    forbid: Sequence[int] = ()
    only: Sequence[int] | None = None
    stop: Sequence[Sequence[int]] = ()
    min_length: ArrayLike | None = None
    utf8: bool = False

    def __post_init__(self) -> None:
        for name in BOUNDS:
            if getattr(self, name) is not None or name == "temperature":
                _check(name, getattr(self, name))
        if self.window is not None and self.repetition_penalty is None:
            raise InputError("window: expected a repetition_penalty with it, got none")
        for string in self.stop:
            if np.ndim(string) != 1 or not len(string):
                raise InputError(
                    "stop: expected strings of ids, each of at least one, got "
                    f"{shown(string)}"
                )


def chosen(decoding: Decoding | None, temperature: ArrayLike) -> Decoding:
    """The rules, or those of a temperature alone.

    Raises:
      InputError: If both are given.

    Example:
      >>> chosen(None, 0.8).temperature
      0.8
    """
    if decoding is None:
        return Decoding(temperature=temperature)
    if np.any(np.asarray(temperature) != 1):
        raise InputError(
            "temperature: expected none beside decoding, which has its own, got "
            f"{temperature}"
        )
    return decoding


def numbers(decoding: Decoding, name: str, rows: int) -> np.ndarray | None:
    """One of the numbers, a scalar or ``[B, 1]``; ``None`` where the rule is off.

    Raises:
      InputError: If it is an array for another number of rows.
    """
    value = getattr(decoding, name)
    if value is None:
        return None
    found = np.asarray(value)
    if found.shape not in ((), (rows,)):
        raise InputError(
            f"{name}: expected one number or one per row ({rows},), got {shown(found)}"
        )
    dtype = BOUNDS[name].dtype
    if dtype is np.int32:
        found = np.minimum(found, np.iinfo(np.int32).max // 2)
    found = found.astype(dtype)
    return found[:, None] if found.ndim else found


def allowed(decoding: Decoding, symbols: int) -> np.ndarray | None:
    """Which symbols may be written at all, ``[V]`` booleans; ``None``: all.

    Raises:
      InputError: If an id is not below `symbols`, or nothing remains.
    """
    if decoding.only is None and not len(decoding.forbid):
        return None
    kept = np.full(symbols, decoding.only is None)
    if decoding.only is not None:
        kept[ids("only", decoding.only, symbols)] = True
    kept[ids("forbid", decoding.forbid, symbols)] = False
    if not kept.any():
        raise InputError(
            "forbid: expected at least one symbol that may be written, got none left"
        )
    return kept


def ids(name: str, values: Sequence[int], symbols: int) -> np.ndarray:
    """Ids as an array.

    Raises:
      InputError: If they are no integers in ``[0, symbols)``.
    """
    found = np.asarray(values)
    if found.size == 0:
        return np.zeros(0, np.int32)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputError(f"{name}: expected a row of ids, got {shown(values)}")
    if found.min() < 0 or found.max() >= symbols:
        raise InputError(
            f"{name}: expected ids of 0 to {symbols - 1}, got "
            f"{found.min() if found.min() < 0 else found.max()}"
        )
    return found.astype(np.int32)


def _check(name, value):
    holds, expected, dtype = BOUNDS[name]
    found = np.asarray(value)
    real = found.dtype.kind in ("iu" if dtype is np.int32 else "iuf")
    if not real or found.ndim > 1 or math.prod(found.shape) == 0:
        raise InputError(f"{name}: expected {expected}, got {shown(value)}")
    wrong = ~np.asarray(holds(found), bool)
    if wrong.any():
        got = found if found.ndim == 0 else found[wrong][0]
        raise InputError(f"{name}: expected {expected}, got {got}")
