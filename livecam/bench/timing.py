"""How times are taken, and written down."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from livecam.machine import machine

WARM_UP_ROUNDS = 3


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, each once a round after some that warm up, so that all meet the same weather."""
    times_ms: dict[str, list[float]] = {name: [] for name in works}
    for number in range(WARM_UP_ROUNDS + rounds):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            if number >= WARM_UP_ROUNDS:
                times_ms[name].append(1000 * (time.perf_counter() - begin))
    return times_ms


def write_json(path: Path, results: dict[str, Any]) -> None:
    """Results with the machine and the command beside them."""
    facts = {"machine": machine(), "command": _command()}
    path.write_text(json.dumps({**facts, **results}, indent=2) + "\n", encoding="utf-8")


def _command() -> str:
    """What was typed, without the place of the interpreter or the script."""
    program, *arguments = sys.orig_argv
    if arguments and arguments[0].endswith("bin/livecam"):  # a script that the interpreter was started with
        program, *arguments = arguments
    return shlex.join([Path(program).name, *arguments])
