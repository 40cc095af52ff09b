"""A real browser at a page: Chromium without a window, spoken to over the pipe of its DevTools protocol.

Knows the five calls that the tests need, and what the page said on its console. Ends only the process it started.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

SETTINGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-pipe",
    "--window-size=390,780",
)
COMPLAINTS = {"Runtime.exceptionThrown", "Log.entryAdded"}


class Chromium:
    """One browser with one tab; a context manager. ``spki``: the hash of the only public key it takes unsigned."""

    def __init__(self, folder: Path, *, spki: str) -> None:
        program = shutil.which("chromium")
        assert program is not None, "`make browser` installs it"
        read, their_write = os.pipe()
        their_read, write = os.pipe()
        # Chromium reads its orders from descriptor 3 and answers on 4.
        high = [os.dup(their_read), os.dup(their_write)]
        self._process = subprocess.Popen(
            [
                "/bin/bash",
                "-c",
                f'exec "$0" "$@" 3<&{high[0]} 4>&{high[1]}',
                program,
                *SETTINGS,
                f"--user-data-dir={folder}",
                f"--ignore-certificate-errors-spki-list={spki}",
            ],
            pass_fds=high,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in (their_read, their_write, *high):
            os.close(descriptor)
        self._orders = os.fdopen(write, "wb", buffering=0)
        self._answers = os.fdopen(read, "rb")
        self._count = 0
        self._session = ""
        self.complaints: list[str] = []
        """Exceptions, refused files and broken policies that the browser told of."""

    def __enter__(self) -> Self:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._session = ""
        self._call("Browser.close")
        assert self._process.wait(60) == 0
        self._orders.close()
        self._answers.close()

    def open(self, address: str) -> None:
        """Load a page."""
        said = self._call("Page.navigate", url=address)
        assert not said.get("errorText"), said

    def value(self, expression: str) -> Any:
        """What an expression is worth on the page."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def type(self, text: str) -> None:
        """Keystrokes to whatever has the focus, as a scanner types them."""
        for key in text:
            self._call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
            self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def enter(self) -> None:
        """The ENTER key."""
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self._call("Input.dispatchKeyEvent", type="keyDown", text="\r", **enter)
        self._call("Input.dispatchKeyEvent", type="keyUp", **enter)

    def tap(self, selector: str) -> None:
        """A finger on the middle of an element."""
        place = self.value(
            f"(() => {{const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            "return {x: r.x + r.width / 2, y: r.y + r.height / 2}})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def picture(self, path: Path) -> None:
        """What is seen now, as PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        order: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        self._orders.write(json.dumps(order).encode() + b"\0")
        while True:
            said = self._message()
            # a refusal by the station (401 before pairing) is an answer and no complaint of the browser
            if said.get("method") in COMPLAINTS and said["params"].get("entry", {}).get("source") != "network":
                self.complaints.append(json.dumps(said["params"]))
            if said.get("id") == self._count:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result

    def _message(self) -> dict[str, Any]:
        data = bytearray()
        while (one := self._answers.read(1)) != b"\0":
            assert one, "the browser is gone"
            data += one
        message: dict[str, Any] = json.loads(data)
        return message
