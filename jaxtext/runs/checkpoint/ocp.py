"""`orbax.checkpoint`, imported when something of it is asked for.

It takes almost half a second to import, and a run has to save nothing until it trains.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    import orbax.checkpoint

    return getattr(orbax.checkpoint, name)
