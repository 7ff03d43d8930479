"""What is told of one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One line: a fact, and where something is to be done about it the next step.

    `state` is "ok", "absent" for what this machine simply has not got, such as a GPU, or "problem".
    """

    name: str
    state: Literal["ok", "absent", "problem"]
    fact: str
    next_step: str | None = None

    @classmethod
    def ok(cls, name: str, fact: str) -> Check:
        """It is there and works."""
        return cls(name, "ok", fact)

    @classmethod
    def absent(cls, name: str, fact: str) -> Check:
        """It is not there, which is nothing to be mended."""
        return cls(name, "absent", fact)

    @classmethod
    def problem(cls, name: str, fact: str, next_step: str) -> Check:
        """It should work and does not."""
        return cls(name, "problem", fact, next_step)

    @classmethod
    def of_message(cls, name: str, message: str) -> Check:
        """The same as livecam's errors tell it: "what is wrong; what to do"."""
        fact, _, next_step = message.partition("; ")
        return cls(name, "problem", fact, next_step)
