"""Short names of texts, from what their files are called."""

import re
from pathlib import PurePosixPath


def slug(name: str) -> str:
    """A name of [A-Za-z0-9._-] only, which can be part of a file's name.

    Example:
      >>> slug("Alice's Adventures"), slug("--flag"), slug("дата")
      ('Alice-s-Adventures', 'flag', 'corpus')
    """
    # Without leading dots (hidden) and dashes (which look like a flag).
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40] or "corpus"


def last_part(url: str) -> PurePosixPath:
    """The last part of a URL's path, or else its host or bucket.

    Example:
      >>> last_part("https://host/texts/my.text.txt?raw=1").stem
      'my.text'
      >>> last_part("gs://bucket/texts/").name, last_part("gs://bucket").name
      ('texts', 'bucket')
    """
    return PurePosixPath(PurePosixPath(re.sub(r"^[^:]+://|[?#].*", "", url)).name)
