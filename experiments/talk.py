"""Talk with a trained run: type, see it written on; the state is kept between turns.

    python experiments/talk.py --workdir runs/stdlib-lstm-1a2b3c4d
    python experiments/talk.py --workdir DIR --temperature 0.5 --top-p 0.9
    python experiments/talk.py --workdir DIR --serve

Each line that you type is continued from where it ends. Lines that begin with / are
commands: they change how it writes (/temperature 0.7, /top-p off), /undo the last turn,
write it /again, /reset the text, or /quit. /help lists all. Ctrl-C stops the writing of
a turn.

--serve shows a page instead, which only this machine can open. It colours each
character by its surprisal, and shows what else the network expected there: click one of
these, and the text continues from it.

Without a terminal, each line of standard input is a turn. Standard output has what the
network writes, with a new line after each turn, and standard error all else. The same
lines with the same seed write the same text. The network begins as after a new line.

Exit status: 0 done, or the reader has enough; 2 bad input, or standard output cannot be
written; 130 stopped by Ctrl-C.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from charlm.build import restore
from charlm.checkpoints import Which, described, read_about
from common.flags import read
from common.programs import Keeping, keep_programs
from common.script import script
from common.values import Bound, Directory
from jaxtext.streams import say
from jaxtext.text import Vocabulary
from talking.server import Server
from talking.settings import Settings, settings_of
from talking.terminal import Conversation
from talking.text import Network

PORT = 8000
Port: TypeAlias = Annotated[
    int, Bound(lambda x: 0 <= x < 2**16, f"a port, 0 to {2**16 - 1}")
]


@dataclass(frozen=True, kw_only=True)
class Config(Keeping, Settings):
    """Talk with a trained run."""

    workdir: Directory
    """Directory of the run, as char_gen.py printed it."""
    serve: Port | None = field(default=None, metadata={"alone": PORT})
    """Show a page on this port, 8000 if none is named; 0 takes any that is free."""
    checkpoint: Which = "best"
    """Which parameters: those that did best in validation (the latest, if nothing was
    validated), the latest ones, or those of this step, if they were kept."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Talks until the input ends, and returns the exit status."""
    config = read(Config, argv, __doc__)
    keep_programs(config.compilation_cache)
    which = config.checkpoint
    about = read_about(config.workdir, which, warn=_warn, of_any=True)
    model, found = restore(config.workdir, about, which=which, warn=_warn)
    network = Network(model, found.arrays, Vocabulary.from_json(about["vocabulary"]))
    say(f"note: from the checkpoint of {described(found)}")
    if config.serve is None:
        Conversation(network, settings_of(config)).run()
    else:
        _serve(config.serve, network, config)
    return 0


def _serve(port, network, config):
    title = config.workdir.resolve().name
    with Server(port, network, title, settings_of(config)) as server:
        print(server.address, flush=True)
        say("note: open this address in a browser; Ctrl-C ends the program")
        server.serve_forever()


def _warn(text):
    say(f"warning: {text}")


if __name__ == "__main__":
    sys.exit(main())
