"""Runs char_gen.py on a disk that fills up, fails, or cannot be read."""

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign.chains import Plan, small_plan
from campaign.syscalls import CHANGES, READS, Call, supported
from campaign.tally import Setting, Tally

_ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
# The calls that a full disk refuses.
NEEDING_ROOM = {"openat", "mkdir", "mkdirat", "rename", "renameat", "link", "symlink"}
NEEDING_ROOM |= {name for name in CHANGES if "write" in name or "allocate" in name}


def hurt_the_disk(setting: Setting, tally: Tally) -> None:
    """Makes reads and writes of whole runs fail, for a while or for good.

    The run must print a message. Then it must either end like an undisturbed run, or
    stop with status 2 and end like an undisturbed run when the same command is given
    with a good disk.
    """
    if why := supported():
        tally.also[why] = 1
        return
    plan = small_plan(setting)
    workdir = plan.scratch / "disk"
    trials = list(_trials(plan, workdir))
    for what, names, decide in trials[:: 25 if setting.quick else 1]:
        fired: list[Call] = []

        def note(call: Call, decide=decide, fired=fired) -> int:
            if error := decide(call):
                fired.append(call)
            return error

        training = plan.start(workdir, names=names, decide=note)
        status = training.finish()
        evidence = (workdir, training.err, training.out)
        said = training.said()
        silently = not any(word in said for word in ("could not", "cannot", "error:"))
        if not fired:
            tally.fail(f"{what}: no call was failed", *evidence)
        elif status == 0 and (why := plan.difference(workdir, training)):
            tally.fail(f"{what}: {why}", *evidence, silently=silently)
        elif status == 0:
            tally.survive()
            tally.also["nothing said"] += silently
        elif status != 2 or "error: " not in said:
            tally.fail(f"{what}: status {status}", *evidence)
        else:
            again = plan.start(workdir)
            status = again.finish()
            if status or (why := plan.difference(workdir, again)):
                tally.fail(f"{what}, then status {status}, {why}", *evidence, again.err)
            else:
                tally.refuse()
            again.forget()
        training.forget()
        shutil.rmtree(workdir, ignore_errors=True)


def _trials(
    plan: Plan, workdir: Path
) -> Iterator[tuple[str, tuple[str, ...], Callable[[Call], int]]]:
    latest, best = (f"{workdir}/checkpoints/{name}/" for name in ("latest", "best"))
    for error in _ERRORS:
        name = errno.errorcode[error]
        for below, where in (
            (f"{latest}saving-0", "the first save"),
            (f"{latest}saving-100", "a save"),
            (f"{latest}saving-300", "the last save"),
            (best, "the best saves"),
            (latest, "all saves"),
            (f"{workdir}/checkpoints", "all checkpoints"),
            (f"{workdir}/metrics", "the log"),
            (f"{workdir}/curve", "the curve"),
            (f"{workdir}/result", "the result"),
            (f"{workdir}/config", "the configuration"),
            (f"{workdir}", "the workdir"),
        ):
            yield f"{name} in {where}", CHANGES, _below(below, error)
        yield f"{name} from 200 calls on", CHANGES, _below(f"{workdir}/", error, 200)
        yield f"{name} in 100 calls", CHANGES, _below(f"{workdir}/", error, 200, 100)
    corpus = str(plan.corpus)
    yield "EIO in the corpus", READS, _below(corpus, errno.EIO)
    yield "EIO in the corpus, later", READS, _below(corpus, errno.EIO, 1)


def _below(
    prefix: str, error: int, first: int = 0, most: int = 10**9
) -> Callable[[Call], int]:
    """Makes calls fail on paths with this prefix, `most` of them after the `first`."""
    seen = 0

    def decide(call: Call) -> int:
        nonlocal seen
        if not call.path.startswith(prefix):
            return 0
        if error == errno.ENOSPC and call.name not in NEEDING_ROOM:
            return 0
        seen += 1
        return error if first < seen <= first + most else 0

    return decide
