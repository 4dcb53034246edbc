"""Make a file smaller with a trained run, and bring it back: the loss as a file size.

    python experiments/compress.py --workdir runs/my-lstm-1a2b3c4d my.txt
    python experiments/compress.py --workdir DIR --decompress my.txt.jtz --out again.txt
    python experiments/compress.py --workdir DIR --streams 64 --out small.jtz my.txt

An arithmetic coder spends -log2 p bits on a character that the model gave the
probability p. So the file has the size that evaluate.py --protocol carried reports in
bits, and a header of 500 bytes. --dynamic compresses by dynamic evaluation.

Any file comes back to the byte. What the run's vocabulary lacks is kept apart and
compressed by LZMA: a binary file needs a run over bytes (--vocab bytes) to be smaller.

Do not keep your only copy so. To decompress, the model has to compute the same
probabilities to the last bit. That needs the same run, the same versions of jaxtext and
JAX, and the same kind of device and processor. The file knows them. They are checked
before the work, and a SHA-256 of the original at its end. A file that is not right is
never written.

The result goes to standard error, and is printed as one JSON object if standard output
is not a terminal.

Exit status: 0 done, 2 bad input, or a file cannot be written, 130 stopped by Ctrl-C.
"""

import jaxtext.needs_experiments  # (first)

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jaxtext as jt
from charlm.build import restore
from charlm.checkpoints import Which, described, read_about
from common.flags import build, typed
from common.programs import Keeping, keep_programs
from common.rules import Needs, check, option
from common.screen import Screen, print_result, screen
from common.script import script
from common.values import Count, Directory, NotNegative, Positive
from evaluation import text as texts
from evaluation.measure import gradient_statistics
from jaxtext.compression import Learning
from jaxtext.errors import InputError
from jaxtext.files import write_durably
from jaxtext.text import Vocabulary
from jaxtext.text.formats import reading
from jaxtext.training import DynamicRule
from jaxtext.types import Params

ENDING = ".jtz"

_COMPRESSING = Needs(
    lambda config: not config.decompress, "no --decompress with it (the file knows)"
)
_DYNAMIC = Needs(lambda config: config.dynamic, "--dynamic with it")


def _one_stream(config):
    if config.dynamic and config.streams > 1:
        return f"expected 1 with --dynamic, got {config.streams}; leave one of them out"
    return None


@dataclass(frozen=True)
class Config(Keeping):
    """What to compress or to bring back, and with which run."""

    workdir: Directory
    """Directory of the run, as char_gen.py printed it."""
    file: Path = field(metadata={"bare": True})
    """The file to compress, or to decompress. The flag itself may be left out."""
    decompress: bool = False
    """Bring back the original of FILE."""
    out: Path | None = None
    """Where to write; a file there is replaced. Default: FILE with .jtz at its end, and
    without it to decompress, unless there is such a file already."""
    checkpoint: Which | None = option(None, needs=_COMPRESSING)
    """Which parameters: best (those that did best in validation), latest, or those of
    this step, if they were kept. Default: best; to decompress, those of the file."""
    streams: Count = option(1, needs=_COMPRESSING, check=_one_stream)
    """Cut the text into so many parts, which are read side by side. Many are faster.
    Each begins with nothing read, which makes the file larger."""
    dynamic: bool = option(False, needs=_COMPRESSING)
    """Let the model learn from what it has coded already, segment by segment (dynamic
    evaluation). Reads the text that the run was trained on."""
    statistics: tuple[str, ...] | None = None
    """The text that the run was trained on, for --dynamic, or to decompress what was
    made with it. Default: that text where it was."""
    segment: Count = option(DynamicRule.segment, needs=_DYNAMIC)
    """Characters between two updates, with --dynamic."""
    rate: Positive = option(DynamicRule.rate, needs=_DYNAMIC)
    """Learning rate, with --dynamic."""
    decay: NotNegative = option(DynamicRule.decay, needs=_DYNAMIC)
    """How fast parameters return to what was trained, with --dynamic."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Compresses or decompresses, prints the result, and returns the exit status."""
    words = typed(Config, argv, __doc__)
    config = build(Config, words)
    check(config, words)
    keep_programs(config.compilation_cache)
    with screen() as display:
        result = (decompress if config.decompress else compress)(config, display)
    print_result(result)
    return 0


