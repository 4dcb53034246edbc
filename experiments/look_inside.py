"""Which unit of a trained network knows that it is inside a quotation, or a bracket?

    python experiments/look_inside.py --workdir runs/stdlib-lstm-1a2b3c4d
    python experiments/look_inside.py --workdir DIR --corpus F --unit "layer 1, c[7]"
    python experiments/look_inside.py --workdir DIR --checkpoint latest

The network reads a text: by default the part of its own that it did not learn from. Its
states and gates are compared with properties of each place: inside quotation marks,
inside brackets, in a comment, in a line that names a speaker; the column, the
indentation, the length of the word so far. For each property, the unit that correlates
most with it is chosen on the first half of the text, and the correlation is measured
again on the other half. The page shows the other half, coloured by the unit's values.

The result is printed as one JSON object if standard output is not a terminal. Exit
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
from charlm.checkpoints import Which, described, read_about
from common.flags import read
from common.pages import check_page, page_in, write_page
from common.programs import Keeping, keep_programs
from common.screen import Screen, print_result, screen
from common.script import script
from common.values import Directory, at_least
from evaluation import text as eval_text
from inside.compare import compare, given, measures
from inside.page import page
from inside.units import watch
from jaxtext.errors import InputError
from jaxtext.text import Vocabulary

SHOWN = 3000  # characters, of each unit
LEAST = 100  # characters that can tell anything


@dataclass(frozen=True)
class Config(Keeping):
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
    """Read so many characters from the beginning."""
    unit: tuple[str, ...] = ()
    """Also show these units, such as "layer 1, c[7]"; gates are i, f and o of an LSTM,
    r and z of a GRU."""
    page: Path | None = None
    """Where to write the page. Default: look-inside.html in the run's directory, unless
    that is read-only."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Looks, and returns the exit status."""
    config = read(Config, argv, __doc__)
    keep_programs(config.compilation_cache)
    with screen() as display:
        result = look(config, display)
    print_result(result)
    return 0


def look(config: Config, display: Screen) -> dict[str, Any]:
    """Reads the text, compares, writes the page, and returns the result."""
    which = config.checkpoint
    about = read_about(config.workdir, which, warn=display.say)
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
    display.say(f"reading with the checkpoint of {described(found)}")
    units = watch(model, found.arrays, ids, about["identity"])
    findings = compare(units, measures(text, vocabulary, len(ids)))
    findings += [given(units, name) for name in config.unit]
    if not findings:
        raise InputError(
            "--corpus: expected a text in which a property varies, got none"
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


if __name__ == "__main__":
    sys.exit(main())
