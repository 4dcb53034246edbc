"""How well a trained run predicts a text: nats and bits per character, and a heat map.

    python experiments/evaluate.py --workdir runs/stdlib-lstm-1a2b3c4d
    python experiments/evaluate.py --workdir DIR --corpus my.txt --protocol cold-256
    python experiments/evaluate.py --workdir DIR --corpus my.txt --dynamic

Two protocols, which are not to be compared with one another. carried: the text is read
once, and the model remembers all of it that it can. cold-256: it is read in consecutive
windows of 256 predictions, each from the zero state, as Transformers with a context of
256 are usually evaluated. Dynamic evaluation, a third thing, lets the model go on
learning from what it has predicted already (Krause et al., 2018); it is reported
apart from the static loss, and beside it.

The heat map is a page of HTML in the run's directory. What was found is said on
standard error, and printed as one JSON object where standard output is no terminal. For
a model over bytes, read byte wherever it says character.

Exit status: 0 done, 2 bad input, or standard output cannot be written, 130 stopped by
Ctrl-C.
"""

import jaxtext.needs_experiments

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import jaxtext as jt
from charlm.build import restore
from charlm.checkpoints import Which, described
from charlm.config import WINDOWS
from common.flags import Typed, build, flag, typed
from common.pages import check_page, page_in, write_page
from common.screen import Screen, print_result, screen
from common.values import Count, NotNegative, Positive, Whole
from evaluation import page as eval_page
from evaluation import text as eval_text
from jaxtext.errors import InputError
from jaxtext.runs import checkpoint
from jaxtext.streams import script
from jaxtext.text import Vocabulary
from jaxtext.training import DynamicRule, evaluate_dynamic, gradient_rms
from jaxtext.training import predictions as predict

GUESSES = 3  # that the page tells of each symbol
# Gradient statistics, as in Krause et al.'s own program: 100 streams, in segments of
# the length that dynamic evaluation takes; of so many batches at most.
STREAMS, BATCHES = 100, 50


@dataclass(frozen=True)
class Config:
    """What to evaluate, on which text, and how."""

    workdir: Path
    """Directory of the run, as char_gen.py printed it."""
    corpus: tuple[str, ...] | None = None
    """Text to evaluate on, as char_gen.py takes it: files, directories, globs, '-',
    stdlib or tinyshakespeare. Default: what the run was validated on, if it is still
    where it was."""
    protocol: Literal["carried", "cold-256"] | None = None
    """carried: read the text once, the state carried to its end. cold-256: consecutive
    windows of 256 predictions, each from the zero state, as nanoGPT is evaluated.
    Default: as the run was validated."""
    part: Literal["validation", "all"] | None = None
    """Which part of the text. validation: what the run kept for that, at its end.
    Default: validation for the text that the run was trained on, all of any other."""
    checkpoint: Which = "best"
    """Which parameters: those that did best in validation (the latest, if nothing was
    validated), the latest ones, or those of this step, if they were kept."""
    dynamic: bool = False
    """Also let the model learn from what it has predicted already, segment by segment
    (dynamic evaluation). Only carried. Told apart from the static loss."""
    statistics: tuple[str, ...] | None = None
    """Where --corpus is another text than the run was trained on, the latter, for
    --dynamic: it measures there how large the gradient of each parameter is."""
    segment: Count = DynamicRule.segment
    """Characters between two updates, with --dynamic."""
    rate: Positive = DynamicRule.rate
    """Learning rate, with --dynamic. Choose it on another text than the one that you
    report."""
    decay: NotNegative = DynamicRule.decay
    """How fast parameters return to what was trained, with --dynamic."""
    page: Path | None = None
    """Where the page with the heat map is written. Default: evaluation-….html in the
    run's directory, unless that is read-only."""
    page_characters: Whole = 20_000
    """The page shows so many characters from the beginning; 0 writes none."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Evaluates, prints the result, and returns the exit status."""
    words = typed(Config, argv, __doc__)
    config = build(Config, words)
    rule = _check(config, words)
    with screen() as display:
        result = evaluate(config, rule, display)
    print_result(result)
    return 0