def compress(config: Config, display: Screen) -> dict[str, Any]:
    """Compresses the file, and tells how large it became."""
    out = _place(config, Path(f"{config.file}{ENDING}"))
    data = _read(config.file)
    run = _restore(config, config.checkpoint or "best", display)
    learning = None
    if config.dynamic:
        rule = DynamicRule(config.segment, config.rate, config.decay)
        learning = _learning(config, run, rule, display)
    display.start("compressing", len(data), slow=True)
    began = time.monotonic()
    made = jt.compression.compress(
        *run.model,
        data,
        streams=config.streams,
        learning=learning,
        note={"step": run.step},
        progress=display.advance,
    )
    seconds = time.monotonic() - began
    display.stop()
    _write(out, made.file)
    header, size, before = made.header, len(made.file), max(1, len(data))
    unit = "byte" if run.model.vocabulary.kind == "bytes" else "character"
    result = {
        "bytes": len(data),
        "compressed_bytes": size,
        "code_bytes": header.code,
        "rest_bytes": header.rest,
        "header_bytes": size - header.code - header.rest,
        "bits_per_byte": 8 * size / before,
        "symbols": header.symbols,
        "code_bits_per_symbol": 8 * header.code / max(1, header.symbols),
        "model_bits": made.bits,
        "streams": header.streams,
        "dynamic": header.dynamic,
        "seconds": seconds,
        "step": run.step,
        "out": str(out),
    }
    rows = {
        "compressed": f"{len(data):,} bytes to {size:,}, {size / before:.1%}, "
        f"{result['bits_per_byte']:.4f} bits per byte",
        "code": f"{header.code:,} bytes for {header.symbols:,} {unit}s; the model's "
        f"loss is {made.bits / 8:,.0f}",
    }
    if header.rest:
        rows["rest"] = f"{header.rest:,} bytes for what the vocabulary lacks"
    _tell(rows, header, seconds, out, unit, display)
    return result


def decompress(config: Config, display: Screen) -> dict[str, Any]:
    """Brings the original back, and tells where it is."""
    if config.out is None and config.file.suffix != ENDING:
        raise InputError(
            f"--out: expected a place to write, as {config.file} does not end in "
            f"{ENDING}, got none"
        )
    out = _place(config, config.file.with_suffix(""))
    file = _read(config.file)
    header = jt.compression.read_header(file)
    run = _restore(config, header.note.get("step", "best"), display)
    learning = None
    if header.dynamic is not None:
        rule = DynamicRule(**header.dynamic)
        learning = _learning(config, run, rule, display)
    display.start("decompressing", header.symbols, slow=True)
    began = time.monotonic()
    data = jt.compression.decompress(
        *run.model, file, learning=learning, progress=display.advance
    )
    seconds = time.monotonic() - began
    display.stop()
    _write(out, data)
    rows = {"decompressed": f"{len(file):,} bytes to {len(data):,}, as they were"}
    unit = "byte" if run.model.vocabulary.kind == "bytes" else "character"
    _tell(rows, header, seconds, out, unit, display)
    sizes = {"bytes": len(data), "compressed_bytes": len(file)}
    return sizes | {"seconds": seconds, "step": run.step, "out": str(out)}


class _Model(NamedTuple):
    model: jt.LanguageModel
    params: Params
    vocabulary: Vocabulary


class _Run(NamedTuple):
    model: _Model
    about: dict[str, Any]
    step: int


def _restore(config, which, display):
    """The run's model, from a checkpoint."""
    about = read_about(config.workdir, which, warn=display.say)
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    model, found = restore(config.workdir, about, which=which, warn=display.say)
    display.say(f"note: with the checkpoint of {described(found)}")
    return _Run(_Model(model, found.arrays, vocabulary), about, found.step)


def _learning(config, run, rule, display):
    """What dynamic evaluation needs, from the text that the run was trained on."""
    specs = config.statistics or texts.trained_on(config.workdir, run.about)
    display.start("reading the training text", total=1)
    train = texts.read_training(specs, run.about, display)
    model, params, _ = run.model
    return Learning(rule, gradient_statistics(model, params, train, rule, display))


def _tell(rows, header, seconds, out, unit, display):
    how = "dynamic evaluation" if header.dynamic else "carried"
    if header.streams > 1:
        how += f", {header.streams} streams"
    speed = f"{seconds:.1f} s, {header.symbols / seconds:,.0f} {unit}s/s"
    display.tell(rows | {"protocol": how, "time": speed, "file": str(out)})


def _place(config, default):
    """Where to write, which must be known to be possible before the work."""
    out = config.out or default
    if config.out is None and out.exists():
        raise InputError(
            f"{out} is there already; remove it, or say where to write as --out"
        )
    writable = os.access(out.parent, os.W_OK | os.X_OK) and not out.is_dir()
    if not writable or (out.exists() and out.samefile(config.file)):
        raise InputError(f"cannot write {out}; give another place as --out")
    return out


def _read(path):
    with reading(path):
        return path.read_bytes()


def _write(path, data):
    try:
        write_durably(path, data)
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror}); give another place as --out"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
