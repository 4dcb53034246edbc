"""What a script does before all else.

Scripts import this before anything that opens a file, and before the packages of the
extra ``experiments``. Where those are missing, it ends the script with one line.
"""

import sys

from jaxtext.streams import open_all, say
from jaxtext.versions import lacking

open_all()
_LACK = lacking("experiments")
if _LACK is not None:
    say(f"error: {_LACK}")
    sys.exit(2)
