"""A workdir made by an attacker: nothing in it may run, or cause writes elsewhere."""

import os
import pickle
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.chains import small_plan
from campaign.damage import NEWEST, OLDER
from campaign.programs import Orders, kill
from campaign.saves import saved_twice
from campaign.tally import Setting, Tally
from jaxtext.runs.storage import manifest


class _Payload:
    """An object that makes a directory when it is unpickled."""

    def __init__(self, path: Path):
        self._path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self._path,))


def unpickle_nothing(setting: Setting, tally: Tally) -> None:
    """Replaces all files, and each file, by pickles that make a directory.

    Once with the old manifest, and once with a manifest that matches the pickles.
    """
    original = saved_twice(setting)
    mark = setting.scratch / "it-ran"
    pickled = pickle.dumps(_Payload(mark))
    pickle.loads(pickled)
    mark.rmdir()  # the pickle works
    orders = Orders(setting.scratch)
    names = [p.relative_to(original) for p in sorted(original.rglob("*"))]
    names = [name for name in names if (original / name).is_file()]
    one_each = [[n] for n in names if n.parts[:3] == ("checkpoints", "latest", "2")]
    for replaced in [names, *one_each[:: 10 if setting.quick else 1]]:
        for signed in (False, True):
            for order in ("restore", "read"):
                workdir = setting.scratch / "hostile"
                shutil.copytree(original, workdir)
                for name in replaced:
                    if name.name != manifest.NAME or not signed:
                        (workdir / name).write_bytes(pickled)
                for step in (OLDER, NEWEST) if signed else ():
                    directory = workdir / "checkpoints" / "latest" / str(step)
                    manifest.write(directory, f"latest {step}")
                what = f"{order}: pickles as {len(replaced)} files, {replaced[0]}"
                try:
                    found = orders(order, workdir=str(workdir))
                    said = _clearly(found)
                except EOFError as end:
                    found: dict[str, Any] = {"error": str(end)}
                    said = False
                    orders = Orders(setting.scratch)
                if mark.exists():
                    tally.fail(f"{what}: it ran", workdir, silently=True)
                    mark.rmdir()
                elif "error" not in found and not found["equal"]:
                    tally.fail(f"{what}: {found}", workdir, silently=True)
                elif not said:
                    tally.fail(f"{what}: {found}", workdir)
                elif "error" in found:
                    tally.refuse()
                else:
                    tally.survive(lost=NEWEST - found["step"])
                shutil.rmtree(workdir)
    kill(orders.process)


def _clearly(found):
    """Whether an answer is a state, or an error with a clear message."""
    return "error" not in found or found["error"] in ("InputError", "OSError")


def follow_no_links(setting: Setting, tally: Tally) -> None:
    """Puts links to other places under every name that a run gives to a file.

    The run must refuse or succeed, and change nothing where the links lead.
    """
    plan = small_plan(setting)
    for name, put in _LINKS[:: 20 if setting.quick else 1]:
        home = setting.scratch / "links"
        workdir, outside = home / "run", home / "outside"
        outside.mkdir(parents=True)
        (outside / "file").write_text("untouched")
        (outside / "folder").mkdir()
        (outside / "folder" / "file").write_text("untouched")
        before = _listing(outside)
        put(workdir, outside)
        training = plan.start(workdir)
        status = training.finish()
        after = _listing(outside)
        if after != before:
            tally.fail(f"{name}: outside is {after}", home, training.err, silently=True)
        elif status == 0 and not plan.difference(workdir, training):
            tally.survive()
        elif status == 2 and "error: " in training.said():
            tally.refuse()
        else:
            tally.fail(f"{name}: status {status}", home, training.err, training.out)
        training.forget()
        shutil.rmtree(home)


def _listing(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text() if path.is_file() else ""
        for path in sorted(directory.rglob("*"))
    }


def _linked(name: str, target: str) -> tuple[str, Callable[[Path, Path], None]]:
    def put(workdir: Path, outside: Path) -> None:
        path = workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(outside / target)

    return f"{name} leads to {target}", put


_FILES = (
    *("config.json", "metrics.jsonl", "curve.png", "result.json", ".lock"),
    f".unfinished-{platform.node()}-0",
)
_DIRECTORIES = (
    *("checkpoints", "checkpoints/latest", "checkpoints/best", "checkpoints/damaged"),
    *("checkpoints/latest/saving-0", "checkpoints/latest/saving-20"),
    *("checkpoints/latest/20", "checkpoints/latest/removing-20"),
    *("checkpoints/latest/saving-20.orbax-checkpoint-tmp", "checkpoints/best/20"),
)
_LINKS = [
    *(_linked(name, target) for name in _FILES for target in ("file", "new")),
    *(_linked(name, target) for name in _DIRECTORIES for target in ("folder", "new")),
]
