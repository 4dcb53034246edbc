"""The unit that correlates most with each property of a text."""

import numpy as np

from common.values import nearest_first
from evaluation.text import Text
from inside.page import Finding
from inside.properties import properties
from inside.units import Units
from jaxtext.errors import InputError
from jaxtext.text import Vocabulary

BEFORE = 10_000_000  # characters before a part, to know what is quoted where it begins


def measures(text: Text, vocabulary: Vocabulary, count: int) -> dict[str, np.ndarray]:
    """Properties of the first `count` symbols of the part that is read."""
    if vocabulary.end is not None:  # it begins with a document
        ids = np.asarray(text.ids[:count])
    else:
        ids = _with_what_was_before(text, count)
    if vocabulary.kind == "bytes":
        read = bytes(ids.astype(np.uint8)).decode("latin-1")  # a character a byte
    else:
        read = vocabulary.decode(ids)
    return {name: measure[-count:] for name, measure in properties(read).items()}


def _with_what_was_before(text, count):
    # From the beginning of the whole: within a text nobody can say what is quoted.
    before = len(text.corpus.ids) - len(text.ids) if text.part == "validation" else 0
    begin = max(0, before - BEFORE)
    return np.asarray(text.corpus.ids[begin : before + count])


def compare(units: Units, measures: dict[str, np.ndarray]) -> list[Finding]:
    """Finds the unit that correlates most with each property, on half of a text.

    Args:
      units: Of the whole text, ``[n, U]``.
      measures: Of the whole text, ``[n]`` each. One that is constant over a half is
        left out: nothing correlates with it.
    """
    half = len(units.values) // 2
    halves = slice(0, half), slice(half, None)
    names = [
        name
        for name, measure in measures.items()
        if all(np.ptp(measure[of_half]) > 0 for of_half in halves)
    ]
    if not names:
        return []
    table = np.stack([measures[name] for name in names], 1)
    first, second = (correlations(units.values[x], table[x]) for x in halves)
    findings = []
    for k, name in enumerate(names):
        best = int(np.abs(first[:, k]).argmax())
        chosen, held_out = float(first[best, k]), float(second[best, k])
        values = units.values[:, best]
        findings.append(Finding(name, units.names[best], chosen, held_out, values))
    return sorted(findings, key=lambda f: -abs(f.held_out or 0.0))


def correlations(values: np.ndarray, measures: np.ndarray) -> np.ndarray:
    """Pearson's correlation of units with measures; 0 for a unit that is constant.

    Args:
      values: ``[n, U]``.
      measures: ``[n, M]``, none of them constant.

    Returns:
      ``[U, M]``.
    """
    centred = [x - x.mean(0, dtype=np.float64) for x in (values, measures)]
    scales = [np.sqrt((x**2).sum(0)) for x in centred]
    scale = np.outer(*scales)
    product = centred[0].T @ centred[1]
    return np.divide(product, scale, out=np.zeros(scale.shape), where=scale > 0)


def given(units: Units, name: str) -> Finding:
    """The unit of a name, or `InputError`."""
    if name not in units.names:
        first, last = units.names[0], units.names[-1]
        near = nearest_first(name, units.names)[0]
        raise InputError(
            f"--unit: expected one of {first} … {last}, got {name}; did you mean {near}"
        )
    values = units.values[:, units.names.index(name)]
    return Finding("as asked for", name, None, None, values)
