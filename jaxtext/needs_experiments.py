"""Ends a script with one line where the extra ``experiments`` is missing.

Scripts import this before the packages of that extra.
"""

import sys

from jaxtext.versions import lacking

_LACK = lacking("experiments")
if _LACK is not None:
    print(f"error: {_LACK}", file=sys.stderr)
    sys.exit(2)
