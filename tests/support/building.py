"""A stand-in for the process that builds a compiled program."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from livecam.explain.engines.build import main
from livecam.explain.engines.cache import Entry


def build_here(patch: pytest.MonkeyPatch) -> None:
    """Let programs be built in this process, which has imported all that a process of its own would import for it."""
    patch.setattr("livecam.explain.engines.compilation.subprocess.Popen", _Builder)
    for name in ("spare_collector", "give_way"):  # they are for that process alone
        patch.setattr(f"livecam.explain.engines.build.cores.{name}", lambda: None)


class _Builder:
    """Takes the place of `subprocess.Popen`, and has ended when it is made."""

    pid = None

    def __init__(self, command: Sequence[str], stdin: IO[bytes], stdout: IO[bytes], **options: Any) -> None:
        *_, folder, entry = command
        self._code = 0
        try:
            with os.fdopen(os.dup(stdin.fileno()), "rb") as job:
                main(job, Path(folder), Entry(Path(entry)))
        except Exception:
            stdout.write(traceback.format_exc().encode())
            self._code = 1

    def poll(self) -> int:
        return self._code

    wait = poll
