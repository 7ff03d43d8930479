"""Sections of `livecam doctor` that go wrong, and two that do not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

from livecam.doctor import Check


def fails() -> Iterator[Check]:
    yield Check.ok("first", "fine")
    raise RuntimeError("the driver is of another kind")


def crashes() -> Iterator[Check]:
    yield Check.ok("first", "fine")
    os.write(1, b"what a library prints is not the report\n")
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs() -> Iterator[Check]:
    yield Check.ok("first", "fine")
    time.sleep(600)


def takes_a_while() -> Iterator[Check]:
    time.sleep(2)
    yield Check.ok("first", "fine")


def is_fine() -> Iterator[Check]:
    yield Check.ok("first", "fine")
