"""Kills a save before each of its system calls, and makes each call fail in turn."""

import errno
import functools
import itertools
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from campaign.chains import left_behind
from campaign.disk import NEEDING_ROOM
from campaign.programs import Orders, kill
from campaign.syscalls import CHANGES, KILL, READS, Call, supported
from campaign.tally import Setting, Tally


def kill_at_each_call(setting: Setting, tally: Tally) -> None:
    """Kills a save before each system call that changes files.

    Afterwards the newest checkpoint must be that of the save or the one before, bit by
    bit, and the next save must succeed. It also checks that all files of a checkpoint
    are on the disk (fsync) before it gets its name, which a kill cannot show.
    """
    if why := supported():
        tally.also[why] = 1
        return
    template = saved_twice(setting)
    calls = _calls_of_a_save(setting)
    for name in {call.name for call in calls}:
        tally.also[name] = sum(call.name == name for call in calls)
    volatile = undurable(calls)
    if volatile:
        tally.fail(f"not on the disk when the save was complete: {volatile}")
    numbers = itertools.count(1)
    lock, past_the_end = threading.Lock(), threading.Event()
    # The number of calls varies by a few. Continue until a save reaches its end.
    stride = max(1, len(calls) // 3) if setting.quick else 1
    verifier = Orders(setting.scratch)

    def work(_):
        while not past_the_end.is_set():
            with lock:
                number = next(numbers) * stride
            if _killed(setting, template, number, verifier, tally):
                past_the_end.set()

    with ThreadPoolExecutor(setting.jobs) as threads:
        list(threads.map(work, range(setting.jobs)))
    kill(verifier.process)


def fail_each_call(setting: Setting, tally: Tally) -> None:
    """Makes each call of a save fail: once (EIO), and from then on (ENOSPC).

    The save must raise `OSError` or succeed. The checkpoint before it and the next save
    must be good.
    """
    if why := supported():
        tally.also[why] = 1
        return
    total = len(_calls_of_a_save(setting))

    def work(way):
        number, full = way
        workdir = setting.scratch / f"fail-{number}"
        fault = _Fault(workdir)
        orders = Orders(setting.scratch, CHANGES, fault)
        good = 1
        orders("save", workdir=str(workdir), step=good)
        stride = max(1, total // 3) if setting.quick else 1
        for at in itertools.count(1, stride):
            fault.arm(at, errno.ENOSPC if full else errno.EIO, onwards=full)
            try:
                answer = orders("save", workdir=str(workdir), step=good + 1)
                fired = fault.disarm()
                if fired is None:
                    break
                what = f"{errno.errorcode[fault.error]} at call {at}, {fired}"
                trouble = _trouble(answer, orders, workdir, good)
                error = "error" in answer
                if not error and answer["warnings"]:
                    trouble = trouble or f"a save warned: {answer['warnings']}"
            except EOFError as end:
                trouble, error = str(end), True
                what = f"call {at}"
                orders = Orders(setting.scratch, CHANGES, fault)
            good += 2
            if trouble:
                tally.fail(f"{what}: {trouble}", workdir, orders.err)
                orders("save", workdir=str(workdir), step=good)
            elif error:
                tally.refuse()
            else:
                tally.survive()
        kill(orders.process)
        orders = Orders(setting.scratch)
        orders("restore", workdir=str(workdir))
        if left := left_behind(workdir):
            tally.fail(f"left behind: {left}", workdir)
        kill(orders.process)

    with ThreadPoolExecutor(setting.jobs) as threads:
        list(threads.map(work, [(1, False), (2, True)]))


def fail_each_read(setting: Setting, tally: Tally) -> None:
    """Makes reads of a checkpoint fail: all reads of a file, and each single read."""
    if why := supported():
        tally.also[why] = 1
        return
    template = saved_twice(setting)
    newest = template / "checkpoints" / "latest" / "2"
    files = [p.relative_to(template) for p in sorted(newest.rglob("*")) if p.is_file()]
    reads = itertools.count(1, 20 if setting.quick else 1)
    trials: Iterator[Path | int] = itertools.chain(
        files[:: 10 if setting.quick else 1], reads
    )
    workdir = setting.scratch / "reads"
    fault = _Fault(workdir)
    orders = Orders(setting.scratch, READS, fault)
    for trial in trials:
        shutil.copytree(template, workdir, symlinks=True)
        if isinstance(trial, Path):
            fault.arm(1, errno.EIO, onwards=True, only=str(workdir / trial))
        else:
            fault.arm(trial, errno.EIO)
        what = f"EIO at read {trial}"
        try:
            answer = orders("restore", workdir=str(workdir))
        except EOFError as end:
            tally.fail(f"{what}: {end}", workdir, orders.err)
            orders = Orders(setting.scratch, READS, fault)
            shutil.rmtree(workdir)
            continue
        fired = fault.disarm()
        if fired is None:
            shutil.rmtree(workdir)
            if isinstance(trial, Path):
                continue
            break
        if "error" in answer:
            after = orders("restore", workdir=str(workdir))
            if not answer["is_os_error"] and answer["error"] != "InputError":
                tally.fail(f"{what}, {fired}: {answer}", workdir, orders.err)
            elif not after.get("equal") or after["step"] not in (1, 2):
                tally.fail(f"{what}, {fired}: {answer}, then {after}", workdir)
            else:
                tally.refuse()
        elif not answer["equal"] or answer["step"] is None:
            tally.fail(f"{what}, {fired}: {answer}", workdir, silently=True)
        elif answer["step"] != 2 and not answer["warnings"]:
            tally.fail(f"{what}, {fired}: no warning: {answer}", workdir, silently=True)
        else:
            tally.survive(lost=2 - answer["step"])
        shutil.rmtree(workdir)
    kill(orders.process)


def undurable(calls: Sequence[Call]) -> list[str]:
    """The paths that were not on the disk when a save's directory got its name.

    Also those that were not when the first older checkpoint was removed. A file is on
    the disk if it was fsynced after its last change. Its name is on the disk if its
    directory was fsynced.
    """
    dirty: set[str] = set()
    missed: set[str] = set()
    made: set[str] = set()
    for name, path, to in calls:
        parent = str(Path(path).parent)
        if name.startswith("rename"):
            if Path(to).name.isdecimal():
                missed |= {p for p in dirty if p == path or p.startswith(path + "/")}
            elif Path(path).name.isdecimal() and parent in dirty:
                missed.add(parent)
            dirty, made = _moved(dirty, path, to), _moved(made, path, to)
            dirty |= {parent, str(Path(to).parent)}
        elif name.startswith("unlink") or name == "rmdir":
            dirty.discard(path)
            if path in made:  # else there was nothing to remove
                dirty.add(parent)
                made.remove(path)
        elif name in ("fsync", "fdatasync"):
            dirty.discard(path)
        elif name in ("openat", "mkdir", "mkdirat"):
            dirty |= {path, parent}
            made.add(path)
        else:
            dirty.add(path)
    return sorted(missed)


def _moved(paths, old, new):
    return {new + p.removeprefix(old) if p.startswith(old) else p for p in paths}


class _Fault:
    """Makes one call below a directory fail, or all calls from that one on."""

    def __init__(self, directory: Path):
        self._directory = f"{directory}/"
        self._at = 0
        self.error = 0

    def arm(self, at: int, error: int, *, onwards: bool = False, only: str = ""):
        self._seen, self._onwards, self._only = 0, onwards, only
        self._fired: Call | None = None
        self.error, self._at = error, at

    def disarm(self) -> Call | None:
        """The first call that failed, if one did."""
        self._at = 0
        return self._fired

    def __call__(self, call: Call) -> int:
        if not self._at or not call.path.startswith(self._only or self._directory):
            return 0
        if self.error == errno.ENOSPC and call.name not in NEEDING_ROOM:
            return 0
        self._seen += 1
        if self._seen != self._at and not (self._onwards and self._seen > self._at):
            return 0
        self._fired = self._fired or call
        return self.error


def saved_twice(setting: Setting) -> Path:
    """A run that has saved the steps 1 and 2."""
    workdir = setting.scratch / "template"
    if not workdir.exists():
        orders = Orders(setting.scratch)
        for step in (1, 2):
            orders("save", workdir=str(workdir), step=step)
        kill(orders.process)
    return workdir


@functools.cache
def _calls_of_a_save(setting):
    """The system calls of the third save of a run."""
    workdir, calls = setting.scratch / "counted", []

    def note(call):
        if call.path.startswith(f"{workdir}/"):
            calls.append(call)
        return 0

    shutil.copytree(saved_twice(setting), workdir)
    orders = Orders(setting.scratch, CHANGES, note)
    orders("save", workdir=str(workdir), step=3)
    kill(orders.process)
    shutil.rmtree(workdir)
    return calls


def _killed(setting, template, number, verifier, tally):
    """Kills a save before its call `number`. Returns whether it ended before that."""
    workdir = setting.scratch / f"point-{number}"
    shutil.copytree(template, workdir)
    fault = _Fault(workdir)
    orders = Orders(setting.scratch, CHANGES, fault)
    fault.arm(number, KILL)
    try:
        orders("save", workdir=str(workdir), step=3)
        kill(orders.process)
    except EOFError:
        pass
    fired = fault.disarm()
    if fired is not None:
        left = setting.scratch / f"left-{number}"
        shutil.copytree(workdir, left, symlinks=True)
        answer = {"killed": True}
        trouble = _trouble(answer, verifier, workdir, 2)
        if trouble:
            tally.fail(f"killed before call {number}, {fired}: {trouble}", left)
        else:
            tally.survive(lost=3 - answer["restored"])
        shutil.rmtree(left)
    shutil.rmtree(workdir)
    orders.err.unlink()
    return fired is None


def _trouble(answer, orders, workdir, good):
    """What is wrong after a disturbed save of `good + 1`, and after the next save."""
    hurt = "error" in answer or "killed" in answer
    same = "killed" not in answer  # the process that saved still runs
    found = orders("restore", workdir=str(workdir), again=same)
    if found.get("step") not in ((good, good + 1) if hurt else (good + 1,)):
        return f"restored {found} after {answer}"
    if not found["equal"]:
        return f"step {found['step']} is not what was saved"
    if found["warnings"]:
        return f"a checkpoint was damaged: {found['warnings']}"
    answer["restored"] = found["step"]
    again = orders("save", workdir=str(workdir), step=good + 2)
    found = orders("restore", workdir=str(workdir), again=same)
    if found.get("step") != good + 2 or not found["equal"] or found["warnings"]:
        return f"the next save answered {again}, and then {found}"
    names = sorted(p.name for p in (workdir / "checkpoints" / "latest").iterdir())
    # After a save has failed, threads of its process may still write.
    if not same and not all(name.isdecimal() for name in names):
        return f"left behind: {names}"
    if "error" in answer and not answer["is_os_error"]:
        return f"no OSError but {answer}"
    return None
