"""The program as a user starts it, whose page a browser opens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 30


class Program:
    """`livecam live` with these arguments, in a process of its own, until the end of the block.

    Args:
        folder: Where its messages and its report are written.

    Attributes:
        url: The address that it has printed.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._messages, self._report = folder / "messages.txt", folder / "report.json"
        command = [sys.executable, "-m", "livecam", "live", *arguments, "--report", str(self._report)]
        with self._messages.open("wb") as messages:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=messages, text=True, env=dict(os.environ, OMP_NUM_THREADS="1")
            )
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()
        assert self.url, self.messages

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def messages(self) -> str:
        """What it has written to standard error so far."""
        return self._messages.read_text()

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(LONGEST_SECONDS)

    def report(self) -> dict[str, Any]:
        """Return the account of its first source, once it has ended."""
        return json.loads(self._report.read_text())["sources"][0]
