"""Data sets known by name: downloaded once, resumed when cut, checked by SHA-256."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxtext.errors import InputError
from jaxtext.files import rename
from jaxtext.text.cache import writing
from jaxtext.text.remote import held, receive, sha256


class Dataset(NamedTuple):
    """Where to download a data set, and what it must contain."""

    url: str
    sha256: str
    size: int  # bytes


DATASETS = {
    "tinyshakespeare": Dataset(
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        size=1_115_394,
    ),
}


def fetch(
    name: str, cache: Path, advance: Callable[[int], None] = lambda size: None
) -> Path:
    """Returns the file of a named data set, and downloads it the first time.

    The download is written to ``downloads/NAME.part``. If the connection is cut, that
    file is continued, at once or by the next call. Once its hash is right, the file is
    renamed.

    Args:
      name: A key of ``DATASETS``.
      cache: The root of the cache. The file is ``cache/downloads/NAME.txt``.
      advance: As `remote.obtain`.

    Returns:
      The path of the complete file, whose hash has been checked.

    Raises:
      InputError: If the download fails or has another hash, if the file that is there
        already has another hash, or if the cache cannot be written.

    Example:
      >>> fetch("tinyshakespeare", Path("cache"))  # doctest: +SKIP
      PosixPath('cache/downloads/tinyshakespeare.txt')
    """
    path = cache / "downloads" / f"{name}.txt"
    if not path.exists():
        # One process at a time: two would append to the same .part file.
        with writing(path.parent), held(path.with_suffix(".lock"), advance):
            if not path.exists():
                _download(name, path, advance)
    if (digest := sha256(path)) != DATASETS[name].sha256:
        raise InputError(
            f"{path} is not the data set {name}: expected SHA-256 "
            f"{DATASETS[name].sha256}, got {digest}; delete it to download it again"
        )
    return path


def _download(name: str, path: Path, advance: Callable[[int], None]) -> None:
    # Imported here, not above, because most runs download nothing.
    from jaxtext.text.web import WebFile

    url, wanted, size = DATASETS[name]
    part = path.with_suffix(".part")
    resumed = part.exists()
    try:
        receive(WebFile(url, size, hashes={"sha256": wanted}), part, advance)
    except InputError as error:
        raise _failure(name, path, str(error.__cause__)) from error
    if (digest := sha256(part)) == wanted:
        rename(part, path)
        return
    part.unlink()
    if not resumed:
        reason = f"the server sent other content, SHA-256 {digest}"
        raise _failure(name, path, reason)
    # The earlier .part file may be what was wrong, so try once more without it.
    _download(name, path, advance)


def _failure(name: str, path: Path, reason: str) -> InputError:
    return InputError(
        f"cannot download {name}: {reason}; try again (it resumes), or save "
        f"{DATASETS[name].url} as {path}, or give the path of a text file instead"
    )
