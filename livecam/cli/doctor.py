"""`livecam doctor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from livecam.cli.errors import EXIT_ERROR, ends_well
from livecam.cli.options import AS_JSON, Command
from livecam.cli.terminal import print_text
from livecam.text import printable

if TYPE_CHECKING:
    from livecam.doctor import Check, Finding

_MARKS = {
    "ok": click.style("[ok]", fg="green"),
    "absent": click.style("[--]", dim=True),
    "problem": click.style("[!!]", fg="yellow"),
}
_BROKEN = click.style("[XX]", fg="red", bold=True)
_NAME_WIDTH = 13


@click.command("doctor", cls=Command, params=[AS_JSON])
@ends_well
def doctor_command(as_json: bool) -> int | None:
    """Check this machine, and say how to fix what does not work.

    [ok] works. [--] is not present on this machine. [!!] is optional and does not work. [XX] is required and does not
    work; the exit code is then 1.
    """
    from livecam.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _print(finding)
    broken = [f"{finding.section.name} ({', '.join(finding.broken)})" for finding in findings if finding.broken]
    if as_json:
        print_text(json.dumps(_as_data(findings), indent=2))
    else:
        print_text(_verdict(findings, broken))
    return EXIT_ERROR if broken else None


def _as_data(findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "ok": not any(finding.broken for finding in findings),
        **{finding.section.name: finding.as_data() for finding in findings},
    }


def _print(finding: Finding) -> None:
    lines = [click.style(finding.section.title, bold=True)]
    for check in finding.checks:
        lines += _lines(check, is_broken=check.name in finding.broken)
    print_text("\n".join(lines) + "\n")


def _lines(check: Check, *, is_broken: bool) -> list[str]:
    mark = _BROKEN if is_broken else _MARKS[check.state]
    lines = [f"  {mark} {check.name:{_NAME_WIDTH}} {printable(check.fact)}"]
    if check.next_step is not None:
        lines.append(f"{'':{_NAME_WIDTH + 8}}-> {printable(check.next_step)}")
    return lines


def _verdict(findings: Sequence[Finding], broken: Sequence[str]) -> str:
    if broken:
        return f"livecam does not work on this machine. Fix first: {', '.join(broken)}."
    problems = [check.name for finding in findings for check in finding.checks if check.state == "problem"]
    rest = f" Optional, not working: {', '.join(problems)}." if problems else ""
    return f"Everything required works.{rest}"