def evaluate(config: Config, rule: DynamicRule, display: Screen) -> dict[str, Any]:
    """Restores the model, reads the text, and says how well they agree."""
    about = checkpoint.read_about(
        config.workdir, which=config.checkpoint, warn=display.say
    ).about
    protocol = _protocol(config, about)
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    display.start("reading the text", total=1)
    text = eval_text.read(config.corpus, config.part, config.workdir, about, display)
    display.stop()
    if config.dynamic and not text.own and config.statistics is None:
        raise InputError(
            "--dynamic on another text than the run was trained on needs the latter "
            "too, for gradient statistics; give it as --statistics"
        )
    path = _page_path(config, text, protocol, display.say)
    model, found = restore(
        config.workdir, about, which=config.checkpoint, warn=display.say
    )
    if text.own and text.part == "all":
        display.say("note: the run was trained on this text, or on most of it")
    if text.own and about["identity"]["characters"] is not None:
        display.say(
            f"note: the run's corpus is the first {len(text.corpus.ids):,} characters "
            "of this text; what follows them is not read"
        )

    window = WINDOWS[protocol]
    nats, by_position = _static(model, found.arrays, text.ids, window, display)
    size = eval_text.size(vocabulary, text.ids[1:])
    result = {
        **_measures("", nats, len(text.ids) - 1, size),
        "characters": len(text.ids) - 1,
        "bytes": size,
        "protocol": protocol,
        "part": text.part,
        "corpus": text.corpus.name,
        "corpus_sha256": text.corpus.sha256,
        "text_sha256": eval_text.fingerprint(vocabulary, text.ids),
        "own_corpus": text.own,
        "vocab": vocabulary.kind,
        "checkpoint": config.checkpoint,
        "step": found.step,
        "checkpoint_is_of": described(found),
        "workdir": str(config.workdir),
    }
    if config.dynamic:
        train = text.train
        if config.statistics is not None:
            display.start("reading the training text", total=1)
            train = eval_text.read_training(config.statistics, about, display)
        nats = _dynamic(model, found.arrays, train, text.ids, rule, display)
        result |= _measures("dynamic_", nats, len(text.ids) - 1, size)
        result["dynamic"] = dataclasses.asdict(rule)
    display.stop()
    display.tell(_figures(result) | ({} if path is None else {"heat map": str(path)}))
    if path is not None:
        shown = np.asarray(text.ids[: config.page_characters])
        k = min(GUESSES, len(vocabulary))
        said = predict(model, found.arrays, shown, window=window, likeliest=k)
        heat = eval_page.heat_map(vocabulary, shown, said, window)
        write_page(path, _page(result, len(text.ids), len(shown), by_position, heat))
        result["page"] = str(path)
    return result


def _check(config: Config, words: Typed) -> DynamicRule:
    """Checks what can be checked before anything is read."""
    for name in ("statistics", "segment", "rate", "decay"):
        if name in words and not config.dynamic:
            raise InputError(
                f"{flag(name)}: expected --dynamic with it, got "
                f"{getattr(config, name)}; add --dynamic, or leave it out"
            )
    if config.page_characters == 1:
        raise InputError("--page-characters: expected 0, or 2 or more, got 1; mend it")
    if config.page is not None and config.page_characters == 0:
        raise InputError(
            f"--page: expected --page-characters above 0 with it, got {config.page}; "
            "leave one of them out"
        )
    return DynamicRule(config.segment, config.rate, config.decay)


def _protocol(config, about):
    """How the text is read: as is asked for, or as the run read it."""
    protocol = config.protocol or about["identity"].get("eval_protocol", "carried")
    if config.dynamic and protocol != "carried":
        raise InputError(
            f"--dynamic: expected --protocol carried, got {protocol}; what has been "
            "learnt would be carried where the state is not"
        )
    return protocol


