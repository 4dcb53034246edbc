"""What other libraries print of a save that fails."""

import logging
import sys
from types import SimpleNamespace

from common.quiet import quiet_orbax


def test_only_what_is_told_elsewhere_is_silenced(monkeypatch):
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    for name in ("absl", "asyncio"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.WARNING)
    quiet_orbax()
    quiet_orbax()  # a second run in the same process
    for said in ("Event loop is closed", "Event"):
        sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(said)))
    sys.unraisablehook(SimpleNamespace(exc_value=KeyError("Event loop is closed")))
    assert [type(x.exc_value) for x in heard] == [RuntimeError, KeyError]
    assert str(heard[0].exc_value) == "Event"
    assert not logging.getLogger("asyncio").isEnabledFor(logging.ERROR)
