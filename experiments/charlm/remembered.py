"""The flags of a run, kept in its directory for the commands that come later.

So ``--workdir`` alone names a run: to train it on, or to evaluate it, you need not type
again what it is, nor where its text is.
"""

import dataclasses
import glob
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charlm.config import TEXTS, Config
from common.flags import check_value, flag
from common.rules import fields_without
from jaxtext.errors import InputError
from jaxtext.files import as_json
from jaxtext.runs.storage import storage
from jaxtext.streams import say
from jaxtext.text.download import DATASETS
from jaxtext.text.sources import is_elsewhere

FILE = "flags.json"
IDENTITY = "config.json"
_NO_PATHS = ("stdlib", "-", *DATASETS)


def remembered(workdir: Path) -> dict[str, Any]:
    """Reads the fields of the configuration that a run was last given, if there is one.

    Values that no flag accepts are left out, and a note says so.
    """
    return _usable(_read(workdir, FILE), workdir / FILE)


def of_identity(workdir: Path) -> dict[str, Any]:
    """Reads the fields of a run from its identity, if it is older than ``flags.json``.

    Texts are not among them: an identity has only their hashes.
    """
    known = _read(workdir, IDENTITY)
    kept = {name: x for name, x in known.items() if name not in TEXTS}
    return _usable(kept, workdir / IDENTITY)


def check_texts(values: Mapping[str, Any], workdir: Path) -> None:
    """Raises `InputError` unless remembered texts can be read again.

    Args:
      values: The fields that are taken over.
      workdir: The run's directory.
    """
    for name in TEXTS:
        for spec in values.get(name, ()):
            where = f"remembered from {workdir / FILE}"
            if spec == "-":
                raise InputError(
                    f"{flag(name)}: expected the text that was piped in, got none "
                    f"({where}); pipe it in again, and give "
                    f"{flag(name)} {' '.join(values[name])}"
                )
            if not is_there(spec):
                raise InputError(
                    f"{flag(name)}: expected a text where it was, {spec}, and found "
                    f"none ({where}; give {flag(name)} again)"
                )


def is_there(spec: str) -> bool:
    """Whether a text can be read where it was: a known name, a path or a pattern.

    Of a URL that is not known before it is read.
    """
    no_path = spec in _NO_PATHS or is_elsewhere(spec)
    return no_path or os.path.exists(spec) or bool(glob.glob(spec))


def remember(config: Config, workdir: Path) -> None:
    """Writes a configuration, with absolute paths: others may begin elsewhere."""
    kept, not_kept = dataclasses.asdict(config), fields_without(Config, "kept")
    for name in TEXTS:
        kept[name] = tuple(map(_whole, kept[name]))
    kept = {name: value for name, value in kept.items() if name not in not_kept}
    kept = json.loads(json.dumps(kept))  # as it will be read
    if kept != _read(workdir, FILE):
        storage(workdir).write(FILE, as_json(kept))


def _whole(spec):
    """An absolute path, in which nothing but a pattern that was given is one."""
    if spec in _NO_PATHS or is_elsewhere(spec) or os.path.isabs(spec):
        return spec
    if os.path.exists(spec):
        return os.path.abspath(spec)
    return os.path.join(glob.escape(os.getcwd()), os.path.normpath(spec))


def has(workdir: Path, name: str) -> bool:
    """Whether a run has a file of that name."""
    return _contents(workdir, name) is not None


def _contents(workdir, name):
    """What is in a file; ``None`` if it cannot be read, which others tell of."""
    try:
        return storage(workdir).read(name)
    except OSError:
        return None


def _read(workdir, name) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none."""
    data = _contents(workdir, name)
    if data is None:
        return {}
    try:
        kept: Any = json.loads(data)
    except ValueError:
        kept = None
    if isinstance(kept, dict):
        return kept
    say(f"note: {workdir / name} is damaged, and is ignored")
    return {}


def _usable(kept, path):
    names = {field.name for field in dataclasses.fields(Config)}
    names -= fields_without(Config, "kept")
    values = {}
    for name in (name for name in kept if name in names):
        value = kept[name]
        try:
            check_value(Config, name, value)
        except InputError as error:
            say(f"note: {path} is passed over in this: {error}")
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return values
