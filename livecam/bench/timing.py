"""Timing in interleaved rounds, and writing the results as JSON."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from livecam.system.files import write_whole
from livecam.system.machine import machine

WARM_UP_ROUNDS = 3


def wall_ms(work: Callable[[], object]) -> float:
    """Call a function once and return how many milliseconds it took."""
    begin = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin)


def interleaved(
    works: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[Callable[[], object]], float] = wall_ms
) -> dict[str, list[float]]:
    """Time functions in rounds, each once a round, so that background load hits all of them equally.

    Args:
        works: The functions, by name.
        rounds: How many rounds are timed, after a few that warm up.
        clock: Calls a function and returns its milliseconds.

    Returns:
        The milliseconds of each call, by name.
    """
    times_ms: dict[str, list[float]] = {name: [] for name in works}
    for number in range(WARM_UP_ROUNDS + rounds):
        for name, work in works.items():
            milliseconds = clock(work)
            if number >= WARM_UP_ROUNDS:
                times_ms[name].append(milliseconds)
    return times_ms


def write_json(path: Path, results: dict[str, Any]) -> None:
    """Write results as JSON, together with the machine and the command. Raises OutputError."""
    facts = {"machine": machine(), "command": typed_command()}
    write_whole(path, json.dumps({**facts, **results}, indent=2).encode() + b"\n")


def typed_command() -> str:
    """Return the command of this process as it was typed, without the paths of the interpreter and the script."""
    program, *arguments = sys.orig_argv
    if arguments and arguments[0].endswith("bin/livecam"):  # the interpreter was started with a script
        program, *arguments = arguments
    return shlex.join([Path(program).name, *arguments])
