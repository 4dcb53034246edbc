"""Damages checkpoints: bits, truncations, deletions, and worse."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign import saver
from campaign.programs import Orders, kill
from campaign.saves import saved_twice
from campaign.tally import Setting, Tally
from jaxtext.runs.storage import manifest

OLDER, NEWEST = 1, 2
_RESTORED = 50  # flips after which the checkpoint is also restored


def flip_bits(setting: Setting, tally: Tally, flips: int) -> None:
    """Flips one bit after another in every file of a checkpoint.

    Verification must find each flip. After some flips the checkpoint is also restored:
    this must warn, and take the older checkpoint.
    """
    workdir = setting.scratch / "bits"
    shutil.copytree(saved_twice(setting), workdir)
    newest = _newest(workdir)
    places = list(_places(newest, flips, random.Random(setting.seed)))
    samples = 5 if setting.quick else _RESTORED
    restored = range(0, len(places), max(1, len(places) // samples))
    for number, (path, bit) in enumerate(places):
        _flip(path, bit)
        if _found(newest):
            tally.refuse()
        else:
            why = f"bit {bit} of {path.relative_to(workdir)} flipped, and not found"
            tally.fail(why, workdir, silently=True)
        if number in restored:
            copy = setting.scratch / "bits-restored"
            shutil.copytree(workdir, copy)
            _expect_older(saver.restore(str(copy)), copy, f"bit of {path.name}", tally)
            shutil.rmtree(copy)
        _flip(path, bit)
    if _found(newest):
        tally.fail("damage is found in what is whole", workdir)
    tally.also["files"] = len(_files(newest))


def damage_files(setting: Setting, tally: Tally) -> None:
    """Truncates, deletes, zeroes and replaces every file, and adds unexpected files."""
    original = saved_twice(setting)
    trials: list[tuple[str, Callable[[Path], object]]] = []
    for path in _files(_newest(original)):
        name = path.relative_to(_newest(original))
        for what, do in _OF_A_FILE.items():
            trials.append((f"{what} {name}", lambda d, do=do, name=name: do(d / name)))
    trials += [*_OF_A_DIRECTORY.items(), *_GONE.items()]
    orders = Orders(setting.scratch)
    for what, do in trials[:: 20 if setting.quick else 1]:
        workdir = setting.scratch / "damaged"
        shutil.copytree(original, workdir)
        do(_newest(workdir))
        try:
            _expect_older(orders("restore", workdir=str(workdir)), workdir, what, tally)
        except EOFError as end:  # as when it hangs
            tally.fail(f"{what}: {end}", workdir)
            orders = Orders(setting.scratch)
        shutil.rmtree(workdir)
    kill(orders.process)


def _newest(workdir: Path) -> Path:
    return workdir / "checkpoints" / "latest" / str(NEWEST)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _found(directory: Path) -> bool:
    try:
        manifest.verify(directory, f"latest {NEWEST}")
    except manifest.DamageError:
        return True
    return False


def _places(directory: Path, flips: int, draw) -> Iterator[tuple[Path, int]]:
    """Bits to flip: half spread evenly over the files, half by their sizes."""
    files = _files(directory)
    bits = [8 * path.stat().st_size for path in files]
    each = -(-flips // (2 * len(files)))
    for path, n, share in zip(files, bits, bits, strict=True):
        n_flips = min(n, each + -(-flips * share // (2 * sum(bits))))
        for bit in draw.sample(range(n), n_flips):
            yield path, bit


def _flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def _expect_older(found, workdir, what, tally):
    """Counts a restore. It must have warned and taken the older checkpoint."""
    if "error" in found or found["step"] != OLDER or not found["equal"]:
        silently = "error" not in found and found["step"] is not None
        tally.fail(f"{what}: {found}", workdir, silently=silently)
    elif what in _GONE:
        tally.survive(lost=NEWEST - OLDER)
    elif not found["warnings"] or not any(workdir.glob("checkpoints/damaged/*")):
        tally.fail(f"{what}: not set aside: {found}", workdir)
    else:
        tally.survive(lost=NEWEST - OLDER)


def _zero(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def _shorten(path: Path, size: int) -> None:
    if path.stat().st_size == size:  # it is empty as it is
        path.write_bytes(b"\0")
    else:
        os.truncate(path, size)


def _link(path: Path) -> None:
    """Moves the file elsewhere, and puts a link to it in its place."""
    elsewhere = _run_of(path) / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def _run_of(path: Path) -> Path:
    return next(p.parent for p in path.parents if p.name == "checkpoints")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


_OF_A_FILE: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: _shorten(path, 0),
    "cut in half": lambda path: _shorten(path, path.stat().st_size // 2),
    "one byte less": lambda path: _shorten(path, max(0, path.stat().st_size - 1)),
    "one byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "deleted": lambda path: path.unlink(),
    "zeroed": _zero,
    "made a link": _link,
    "made a pipe": _pipe,
    "made a directory": _directory,
    "renamed": lambda path: path.rename(path.with_name("renamed")),
}


def _hide_as_a_link(directory: Path) -> None:
    elsewhere = _run_of(directory) / "elsewhere"
    shutil.move(directory, elsewhere)
    directory.symlink_to(elsewhere)


def _of_another_step(directory: Path) -> None:
    shutil.rmtree(directory)
    shutil.copytree(directory.with_name(str(OLDER)), directory)


def _manifest_of_another_step(directory: Path) -> None:
    shutil.copy(directory.with_name(str(OLDER)) / manifest.NAME, directory)


def _naming(name: str) -> Callable[[Path], object]:
    """A manifest that names a file outside the checkpoint."""

    def add(directory: Path) -> None:
        with (directory / manifest.NAME).open("ab") as file:
            file.write(b"0" * 64 + b"  " + name.encode() + b"\n")

    return add


def _copy_named(name: str) -> Callable[[Path], object]:
    """A copy of the older checkpoint, under a name that no save uses."""

    def copy(directory: Path) -> None:
        shutil.copytree(directory.with_name(str(OLDER)), directory.with_name(name))
        shutil.rmtree(directory)

    return copy


_OF_A_DIRECTORY: dict[str, Callable[[Path], object]] = {
    "a file added": lambda d: (d / "params" / "added").write_text("x"),
    "a file added beside": lambda d: (d / "added").write_text("x"),
    "a link added": lambda d: (d / "added").symlink_to("/etc/passwd"),
    "no manifest": lambda d: (d / manifest.NAME).unlink(),
    "the manifest of another step": _manifest_of_another_step,
    "another step under this name": _of_another_step,
    "the manifest names ../../x": _naming("../../x"),
    "the manifest names /etc/passwd": _naming("/etc/passwd"),
    "the manifest names itself": _naming(manifest.NAME),
    "emptied": lambda d: [shutil.rmtree(d), d.mkdir()],
    "a link in its place": _hide_as_a_link,
    "a dangling link in its place": lambda d: [
        shutil.rmtree(d),
        d.symlink_to("/nowhere"),
    ],
    "a file in its place": lambda d: [shutil.rmtree(d), d.write_text("x")],
    "arrays of another step": lambda d: [
        shutil.rmtree(d / "params"),
        shutil.copytree(d.with_name(str(OLDER)) / "params", d / "params"),
    ],
    "an empty one of a later step": lambda d: [
        shutil.rmtree(d),
        d.with_name("999999999999999999999999").mkdir(),
    ],
}
# A directory whose name is not a step is no checkpoint. It causes no warning.
_GONE: dict[str, Callable[[Path], object]] = {
    "removed": lambda d: shutil.rmtree(d),
    "named as 02": _copy_named("02"),
    "named in other digits": _copy_named("٢"),
}
