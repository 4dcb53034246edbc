"""The directory that keeps prepared corpora and downloads between runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from jaxtext.errors import InputError


def root() -> Path:
    """Name the cache directory.

    Returns:
      ``$JAXTEXT_CACHE`` where that is set and not empty, else the user's cache
      directory as the platform has it. It need not exist yet.

    Example:
      >>> from unittest.mock import patch
      >>> with patch.dict(os.environ, JAXTEXT_CACHE="/tmp/elsewhere"):
      ...     root().name
      'elsewhere'
    """
    chosen = os.environ.get("JAXTEXT_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("jaxtext")


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Create a cache directory and report whatever the disk refuses in the block.

    Args:
      directory: made together with its parents where it does not exist.

    Yields:
      Nothing; the block writes below ``directory``. Other failures than the disk's
      (reading a corpus, the network) must leave the block as ``InputError``.

    Raises:
      InputError: any ``OSError`` of the block: no permission, disk full.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with writing(Path(folder) / "corpora"):
      ...         _ = (Path(folder) / "corpora" / "note").write_text("kept")
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"cannot write to the cache directory {directory} "
            f"({error.strerror or error}); make room or allow writing there, or set "
            "JAXTEXT_CACHE to another directory"
        ) from error
