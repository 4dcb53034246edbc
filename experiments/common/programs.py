"""Compiled programs, which a script keeps for its next start.

JAX does that once it has a directory, and so decides what a program's key is: what is
computed, the versions of JAX and XLA, their flags, the devices. This file decides how
an entry is stored, for JAX's own way cannot be on by default. A process that is killed
while JAX writes leaves half an entry, which JAX never replaces; an entry that is
compressed by zstd has no checksum, so a flipped bit could be executed; and the lock of
its bounded cache waits for ten seconds where a file system has none.

Here an entry appears complete or not at all, has a SHA-256, and is replaced if it is
damaged. The entries used longest ago are removed when the directory is full. Nothing
that is wrong with the directory ends a run: it compiles, and one line says why.
"""

import contextlib
import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import jax
from jax._src import compilation_cache

from common.rules import option
from common.values import Bound, can_be_directory
from jaxtext.files import remove_leftovers, unfinished
from jaxtext.streams import say
from jaxtext.text import cache

LIMIT = 1 << 30  # bytes, unless jax_compilation_cache_max_size says otherwise
_HASH_SIZE = hashlib.sha256().digest_size
_jax_file_cache = compilation_cache.get_file_cache


def _is_place(word):
    return not word or "://" in word or can_be_directory(Path(word))


Place: TypeAlias = Annotated[str, Bound(_is_place, "a directory, or '' for none")]


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """compiled programs"""

    compilation_cache: Place | None = option(
        None, identity=False, kept=False, alike=False
    )
    """Directory that keeps compiled programs for the next start; '' keeps none.
    Default: jaxtext/programs in your cache directory. JAX_COMPILATION_CACHE_DIR in the
    environment comes first."""


def keep_programs(place: str | None = None) -> "Programs | None":
    """Turns the cache of compiled programs on, for all that JAX compiles from now on.

    JAX's own settings come first: if its environment variable names a directory, JAX
    keeps programs there, in its own way.

    Args:
      place: As for ``--compilation-cache``. JAX's own way is also used for a URL.

    Returns:
      The cache, if it is this one.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        if place is not None:
            say(
                "note: JAX_COMPILATION_CACHE_DIR is set, and is used in place of "
                "--compilation-cache"
            )
        return None
    place = str(cache.root() / "programs") if place is None else place
    compilation_cache.reset_cache()
    jax.config.update("jax_compilation_cache_dir", place or None)
    if not place:
        return None
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # A start compiles many small programs, which take a second together.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if "://" in place:
        compilation_cache.get_file_cache = _jax_file_cache
        return None
    limit = jax.config.jax_compilation_cache_max_size  # pyright: ignore[reportAttributeAccessIssue]
    programs = Programs(Path(place), LIMIT if limit < 0 else limit)
    # JAX has no public way to store entries differently.
    compilation_cache.get_file_cache = lambda path: (programs, path)
    return programs


class Programs:
    """A directory of compiled programs, as JAX's ``CacheInterface``.

    Each kind of machine has a directory of its own in it: a program for a CPU has the
    instructions of the one that compiled it, and another machine that shares the
    directory (NFS) may lack some of them.

    Args:
      root: The directory. It need not exist.
      limit: How many bytes all entries may have together.
    """

    def __init__(self, root: Path, limit: int):
        self.root: Path = root
        self._path = root / machine()
        self._limit = limit
        self._fails = self._told_of_damage = False

    def get(self, key: str) -> bytes | None:
        """Returns an entry; ``None`` if there is none, or none that is undamaged."""
        entry = self._entry(key)
        try:
            data = entry.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._failed("read", error)
        value = data[_HASH_SIZE:]
        if data[:_HASH_SIZE] != _hash(key, value):
            if not self._told_of_damage:
                say(f"note: {entry} is damaged; what is damaged is compiled again")
            self._told_of_damage = True
            with contextlib.suppress(OSError):
                entry.unlink()
            return None
        with contextlib.suppress(OSError):  # read-only, which is no matter here
            os.utime(entry)  # entries used longest ago are removed first
        return value

    def put(self, key: str, value: bytes) -> None:
        """Writes an entry, and removes others if there is no place for all."""
        if self._fails or len(value) + _HASH_SIZE > self._limit:
            return
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._path)
            self._make_room(len(value) + _HASH_SIZE)
            # Not synced: what a power cut damages is found by its hash.
            with unfinished(self._path) as file:
                file.write(_hash(key, value) + value)
                file.flush()
                os.replace(file.name, self._entry(key))
        except OSError as error:
            self._failed("write", error)

    def _entry(self, key):
        return self._path / f"{key}.program"

    def _make_room(self, size):
        """Removes entries, of any kind of machine, until one more has its place."""
        entries = []
        for path in self.root.glob("*/*.program"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                about = path.stat()
                entries.append((about.st_mtime, about.st_size, path))
        total = size + sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._limit:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _failed(self, what, error):
        if not self._fails:
            say(
                f"note: cannot {what} compiled programs in {self._path} "
                f"({error.strerror or error}); this run compiles them, and the next "
                "one does so again. --compilation-cache names another directory"
            )
        self._fails = True


def machine() -> str:
    """A name for the kind of CPU, the same on machines with the same instructions."""
    # Flags on x86, Features on ARM, and the model, which XLA tunes for.
    names = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            about = sorted({line for line in file if line.startswith(names)})
    except OSError:  # not Linux
        about = [platform.processor()]
    digest = hashlib.sha256("".join(about).encode()).hexdigest()[:12]
    return f"{platform.machine() or 'machine'}-{digest}"


def _hash(key, value):
    return hashlib.sha256(key.encode() + b"\0" + value).digest()
