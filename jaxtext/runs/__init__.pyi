"""The public modules. `jaxtext/runs/__init__.py` loads each when it is first used."""

from . import (
    agreement,
    checkpoint,
    distributed,
    endings,
    interrupt,
    log,
    supervise,
    watchdog,
    workdir,
)

__all__ = [
    "agreement",
    "checkpoint",
    "distributed",
    "endings",
    "interrupt",
    "log",
    "supervise",
    "watchdog",
    "workdir",
]
