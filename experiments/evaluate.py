"""How well a trained run predicts a text: nats and bits per character, and a heat map.

    python experiments/evaluate.py --workdir runs/stdlib-lstm-1a2b3c4d
    python experiments/evaluate.py --workdir DIR --corpus my.txt --protocol cold-256
    python experiments/evaluate.py --workdir DIR --dynamic --novelty

There are two protocols, whose losses cannot be compared with one another. carried: the
text is read once, and the model remembers all of it that it can. cold-256: it is read
in consecutive windows of 256 predictions, each from the zero state, as Transformers
with a context of 256 are usually evaluated. Dynamic evaluation lets the model go on
learning from what it has predicted already (Krause et al., 2018). An ensemble predicts
with the mean of the probabilities of several runs. Either loss is reported beside the
static one. Of documents, the state does not pass from one to the next, and the loss is
that of a symbol, ends included, of a character without them, and of a document.
--novelty lets the run write, and finds how much of that is copied.

The heat map is a page of HTML in the run's directory. The result goes to standard
error, and is printed as one JSON object if standard output is not a terminal. For a
model over bytes, read byte wherever it says character.

Exit status: 0 done, 2 bad input, or standard output cannot be written, 130 stopped by
Ctrl-C.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from charlm.build import restore
from charlm.checkpoints import Which, described, read_about
from charlm.config import WINDOWS
from common.flags import build, typed
from common.pages import check_page, page_in, write_page
from common.programs import Keeping, keep_programs
from common.rules import Needs, check, option
from common.screen import Screen, print_result, screen
from common.script import script
from common.values import Count, NotNegative, Positive, Whole
from evaluation import measure
from evaluation import text as texts
from evaluation.novelty import check_installed, novelty
from evaluation.report import figures, whole_page
from jaxtext.errors import InputError
from jaxtext.text import Vocabulary
from jaxtext.training import DynamicRule

_DYNAMIC = Needs(lambda config: config.dynamic, "--dynamic with it")
_TRAINED = Needs(
    lambda config: config.dynamic or config.novelty, "--dynamic or --novelty with it"
)
_PAGE = Needs(
    lambda config: config.page_characters, "--page-characters above 0 with it"
)


def _none_or_two(config):
    one = config.page_characters == 1
    return "expected 0, or 2 or more, got 1" if one else None


@dataclass(frozen=True)
class Config(Keeping):
    """What to evaluate, on which text, and how."""

    workdir: Path
    """Directory of the run, as char_gen.py printed it."""
    corpus: tuple[str, ...] | None = None
    """Text to evaluate on, as char_gen.py takes it: files, directories, globs, URLs,
    '-', stdlib or tinyshakespeare. Default: what the run was validated on, if it is
    still where it was."""
    protocol: Literal["carried", "cold-256"] | None = None
    """carried: read the text once, with the state carried to its end. cold-256: read
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
    (dynamic evaluation). Only carried. Reported apart from the static loss."""
    novelty: bool = False
    """Also let the model write 10,000 characters, and find how many are copied from the
    training text."""
    statistics: tuple[str, ...] | None = option(None, needs=_TRAINED)
    """The text that the run was trained on, for --dynamic or --novelty with another
    one."""
    segment: Count = option(DynamicRule.segment, needs=_DYNAMIC)
    """Characters between two updates, with --dynamic."""
    rate: Positive = option(DynamicRule.rate, needs=_DYNAMIC)
    """Learning rate, with --dynamic. Choose it on another text than the one that you
    report."""
    decay: NotNegative = option(DynamicRule.decay, needs=_DYNAMIC)
    """How fast parameters return to what was trained, with --dynamic."""
    ensemble: tuple[Path, ...] = ()
    """Directories of other runs on the same text, such as other seeds. Also predict
    with the mean of the probabilities of all of them and this run (an ensemble)."""
    page: Path | None = option(None, needs=_PAGE)
    """Where to write the page with the heat map. Default: evaluation-….html in the
    run's directory."""
    page_characters: Whole = option(20_000, check=_none_or_two)
    """How many characters the page shows, from the beginning; 0 writes no page."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Evaluates, prints the result, and returns the exit status."""
    words = typed(Config, argv, __doc__)
    config = build(Config, words)
    check(config, words)
    keep_programs(config.compilation_cache)
    with screen() as display:
        result = evaluate(config, display)
    print_result(result)
    return 0


