"""Which unit of a trained network knows that it is inside a quotation, or a bracket?

    python experiments/look_inside.py --workdir runs/stdlib-lstm-1a2b3c4d
    python experiments/look_inside.py --workdir DIR --corpus F --unit "layer 1, c[7]"
    python experiments/look_inside.py --workdir DIR --checkpoint latest

The network reads a text; of its own that part which it did not learn from. Its states
and gates are compared with what is true at each place: inside quotation marks, inside
brackets, in a comment, in a line that names a speaker; how far into the line, how deep
its indentation, how long the word. On the first half of the text the unit is chosen
that correlates with a property most; on the other half, which had no part in that, the
correlation is measured again. The page shows that half, coloured by what the unit does.

What was found is printed as one JSON object where standard output is no terminal. Exit
status: 0 done, 2 bad input, or standard output cannot be written, 130 stopped by
Ctrl-C.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from charlm.build import restore
from charlm.checkpoints import Which, described
from common.flags import read
from common.pages import check_page, page_in, write_page
from common.screen import Screen, print_result, screen
from common.values import Directory, at_least, nearest_first
from evaluation import text as eval_text
from inside.page import Finding, page
from inside.properties import properties
from inside.units import Units, watch
from jaxtext.errors import InputError
from jaxtext.runs import checkpoint
from jaxtext.streams import script
from jaxtext.text import Vocabulary

SHOWN = 3000  # characters, of each unit
LEAST = 100  # characters that can tell anything
BEFORE = 10_000_000  # characters before a part, to know what is quoted where it begins


@dataclass(frozen=True)
class Config:
    """Which unit of a trained network knows what of the text that it reads?"""

    workdir: Directory
    """Directory of the run, as char_gen.py printed it."""
    corpus: tuple[str, ...] | None = None
    """Text to read, as evaluate.py takes it. Default: what the run was validated on, if
    it is still where it was."""
    checkpoint: Which = "best"
    """Which parameters: those that did best in validation (the latest, if nothing was
    validated), the latest ones, or those of this step, if they were kept."""
    characters: Annotated[int, at_least(LEAST)] = 20_000
    """Read so many from the beginning."""
    unit: tuple[str, ...] = ()
    """Also show these units, such as "layer 1, c[7]"; gates are i, f and o of an LSTM,
    r and z of a GRU."""
    page: Path | None = None
    """Where the page goes. Default: look-inside.html in the run's directory, unless
    that is read-only."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Looks, and returns the exit status."""
    config = read(Config, argv, __doc__)
    with screen() as display:
        result = look(config, display)
    print_result(result)
    return 0


def look(config: Config, display: Screen) -> dict[str, Any]:
    """Reads the text, compares, writes the page, and says what was found."""
    which = config.checkpoint
    about = checkpoint.read_about(config.workdir, which=which, warn=display.say).about
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    display.start("reading the text", total=1)
    text = eval_text.read(config.corpus, None, config.workdir, about, display)
    display.stop()
    if len(text.ids) < LEAST:
        raise InputError(
            f"--corpus: expected {LEAST} characters or more, got {len(text.ids)}"
        )
    if text.own and text.part == "all":
        display.say("note: the run was trained on this text, or on most of it")
    page_path = config.page or page_in(config.workdir, "look-inside.html", display.say)
    if page_path is not None:
        check_page(page_path)
    ids = np.asarray(text.ids[: config.characters]).astype(np.int32)
    model, found = restore(config.workdir, about, which=which, warn=display.say)
    display.say(f"reading by the checkpoint of {described(found)}")
    units = watch(model, found.arrays, ids, about["identity"])
    findings = compare(units, _measures(text, vocabulary, len(ids)))
    findings += [_given(units, name) for name in config.unit]
    if not findings:
        raise InputError(
            "--corpus: nothing of what is looked for is now so and now not in this text"
        )
    for f in findings:
        if f.held_out is not None:
            display.say(f"  {f.of:<32} {f.unit:<20} {f.held_out:+.3f}")
    half = len(ids) // 2
    if page_path is not None:
        title = f"Inside {config.workdir.resolve().name}, reading {text.corpus.name}"
        shown = [f._replace(values=f.values[half : half + SHOWN]) for f in findings]
        write_page(page_path, page(title, vocabulary, ids[half : half + SHOWN], shown))
    written = None if page_path is None else str(page_path)
    measured = {
        f.of: {"unit": f.unit, "chosen": f.chosen, "held_out": f.held_out}
        for f in findings
        if f.chosen is not None
    }
    if written is not None:
        display.say(f"  page  {written}")
    return {
        "found": measured,
        "characters": len(ids),
        "step": found.step,
        "page": written,
    }


def _measures(text, vocabulary, count):
    """Properties of the first `count` symbols of the part that is read."""
    # From the beginning of the whole: within a text nobody can say what is quoted.
    before = len(text.corpus.ids) - len(text.ids) if text.part == "validation" else 0
    begin = max(0, before - BEFORE)
    ids = np.asarray(text.corpus.ids[begin : before + count])
    if vocabulary.kind == "bytes":
        read = bytes(ids.astype(np.uint8)).decode("latin-1")  # a character a byte
    else:
        read = vocabulary.decode(ids)
    return {name: measure[-count:] for name, measure in properties(read).items()}


def compare(units: Units, measures: dict[str, np.ndarray]) -> list[Finding]:
    """For each property the unit that goes with it most, on the first half of a text.

    Args:
      units: Of the whole text, ``[n, U]``.
      measures: Of the whole text, ``[n]`` each. What is the same all over either half
        is left out: nothing correlates with it.
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


def _given(units, name):
    if name not in units.names:
        first, last = units.names[0], units.names[-1]
        near = nearest_first(name, units.names)[0]
        raise InputError(
            f"--unit: expected one of {first} … {last}, got {name}; did you mean {near}"
        )
    values = units.values[:, units.names.index(name)]
    return Finding("as asked for", name, None, None, values)


if __name__ == "__main__":
    sys.exit(main())
