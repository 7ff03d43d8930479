"""Checks of everything on the machine that livecam depends on, in sections that are isolated from each other.

Each section runs in a process of its own, so that one that crashes or hangs costs one line of the report.
"""

from __future__ import annotations

import json
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

from livecam.system.cores import module_command, module_environment


@dataclass(frozen=True)
class Check:
    """One line of the report: a fact and, for a problem, what to do about it.

    `state` is "ok", "absent" (not present on this machine, such as a GPU), or "problem".
    """

    name: str
    state: Literal["ok", "absent", "problem"]
    fact: str
    next_step: str | None = None

    @classmethod
    def ok(cls, name: str, fact: str) -> Check:
        """Create a check with the state "ok"."""
        return cls(name, "ok", fact)

    @classmethod
    def absent(cls, name: str, fact: str) -> Check:
        """Create a check with the state "absent", for something that this machine does not have and does not need."""
        return cls(name, "absent", fact)

    @classmethod
    def problem(cls, name: str, fact: str, next_step: str) -> Check:
        """Create a check with the state "problem"."""
        return cls(name, "problem", fact, next_step)

    @classmethod
    def of_message(cls, name: str, message: str) -> Check:
        """Create a check with the state "problem" from the message of a livecam error: "what is wrong; what to do"."""
        fact, _, next_step = message.partition("; ")
        return cls(name, "problem", fact, next_step)


_PROBE = "livecam.doctor.probe"


@dataclass(frozen=True)
class Section:
    """A group of checks; `probe` names the function that yields them, as "module:function"."""

    name: str
    title: str
    probe: str
    essential: tuple[str, ...] = ()
    """Names of the checks that have to be ok for annotating to work."""
    timeout_seconds: float = 120.0
    """Most sections take a second; importing torch takes long on a busy machine."""


SECTIONS = (
    Section("versions", "Versions", "livecam.doctor.software:versions", ("torch", "torchvision", "opencv", "pyav")),
    Section("compute", "Computing", "livecam.doctor.compute:compute", ("chosen",)),
    Section("encoders", "Encoders", "livecam.doctor.codecs:encoders", ("libx264",)),
    Section("decoders", "Decoders", "livecam.doctor.codecs:decoders"),
    Section("protocols", "Protocols", "livecam.doctor.software:protocols"),
    Section("weights", "Weights", "livecam.doctor.software:weights", ("shapes",)),
    Section("window", "Window", "livecam.doctor.peripherals:window"),
    Section("cluster", "Cluster", "livecam.doctor.cluster:cluster"),
    Section("cameras", "Cameras", "livecam.doctor.peripherals:cameras", timeout_seconds=30.0),
)


@dataclass(frozen=True)
class Finding:
    """A section together with the results of its checks."""

    section: Section
    checks: Sequence[Check]

    @property
    def broken(self) -> list[str]:
        """The names of the essential checks that are not ok."""
        return [check.name for check in self.checks if check.name in self.section.essential and check.state != "ok"]

    def as_data(self) -> dict[str, dict[str, str | None]]:
        """Return the checks as plain data for JSON: a dict by name, each with `state`, `fact` and `next_step`."""
        return {
            check.name: {key: value for key, value in asdict(check).items() if key != "name"} for check in self.checks
        }


def examine(sections: Sequence[Section] = SECTIONS) -> Iterator[Finding]:
    """Run all sections at the same time and yield their findings in order, each as soon as it is known.

    A section that raises, crashes or hangs yields a problem for each essential check that it did not reach, or, if it
    reached them all, one problem with the name of the section.
    """
    begin = time.monotonic()
    with ExitStack() as children:
        started = [(section, children.enter_context(_child(section))) for section in sections]
        for section, child in started:
            yield Finding(section, _checks(section, child, begin + section.timeout_seconds))


@contextmanager
def _child(section: Section) -> Iterator[subprocess.Popen[str]]:
    """A context manager that runs a section in a child process and kills it at the end of the block."""
    with subprocess.Popen(
        module_command(_PROBE, section.probe),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=module_environment(),
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def _checks(section: Section, child: subprocess.Popen[str], end: float) -> list[Check]:
    try:
        # At least a second: with a timeout of 0 the output of a process that has ended would not be read.
        told, messages = child.communicate(timeout=max(1.0, end - time.monotonic()))
        ending = _ending(child.returncode, messages)
    except subprocess.TimeoutExpired:
        child.kill()
        told, _ = child.communicate()
        ending = "it hangs"
    checks = [Check(**json.loads(line)) for line in told.splitlines()]
    if ending is not None:
        after = f" after {checks[-1].name}" if checks else ""
        advice = f"run python -m {_PROBE} {section.probe} to see the error"
        reached = {check.name for check in checks}
        missed = [name for name in section.essential if name not in reached] or [section.name]
        checks += [Check.problem(name, f"{ending}{after}", advice) for name in missed]
    return checks


def _ending(code: int, messages: str) -> str | None:
    """Describe how a process failed, None if it did not; on POSIX a negative exit code is the number of a signal."""
    if code == 0:
        return None
    if code < 0:
        return f"it crashed ({signal.Signals(-code).name})"
    last_line = (messages.strip().splitlines() or [f"exit code {code}"])[-1]
    return f"it failed ({textwrap.shorten(last_line, 160, placeholder='...')})"