def evaluate(config: Config, display: Screen) -> dict[str, Any]:
    """Restores the model, reads the text, and measures how well they agree."""
    rule = DynamicRule(config.segment, config.rate, config.decay)
    which, warn = config.checkpoint, display.say
    about = read_about(config.workdir, which, warn=warn)
    protocol = config.protocol or about["identity"].get("eval_protocol", "carried")
    if config.dynamic and protocol != "carried":
        raise InputError(
            f"--dynamic: expected --protocol carried, got {protocol}; what has been "
            "learnt would be carried where the state is not"
        )
    vocabulary = Vocabulary.from_json(about["vocabulary"])
    display.start("reading the text", total=1)
    text = texts.read(config.corpus, config.part, config.workdir, about, display)
    display.stop()
    apart = (config.dynamic or config.novelty) and not text.own
    if apart and config.statistics is None:
        raise InputError(
            f"--{'dynamic' if config.dynamic else 'novelty'} on another text than the "
            "run was trained on needs the latter too; give it as --statistics"
        )
    if config.novelty:
        check_installed()
    others = [_member(x, which, about, warn) for x in config.ensemble]
    path = _page_path(config, text, protocol, display.say)
    model, found = restore(config.workdir, about, which=which, warn=warn)
    texts.say_what_is_read(text, about, display)

    ids, params, window = text.ids, found.arrays, WINDOWS[protocol]
    static = measure.static_loss(model, params, ids, window, display)
    size = texts.size(vocabulary, ids[1:])
    count = len(ids) - 1

    def in_units(prefix: str, nats: float) -> dict[str, Any]:
        if static.ends:
            return measure.of_documents(prefix, nats, count, static.ends)
        return measure.in_all_units(prefix, nats, count, size)

    result = {
        **measure.of_static(static, count, size),
        "bytes": size,
        "protocol": f"{protocol}-documents" if static.ends else protocol,
        "part": text.part,
        "corpus": text.corpus.name,
        "corpus_sha256": text.corpus.sha256,
        "text_sha256": texts.fingerprint(vocabulary, ids),
        "own_corpus": text.own,
        "vocab": vocabulary.kind,
        "checkpoint": which,
        "step": found.step,
        "checkpoint_is_of": described(found),
        "workdir": str(config.workdir),
    }
    train = text.train
    if config.statistics is not None:
        display.start("reading the training text", total=1)
        train = texts.read_training(config.statistics, about, display)
    if config.dynamic:
        nats = measure.dynamic_loss(model, params, train, ids, rule, display)
        result |= in_units("dynamic_", nats)
        result["dynamic"] = dataclasses.asdict(rule)
    if others:
        members = (model, params), *others
        nats = measure.ensemble_loss(members, ids, window, display)
        result |= in_units("ensemble_", nats)
        result["ensemble_of"] = len(members)
    if config.novelty:
        held_out = text.validation if text.own else ids
        of = vocabulary, train, held_out
        result["novelty"] = novelty(model, params, *of, display)
    display.stop()
    display.tell(figures(result) | ({} if path is None else {"heat map": str(path)}))
    if path is not None:
        most = config.page_characters
        of = model, params, vocabulary, ids, most, window, static
        write_page(path, whole_page(result, *of))
        result["page"] = str(path)
    return result


def _member(workdir, which, first, warn):
    """The model and the parameters of another run of an ensemble."""
    about = read_about(workdir, which, warn=warn)
    # Else it may have been trained on what is evaluated, or has other symbols.
    if _trained_on(about) != _trained_on(first):
        raise InputError(
            f"--ensemble: expected runs that were trained on the same part of the same "
            f"text as --workdir, got {workdir}"
        )
    model, found = restore(workdir, about, which=which, warn=warn)
    return model, found.arrays


def _trained_on(about):
    """Which part of which text, and in which symbols."""
    of = about["identity"]
    drawn = of["seed"] if of.get("val_split") == "documents" else None
    return of["val_fraction"], drawn, about["corpus"]["sha256"], about["vocabulary"]


def _page_path(config, text, protocol, say):
    """Where the page goes, which must be known to be possible before the work."""
    if config.page_characters == 0:
        return None
    name = f"evaluation-{text.corpus.name}-{protocol}-{text.part}.html"
    path = config.page or page_in(config.workdir, name, say)
    if path is not None:
        check_page(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
