"""A page in headless Chromium, driven by what the browser itself offers for that.

Commands and answers are JSON over two pipes, each ended by a zero byte: the Chrome
DevTools Protocol. So tests need no package, and no port is opened.
"""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = 120.0  # seconds, of a machine that is busy with other tests
# Chromium reads from the file descriptor 3 and writes to 4.
_LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3), os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
    *("--disable-dev-shm-usage", "--window-size=1000,800"),
)


class Page:
    """A tab with a page in it."""

    def __init__(self, requests: int, answers: int):
        self._requests, self._answers = requests, answers
        self._received, self._numbers = b"", itertools.count(1)
        self._session = ""
        self.events: list[dict[str, Any]] = []

    def open(self, url: str, width: int = 1000, height: int = 800) -> None:
        """Opens a page in a new tab, and waits until it is loaded."""
        self._session = ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.send("Page.navigate", url=url)
        loaded = f"location.href == {json.dumps(url)} && document.readyState"
        self.wait(loaded, "complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        found = self.send(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, expression: str, value: Any = True) -> None:
        """Waits until an expression has a value."""
        end = time.monotonic() + PATIENCE
        while (found := self.evaluate(expression)) != value:
            assert time.monotonic() < end, f"{expression} is {found!r}"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Presses the mouse in the middle of an element."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
            self.send("Input.dispatchMouseEvent", type=kind, **place)

    def type(self, selector: str, text: str) -> None:
        """Clicks into a field, and types in place of what it holds."""
        self.click(selector)
        self.evaluate("document.activeElement.select()")
        self.send("Input.insertText", text=text)

    def screenshot(self, path: Path) -> None:
        """Writes a picture of the page."""
        data = self.send("Page.captureScreenshot")["data"]
        path.write_bytes(base64.b64decode(data))

    def requested(self) -> list[str]:
        """The addresses that the page asked for so far."""
        sent = [x for x in self.events if x["method"] == "Network.requestWillBeSent"]
        return [x["params"]["request"]["url"] for x in sent]

    def thrown(self) -> list[dict[str, Any]]:
        """The errors that nothing in the page caught."""
        return [x for x in self.events if x["method"] == "Runtime.exceptionThrown"]

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command, and returns its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._requests, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(end)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _receive(self, end):
        while b"\0" not in self._received:
            left = max(0.0, end - time.monotonic())
            assert select.select([self._answers], [], [], left)[0], "no answer"
            self._received += os.read(self._answers, 1 << 20)
        message, self._received = self._received.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def chromium():
    """Starts the browser, and ends it with the block."""
    assert PROGRAM is not None
    read_request, requests = _pipe()
    answers, write_answer = _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [sys.executable, "-c", _LAUNCH, str(read_request), str(write_answer)]
        command += [PROGRAM, f"--user-data-dir={profile}", *_FLAGS]
        process = subprocess.Popen(
            command,
            pass_fds=(read_request, write_answer),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_request)
        os.close(write_answer)
        page = Page(requests, answers)
        try:
            yield page
            page._session = ""
            page.send("Browser.close")
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            os.close(requests)
            os.close(answers)


def _pipe():
    """Both ends of a pipe, none of them one of those that Chromium's become."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends
