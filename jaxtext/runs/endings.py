"""How a run can end: what ended it, the exit status, and what its processes say.

This is the one table of it. The table in ``docs/distributed.md`` has the same rows.

A status tells a scheduler what to do next. 0 is success. 75 and 128 + n (except after
Ctrl-C) mean that the same command continues the run. 1, 2 and 3 need a person.
"""

import enum
import platform
from importlib.metadata import version
from typing import Any, NoReturn

import jaxtext
from jaxtext.runs.supervise import KILLED, end_now, last_words

_AGAIN = 75  # EX_TEMPFAIL: try again
_GOOD = (
    "everything saved is good: the same command on every host continues from the last "
    "checkpoint"
)


class Ending(enum.Enum):
    """A way in which a process of a run can end.

    Attributes:
      status: The exit status of this process; ``None`` if it is 128 + the number of a
        signal.
      cause: What has happened.
      text: What this process says, the last line on standard error. It has fields,
        which `words` fills.
      others: The exit status of the other processes of the run, if there are any.
    """

    FINISHED = (0, "all steps are taken, and the result is written", "", "0")
    BUG = (
        1,
        "an error that jaxtext does not expect",
        "error: this is a bug in jaxtext, or in what it uses; report it with the "
        "traceback above, the command, and these versions: {versions}",
        "75",
    )
    INPUT = (
        2,
        "bad input: a flag, a text, a directory, or a difference between processes",
        "error: {error}",
        "2 if they differ, or could not begin; else 75",
    )
    DISK = (
        2,
        "a disk or bucket that is full, or cannot be read or written",
        "error: {error}; what was saved is good",
        "75",
    )
    GONE = (2, "the directory of the run was removed or moved", "error: {error}", "2")
    MEMORY = (
        2,
        "a device is out of memory",
        "error: out of memory ({error}); give a smaller `batch_size`, or `slices` or "
        "`remat`, which need less; what was saved is good",
        "2 if they are too; else 75",
    )
    DIVERGED = (
        3,
        "training diverged, and going back did not help",
        "error: {error}",
        "3",
    )
    NOT_MET = (
        _AGAIN,
        "not all processes met in time: one is late, or was not started, "
        "or an address is wrong",
        "{error}",
        "75",
    )
    LOST = (
        _AGAIN,
        "another process was lost: killed, crashed, frozen, or cut off",
        f"lost contact with {{who}}; {_GOOD}",
        "75",
    )
    LEFT = (
        _AGAIN,
        "another process ended for a reason of its own",
        f"{{who}} ended with status {{its_status}}, and said why; {_GOOD}",
        "75",
    )
    STOPPED = (
        None,
        "SIGINT (Ctrl-C) or SIGTERM here; the state is saved at the end of a step",
        "stopped by signal {number}; the same command goes on from what is saved",
        "128 + n",
    )
    STOPPED_THERE = (
        None,
        "SIGINT or SIGTERM to another process; the state is saved",
        "stopped by signal {number}, which {who} got; the same command goes on from "
        "what is saved",
        "128 + n",
    )
    STOPPED_AT_ONCE = (
        None,
        "a second signal here, before the first was followed",
        "stopped at once; everything saved is good",
        "75",
    )
    KILLED = (
        None,
        "another signal, such as SIGKILL from the system when memory runs out",
        KILLED,
        "75",
    )

    def __init__(self, status: int | None, cause: str, text: str, others: str):
        self.status = status
        self.cause = cause
        self.text = text
        self.others = others

    def words(self, **fields: Any) -> str:
        """What this process says."""
        return self.text.format(**fields)

    def status_of(self, number: int | None = None) -> int:
        """The exit status; `number` is that of the signal, if there is one."""
        if self.status is not None:
            return self.status
        assert number is not None
        return 128 + number

    def leave_words(self, **fields: Any) -> None:
        """Leaves it as the last words, in case the runtime ends this process."""
        last_words(self.status_of(), self.words(**fields))

    def end_now(self, **fields: Any) -> NoReturn:
        """Says it, and ends the process, from any thread and whatever others do."""
        end_now(self.status_of(), self.words(**fields))


def versions() -> str:
    """The versions that a report of a bug needs.

    Example:
      >>> versions().split(", ")[0].startswith("jaxtext ")
      True
    """
    names = ("jax", "jaxlib", "flax", "optax")
    found = [f"jaxtext {jaxtext.__version__}", *(f"{x} {version(x)}" for x in names)]
    return ", ".join([*found, f"Python {platform.python_version()}"])
