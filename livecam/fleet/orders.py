"""What travels between the command and the workers of a cluster, as plain data."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from livecam._version import __version__
from livecam.ledger import Ledger

Note = tuple[int, str]
"""A line for the user, with its level in `logging`."""


class Abandoned(Exception):  # noqa: N818 - not an error
    """Raised within a run that is to leave nothing behind."""


@dataclass(frozen=True)
class Order:
    """What every worker of a fleet is to know, as plain data.

    Attributes:
        folder: The current folder of the command, which names of files start from.
        carry_out: What does a run: `livecam.run.annotation.carry_out`.
        explainer: The arguments of the `Explainer`.
        level: The lowest level of `logging` that is told.
        cores: How many cores a worker has to itself.
        version: The version of livecam that gives the order.
        identity: What identifies the explainer on the machine of the command, see `livecam.models.identity`.
        kept: Parts that earlier runs have left, which stay.
    """

    folder: str
    carry_out: Callable[..., Ledger]
    explainer: Mapping[str, Any]
    level: int
    cores: int = 1
    version: str = __version__
    identity: Mapping[str, Any] = field(default_factory=dict)
    kept: frozenset[Path] = frozenset()


@dataclass(frozen=True)
class Result:
    """What became of a run: some hundred bytes.

    Attributes:
        ledger: Its account; None if it failed.
        error: Why it failed; None if it did not.
        notes: What is to be told of it.
        is_unable: True if the worker cannot do any run.
        machine: The name of its machine.
    """

    ledger: Ledger | None = None
    error: BaseException | None = None
    notes: tuple[Note, ...] = ()
    is_unable: bool = False
    machine: str = field(default_factory=platform.node)
