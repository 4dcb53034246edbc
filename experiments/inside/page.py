"""The page of ``look_inside.py``: a text, coloured by the values of a unit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.pages import document, name, shown, symbol_of, table, tag
from jaxtext.text import Vocabulary

SHADES = 7  # on either side of the middle

_STYLE = "".join(
    f".{side}{shade} {{ background: rgb({colour} / {0.75 * shade / SHADES:.3f}); }}\n"
    for side, colour in (("p", "225 60 20"), ("m", "40 110 220"))
    for shade in range(SHADES + 1)
)


class Finding(NamedTuple):
    """A unit that correlates with a property.

    Attributes:
      of: The property, or another reason to show the unit.
      unit: The unit's name.
      chosen: Their correlation on the text by which the unit was chosen; ``None`` if it
        was given.
      held_out: Their correlation on other text, likewise.
      values: ``[n]``: the values of the unit.
    """

    of: str
    unit: str
    chosen: float | None
    held_out: float | None
    values: np.ndarray


def page(
    title: str, vocabulary: Vocabulary, ids: np.ndarray, findings: Sequence[Finding]
) -> str:
    """The whole page.

    Args:
      title: What it is of.
      vocabulary: What the ids mean.
      ids: The text ``[n]`` that is shown.
      findings: Each is shown over the text.
    """
    heads = tag("th", "property", "unit", "correlation where chosen", "on other text")
    rows = [heads]
    for found in findings:
        numbers = (found.chosen, found.held_out)
        told = ["–" if r is None else f"{r:+.3f}" for r in numbers]
        rows.append(tag("td", found.of, found.unit, *told))
    legend = "".join(
        f'<b class="{kind}">{told}</b>'
        for kind, told in (
            (f"m{SHADES}", "low"),
            ("p0", "middle"),
            (f"p{SHADES}", "high"),
        )
    )
    parts = [table(rows), f'<p class="legend">{legend}</p>']
    for found in findings:
        parts.append(tag("h2", f"{found.of}: {found.unit}"))
        parts.append(
            f'<div class="text">{_coloured(vocabulary, ids, found.values)}</div>'
        )
    return document(title, _STYLE, parts)


def _coloured(vocabulary, ids, values):
    low, high = np.percentile(values, [1, 99])
    scaled = np.clip(2 * (values - low) / max(high - low, 1e-9) - 1, -1, 1)
    shades = np.rint(scaled * SHADES).astype(int)
    return "".join(
        symbol_of(
            shown(vocabulary, symbol),
            f"{name(vocabulary, symbol)}: {value:.3f}",
            f"{'p' if shade >= 0 else 'm'}{abs(shade)}",
        )
        for symbol, value, shade in zip(ids.tolist(), values, shades, strict=True)
    )
