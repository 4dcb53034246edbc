"""Carry a trained network away: into a browser, or into another program.

    python experiments/export.py --workdir runs/stdlib-lstm-1a2b3c4d --out net.html
    python experiments/export.py --workdir DIR --out small.html --precision int8
    python experiments/export.py --workdir DIR --out net.safetensors

The ending of --out says which form the file has:

.html: one page that runs the network in any browser of today. It holds the weights and
the program, and needs no network and no other file.

.safetensors: the weights by name, with configuration and vocabulary.
.jax: functions of jax.export for CPU, GPU and TPU, which need JAX and no jaxtext.
.pt: the state_dict of a module of PyTorch, for an RNN, LSTM or GRU without layer norm.

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
from charlm.checkpoints import Which, described, read_about
from charlm.samples import neutral_prompt
from common.flags import build, typed
from common.rules import Needs, check, option
from common.screen import Screen, print_result, screen
from common.script import script
from common.values import Count, Directory
from exporting import browser
from exporting.files import Run, write_jax, write_safetensors, write_torch
from jaxtext.errors import InputError
from jaxtext.files import write_durably
from jaxtext.interop.precision import Precision
from jaxtext.text import Vocabulary

Format = Literal["html", "safetensors", "jax", "torch"]
ENDINGS: dict[str, Format] = {
    ".html": "html",
    ".safetensors": "safetensors",
    ".jax": "jax",
    ".pt": "torch",
}
FILES = {"safetensors": write_safetensors, "jax": write_jax, "torch": write_torch}


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
    about = read_about(config.workdir, which, warn=warn)
    model, found = restore(config.workdir, about, which=which, warn=warn)
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    run = Run(config.workdir, about, model, found.arrays, vocabulary, described(found))
    result: dict[str, Any] = {"out": str(out), "format": form(config)}
    try:
        if form(config) == "html":
            result |= _write_page(config, run, display)
        else:
            FILES[form(config)](run, out)
    except OSError as error:
        raise InputError(
            f"--out: cannot write {out} ({error.strerror}); give another place"
        ) from error
    result |= {"bytes": out.stat().st_size, "step": found.step}
    display.tell({"file": f"{out}, {result['bytes']:,} bytes"})
    return result


def _write_page(config: Config, run: Run, display: Screen) -> dict[str, Any]:
    """Writes the page, and returns what there is to say about it."""
    precision = config.precision
    losses = browser.measured(run, precision, config.corpus, config.characters, display)
    display.stop()
    page = jt.interop.to_html(
        run.model,
        run.params,
        run.vocabulary,
        precision=precision,
        title=config.title or run.name,
        details=browser.details(run, precision, losses),
        prompt=neutral_prompt(run.vocabulary),
    )
    write_durably(config.out, page.encode())
    if losses is None:
        return {"precision": precision}
    change = losses.after - losses.before
    display.tell(
        {
            "float32": f"{losses.before:.4f} nats per character",
            precision: f"{losses.after:.4f}, {change:+.4f}",
        }
    )
    return {
        "precision": precision,
        "nats_per_char_float32": losses.before,
        "nats_per_char": losses.after,
    }


if __name__ == "__main__":
    sys.exit(main())
