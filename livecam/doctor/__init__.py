"""Whether all is in place: each part of the machine that livecam builds on is tried, and what is missing is told."""

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


_PROBE = "livecam.doctor.probe"


@dataclass(frozen=True)
class Section:
    """Some checks; `probe` is the function that yields them, as "module:function"."""

    name: str
    title: str
    probe: str
    essential: tuple[str, ...] = ()
    """The checks without which nothing can be annotated."""
    timeout_seconds: float = 120.0
    """Most take one; importing torch takes long where the disk or the processor is busy."""


SECTIONS = (
    Section("versions", "Versions", "livecam.doctor.software:versions", ("torch", "torchvision", "opencv", "pyav")),
    Section("compute", "Computing", "livecam.doctor.compute:compute", ("chosen",)),
    Section("encoders", "Encoders", "livecam.doctor.codecs:encoders", ("libx264",)),
    Section("decoders", "Decoders", "livecam.doctor.codecs:decoders"),
    Section("weights", "Weights", "livecam.doctor.software:weights", ("shapes",)),
    Section("window", "Window", "livecam.doctor.peripherals:window"),
    Section("cameras", "Cameras", "livecam.doctor.peripherals:cameras", timeout_seconds=30.0),
)


@dataclass(frozen=True)
class Finding:
    """What came of a section."""

    section: Section
    checks: Sequence[Check]

    @property
    def broken(self) -> list[str]:
        """The essential checks that are not ok."""
        return [check.name for check in self.checks if check.name in self.section.essential and check.state != "ok"]

    def as_data(self) -> dict[str, dict[str, str | None]]:
        """The checks by name, as plain data for JSON: `state`, `fact` and `next_step`."""
        return {
            check.name: {key: value for key, value in asdict(check).items() if key != "name"} for check in self.checks
        }


def examine(sections: Sequence[Section] = SECTIONS) -> Iterator[Finding]:
    """All sections at once; the findings in their order, each as soon as it is there.

    What raises, crashes or hangs is told by the essential checks that it did not come to, or else by one with the name
    of its section.
    """
    begin = time.monotonic()
    with ExitStack() as children:
        started = [(section, children.enter_context(_child(section))) for section in sections]
        for section, child in started:
            yield Finding(section, _checks(section, child, begin + section.timeout_seconds))


@contextmanager
def _child(section: Section) -> Iterator[subprocess.Popen[str]]:
    """The process that looks at a section, which does not outlive the block."""
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
        # A second at least: without any, one that has long ended is not read either.
        told, messages = child.communicate(timeout=max(1.0, end - time.monotonic()))
        ending = _ending(child.returncode, messages)
    except subprocess.TimeoutExpired:
        child.kill()
        told, _ = child.communicate()
        ending = "it hangs"
    checks = [Check(**json.loads(line)) for line in told.splitlines()]
    if ending is not None:
        after = f" after {checks[-1].name}" if checks else ""
        advice = f"python -m {_PROBE} {section.probe} shows what it says"
        reached = {check.name for check in checks}
        missed = [name for name in section.essential if name not in reached] or [section.name]
        checks += [Check.problem(name, f"{ending}{after}", advice) for name in missed]
    return checks


def _ending(code: int, messages: str) -> str | None:
    """How a process ended, None where it ended well: on POSIX negative codes are signals, else an exception's line."""
    if code == 0:
        return None
    if code < 0:
        return f"it crashed ({signal.Signals(-code).name})"
    last_line = (messages.strip().splitlines() or [f"exit code {code}"])[-1]
    return f"it failed ({textwrap.shorten(last_line, 160, placeholder='...')})"
