"""Talk with a trained run: type, see it written on; the state is kept between turns.

    python experiments/talk.py --workdir runs/stdlib-lstm-1a2b3c4d
    python experiments/talk.py --workdir DIR --temperature 0.5 --top-p 0.9
    python experiments/talk.py --workdir DIR < lines.txt > answers.txt

Each line that you type is continued from where it ends. Lines that begin with / are
commands: they change how it writes (/temperature 0.7, /top-p off), /undo the last turn,
write it /again, /reset the text, or /quit. /help lists all. Ctrl-C stops the writing of
a turn.

Standard output has what the network writes, with a new line after each turn, and
standard error all else. The same lines with the same seed write the same text. The
network begins as after a new line.

Exit status: 0 done, or the reader has enough; 2 bad input, or standard output cannot be
written; 130 stopped by Ctrl-C.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from charlm.build import restore
from charlm.checkpoints import Which, described
from common.flags import read
from common.script import script
from common.values import Directory
from jaxtext.runs import checkpoint
from jaxtext.streams import say
from jaxtext.text import Vocabulary
from talking.settings import Settings, settings_of
from talking.terminal import Conversation
from talking.text import Network


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Talk with a trained run."""

    workdir: Directory
    """Directory of the run, as char_gen.py printed it."""
    checkpoint: Which = "best"
    """Which parameters: those that did best in validation (the latest, if nothing was
    validated), the latest ones, or those of this step, if they were kept."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Talks until the input ends, and returns the exit status."""
    config = read(Config, argv, __doc__)
    which = config.checkpoint
    about = checkpoint.read_about(config.workdir, which=which, warn=_warn).about
    model, found = restore(config.workdir, about, which=which, warn=_warn)
    network = Network(model, found.arrays, Vocabulary.from_json(about["vocabulary"]))
    say(f"note: from the checkpoint of {described(found)}")
    Conversation(network, settings_of(config)).run()
    return 0


def _warn(text):
    say(f"warning: {text}")


if __name__ == "__main__":
    sys.exit(main())
