"""Carry a trained network away: into a browser, or into another program.

    python experiments/export.py --workdir runs/stdlib-lstm-1a2b3c4d --out net.html
    python experiments/export.py --workdir DIR --out small.html --precision int8
    python experiments/export.py --workdir DIR --out net.safetensors

The ending of --out says which form the file has:

.html: one page that runs the network in any browser of today. It holds the weights and
the program, and needs no network and no other file.

.safetensors: the weights by name, with the configuration and the vocabulary. Read it
back with jaxtext.interop.load_safetensors, or with any library that knows the format.

docs/guides/carry_away.md shows how each is used. The result is printed as one JSON
object if standard output is not a terminal. Exit status: 0 done, 2 bad input, or the
file cannot be written, 130 stopped by Ctrl-C.
"""

import jaxtext.needs_experiments  # first

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jaxtext as jt
from charlm.build import restore
from charlm.checkpoints import Which, described
from charlm.samples import neutral_prompt
from common.flags import build, typed
from common.rules import Needs, check, option
from common.screen import Screen, print_result, screen
from common.script import script
from common.values import Count, Directory
from exporting import browser
from jaxtext.errors import InputError
from jaxtext.files import write_durably
from jaxtext.interop.precision import Precision
from jaxtext.runs import checkpoint
from jaxtext.text import Vocabulary

Format = Literal["html", "safetensors"]
ENDINGS: dict[str, Format] = {".html": "html", ".safetensors": "safetensors"}


def _known_ending(config):
    if config.format is None and config.out.suffix not in ENDINGS:
        return (
            f"expected one of {', '.join(ENDINGS.values())}, as --out ends in none of "
            f"{', '.join(ENDINGS)}, got {config.out}; add it"
        )
    return None


_PAGE = Needs(lambda config: form(config) == "html", "a page (--format html)")


@dataclass(frozen=True)
class Config:
    """Write a trained network to a file that other programs can use."""

    workdir: Directory
    """Directory of the run, as char_gen.py printed it."""
    out: Path
    """The file to write. If it exists, it is replaced."""
    format: Format | None = option(None, check=_known_ending)
    """Its form. Default: by the ending of --out."""
    checkpoint: Which = "best"
    """Which parameters: those that did best in validation (the latest, if nothing was
    validated), the latest ones, or those of this step, if they were kept."""
    precision: Precision = option("float16", needs=_PAGE)
    """How the page keeps the weights. int8 is half as large as float16: it has a scale
    for each output of a matrix. What the rounding costs is measured and told."""
    corpus: tuple[str, ...] | None = option(None, needs=_PAGE)
    """Text to measure that on, as evaluate.py takes it. Default: what the run was
    validated on, if it is still where it was."""
    characters: Count = option(20_000, needs=_PAGE)
    """Measure on so many characters at most, from the beginning."""
    title: str | None = option(None, needs=_PAGE)
    """The page's title. Default: the name of the run's directory."""


def form(config: Config) -> Format:
    """The form of the file."""
    return config.format or ENDINGS[config.out.suffix]


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Exports, prints the result, and returns the exit status."""
    words = typed(Config, argv, __doc__)
    config = build(Config, words)
    check(config, words)
    with screen() as display:
        result = export(config, display)
    print_result(result)
    return 0


def export(config: Config, display: Screen) -> dict[str, Any]:
    """Restores the model, and writes it in the form that is asked for."""
    out = config.out
    if not os.access(out.parent, os.W_OK | os.X_OK) or out.is_dir():
        raise InputError(f"--out: expected a file that can be written, got {out}")
    which, warn = config.checkpoint, display.say
    about = checkpoint.read_about(config.workdir, which=which, warn=warn).about
    model, found = restore(config.workdir, about, which=which, warn=warn)
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    result: dict[str, Any] = {"out": str(out), "format": form(config)}
    parts = about, model, found, vocabulary
    try:
        if form(config) == "html":
            write_durably(out, _page(config, result, display, *parts))
        else:
            names = {
                "run": config.workdir.resolve().name,
                "checkpoint": described(found),
            }
            trained_on = {"trained on": about["corpus"]["name"]}
            jt.interop.save_safetensors(
                out, model, found.arrays, vocabulary, about=names | trained_on
            )
    except OSError as error:
        raise InputError(
            f"--out: cannot write {out} ({error.strerror}); give another place"
        ) from error
    display.stop()
    result |= {"bytes": out.stat().st_size, "step": found.step}
    display.tell({"file": f"{out}, {result['bytes']:,} bytes"})
    return result


def _page(config, result, display, about, model, found, vocabulary):
    losses = browser.measured(
        model,
        found.arrays,
        config.precision,
        config.corpus,
        config.characters,
        config.workdir,
        about,
        display,
    )
    name = config.workdir.resolve().name
    of = about, found.arrays, config.precision, losses, described(found)
    page = jt.interop.to_html(
        model,
        found.arrays,
        vocabulary,
        precision=config.precision,
        title=config.title or name,
        details=browser.details(*of),
        prompt=neutral_prompt(vocabulary),
    )
    result["precision"] = config.precision
    if losses is not None:
        result["nats_per_char_float32"] = losses.before
        result["nats_per_char"] = losses.after
        change = losses.after - losses.before
        display.tell(
            {
                "float32": f"{losses.before:.4f} nats per character",
                config.precision: f"{losses.after:.4f}, {change:+.4f}",
            }
        )
    return page.encode()


if __name__ == "__main__":
    sys.exit(main())
