"""The directory that keeps prepared corpora and downloads between runs."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from jaxtext.errors import InputError


def root() -> Path:
    """Returns the cache directory, which need not exist yet.

    Returns:
      ``$JAXTEXT_CACHE`` if that is set and not empty, else the user's cache directory
      on this platform.

    Example:
      >>> from unittest.mock import patch
      >>> with patch.dict(os.environ, JAXTEXT_CACHE="/tmp/elsewhere"):
      ...     root().name
      'elsewhere'
    """
    chosen = os.environ.get("JAXTEXT_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("jaxtext")


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Creates a cache directory, and reports disk errors in the block.

    Args:
      directory: Created with its parents if it does not exist.

    Yields:
      Nothing. The block writes below `directory`. It must turn other failures than
      those of the cache's disk (a corpus that cannot be read, the network) into
      `InputError` itself.

    Raises:
      InputError: For any ``OSError`` in the block, such as a full disk.

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
            f"({error.strerror or error}); free some space or allow writing there, or "
            "set JAXTEXT_CACHE to another directory"
        ) from error
