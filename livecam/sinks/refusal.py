"""Why an encoder refuses to be opened: FFmpeg tells it only in its log.

PyAV's log can only be read by a whole process at once, and there it would hold up the threads of decoders. So the
encoder is tried again in a process of its own: `python -m livecam.sinks.refusal JSON` prints FFmpeg's messages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

from livecam.system.cores import module_command, module_environment

_SECONDS = 30
_FRACTIONS = ("time_base", "framerate")
_PLAIN = ("width", "height", "pix_fmt", "color_range")


def refusal(codec: str, context: av.VideoCodecContext, options: dict[str, str]) -> str:
    """Return why an encoder cannot be opened with these options, in FFmpeg's words; empty if it does not say."""
    facts = {name: getattr(context, name) for name in _PLAIN} | {
        name: str(getattr(context, name)) for name in _FRACTIONS
    }
    command = module_command(__name__, json.dumps({"codec": codec, "options": options, **facts}))
    with suppress(OSError, subprocess.TimeoutExpired):
        child = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            env=module_environment(),
            check=False,
        )
        return child.stdout.strip()
    return ""


def _open(facts: dict[str, Any]) -> None:
    context = av.CodecContext.create(facts["codec"], "w")
    for name in _PLAIN:
        setattr(context, name, facts[name])
    for name in _FRACTIONS:
        setattr(context, name, Fraction(facts[name]))
    context.options = facts["options"]
    context.open()


def main() -> None:
    """Open the encoder and print what FFmpeg says first, which the rest follows from."""
    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture() as messages, suppress(av.FFmpegError, ValueError):
        _open(json.loads(sys.argv[1]))
    print(*(message.strip().rstrip(".:") for _, _, message in messages[:1]))


if __name__ == "__main__":
    main()