def _page_path(config, text, protocol, say):
    """Where the page goes, which must be known to be possible before the work."""
    if config.page_characters == 0:
        return None
    name = f"evaluation-{text.corpus.name}-{protocol}-{text.part}.html"
    path = config.page or page_in(config.workdir, name, say)
    if path is not None:
        check_page(path)
    return path


def _static(model, params, ids, window, display):
    """Nats per symbol, and by position in the window: where, nats, how many."""
    display.start("evaluating", len(ids) - 1)
    total, done = 0.0, 0
    sums, counts = np.zeros(window or 1), np.zeros(window or 1, int)
    for piece in predict(model, params, ids, window=window, progress=display.advance):
        total += float(piece.nats.sum(dtype=np.float64))
        if window:
            at = np.arange(done, done + len(piece.nats)) % window
            sums += np.bincount(at, piece.nats, window)
            counts += np.bincount(at, minlength=window)
        done += len(piece.nats)
    by_position, begin, end = [], 0, 1
    while window and begin < window:
        if count := int(counts[begin:end].sum()):
            where = f"{end}" if end - begin == 1 else f"{begin + 1}–{end}"
            by_position.append((where, float(sums[begin:end].sum()) / count, count))
        begin, end = end, min(2 * end, window)
    return total / done, by_position


def _dynamic(model, params, train, ids, rule, display):
    """Nats per symbol while the model goes on learning."""
    size, length = jt.text.fit(len(train), STREAMS, rule.segment)
    streams = jt.text.Streams(train, size, length)
    count = min(BATCHES, streams.batches_per_epoch)
    display.start("gradient statistics", count)

    def batches():
        for k in range(count):
            display.advance(k)
            yield streams.batch(seed=0, k=k)

    rms = gradient_rms(model, params, batches())
    display.start("dynamic evaluation", len(ids) - 1)
    return evaluate_dynamic(model, params, rms, ids, rule, progress=display.advance)


def _measures(prefix, nats, count, size):
    """The loss in all its units; `size` bytes are what `count` symbols stand for."""
    return {
        f"{prefix}nats_per_char": nats,
        f"{prefix}bits_per_char": nats / math.log(2),
        f"{prefix}nats_per_byte": nats * count / size,
        f"{prefix}bits_per_byte": nats * count / size / math.log(2),
        f"{prefix}perplexity": math.exp(min(nats, 700.0)),  # beyond, no float has it
    }


def _figures(result):
    """What was found, as a person reads it."""
    unit = "byte" if result["vocab"] == "bytes" else "character"
    figures = {
        "text": f"{result['corpus']}, {result['part']}: {result['characters']:,} "
        f"{unit}s predicted",
        "protocol": result["protocol"],
        "checkpoint": f"{result['checkpoint']}: {result['checkpoint_is_of']}",
    }
    names = {"": "static", "dynamic_": "dynamic evaluation"}
    for prefix, name in names.items():
        if f"{prefix}nats_per_char" in result:
            figures[name] = (
                f"{result[prefix + 'nats_per_char']:.4f} nats and "
                f"{result[prefix + 'bits_per_char']:.4f} bits per {unit}, "
                f"{result[prefix + 'bits_per_byte']:.4f} bits per byte, "
                f"perplexity {result[prefix + 'perplexity']:.3f}"
            )
    return figures


def _page(result, length, shown, by_position, heat):
    notes = []
    if shown < length:
        notes.append(
            f"The first {shown:,} of {length:,}; --page-characters shows more."
        )
    if "dynamic" in result:
        notes.append("The colours are those of the static model.")
    if result["protocol"] != "carried":
        notes.append("A blue line: here a window begins, from the zero state.")
    title = f"{Path(result['workdir']).resolve().name} on {result['corpus']}"
    return eval_page.page(title, _figures(result), notes, by_position, heat)


if __name__ == "__main__":
    sys.exit(main())
