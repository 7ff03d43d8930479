"""Debian's Chromium without a window, driven over the DevTools protocol, and the files that it takes for a camera.

Chromium reads commands from a pipe, so that it ends with the process that started it, however that ends.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

import av

PROGRAM = shutil.which("chromium")
_LONGEST_SECONDS = 30.0
_LOOK_SECONDS = 0.02
_WIDTH, _HEIGHT = 1280, 800
_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-backgrounding-occluded-windows",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--mute-audio",
    "--remote-debugging-pipe",
)


class Chromium:
    """A browser with a profile in `folder`, and the video file `camera` as its only camera, in an endless loop.

    Args:
        folder: An empty folder for the profile.
        camera: A video written by `write_y4m`; None for no camera.
        command: What the browser is started with, such as ("taskset", "-c", "0").
    """

    def __init__(self, folder: Path, camera: Path | None = None, *, command: Iterable[str] = ()) -> None:
        flags = [*_FLAGS, f"--user-data-dir={folder}"]
        if camera is not None:
            flags += [*_CAMERA, f"--use-file-for-fake-video-capture={camera}"]
        (reads, self._commands), (self._answers, writes) = os.pipe(), os.pipe()
        # Chromium expects the ends of the pipes as file descriptors 3 and 4.
        shell = ("bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash")
        self._process = subprocess.Popen(
            [*shell, *command, str(PROGRAM), *flags, "about:blank"],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(reads)
        os.close(writes)
        self._number = 0
        self._unread = b""
        self._messages: deque[dict[str, Any]] = deque()
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    @property
    def pid(self) -> int:
        """The number of the process and of its group."""
        return self._process.pid

    def open(self, url: str, *, script: str = "") -> Page:
        """Open a page in a window of its own, run a script before all others of it, and wait until it is loaded.

        As a context manager the page is closed at the end.
        """
        window: dict[str, Any] = {"newWindow": True, "width": _WIDTH, "height": _HEIGHT}
        target = self.call("Target.createTarget", url="about:blank", **window)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, target, session)
        for domain in ("Runtime", "Log", "Page"):
            page.call(f"{domain}.enable")
        page.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        page.call("Page.navigate", url=url)
        page.wait_for("document.readyState === 'complete'")
        return page

    def save_into(self, folder: Path) -> None:
        """Save the downloads of all pages in a folder from now on."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._commands, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self._next_message()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if page := self._pages.get(answer.get("sessionId", "")):
                page.hear(answer)

    def _next_message(self) -> dict[str, Any]:
        while not self._messages:
            readable, _, _ = select([self._answers], [], [], _LONGEST_SECONDS)
            data = os.read(self._answers, 1 << 20) if readable else b""
            if not data:
                raise TimeoutError("Chromium does not answer")
            *whole, self._unread = (self._unread + data).split(b"\0")
            self._messages.extend(map(json.loads, whole))
        return self._messages.popleft()


class Page:
    """A page in a window of its own.

    Attributes:
        problems: The uncaught exceptions of the page, and what the browser itself has logged as an error.
    """

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self.problems: list[str] = []
        self._browser, self._target, self._session = browser, target, session

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this page."""
        return self._browser.call(method, session=self._session, **parameters)

    def hear(self, event: dict[str, Any]) -> None:
        """Take note of an event of the protocol."""
        facts = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.problems.append(_described(facts["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.problems.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}".strip())

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression in JavaScript, or that of its promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {_described(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = _LONGEST_SECONDS) -> Any:
        """Wait until an expression is true, and return its value; while it throws, it counts as false."""
        deadline = time.monotonic() + seconds
        guarded = f"(async () => {{ try {{ return await ({script}) }} catch {{ return null }} }})()"
        while not (value := self.evaluate(guarded)):
            if time.monotonic() > deadline:
                said = self.evaluate("document.body.innerText")
                raise TimeoutError(f"not so within {seconds:g} s: {script}; problems: {self.problems}; it says: {said}")
            time.sleep(_LOOK_SECONDS)
        return value

    def appear(self, *, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Look like a screen of this size, dark or light, or like a phone."""
        scale = 2 if phone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> Path:
        """Write what the page looks like as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path

    def close(self) -> None:
        """Close the page as a user would."""
        self._browser.call("Target.closeTarget", targetId=self._target)


def _described(details: dict[str, Any]) -> str:
    return details.get("exception", {}).get("description") or details["text"]


def saved_file(folder: Path) -> Path:
    """Wait for the only file that is saved in a folder, until it is whole; before, its name ends otherwise."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not (whole := [path for path in folder.iterdir() if path.suffix != ".crdownload"]):
        assert time.monotonic() < deadline
        time.sleep(_LOOK_SECONDS)
    (path,) = whole
    return path


def write_y4m(path: Path, pictures: Iterable[av.VideoFrame], fps: int) -> Path:
    """Write 8-bit 4:2:0 pictures as the uncompressed video that Chromium takes for a camera."""
    with path.open("wb") as file:
        for number, picture in enumerate(pictures):
            if number == 0:
                file.write(f"YUV4MPEG2 W{picture.width} H{picture.height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
            file.write(b"FRAME\n" + picture.to_ndarray().tobytes())
    return path
