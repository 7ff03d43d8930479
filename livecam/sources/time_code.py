"""The time code of a recording, such as 10:00:00:00: hours, minutes, seconds and frames of its first picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

_FORM = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")


def is_time_code(tags: Mapping[str, str]) -> bool:
    """Return True for the tags of a stream that has a time code."""
    return any(key.lower() == "timecode" for key in tags)


def tags_after(tags: Mapping[str, str], frames: int, rate: Fraction | None) -> dict[str, str]:
    """Return the tags of a video that begins some frames later; without its time code if that cannot be read."""
    later = {key: after(tag, frames, rate) if key.lower() == "timecode" else tag for key, tag in tags.items()}
    return {key: tag for key, tag in later.items() if tag}


def after(time_code: str, frames: int, rate: Fraction | None) -> str:
    """Return the time code some frames later, empty if that is unknown.

    After a semicolon or a point the first numbers of each minute are left out, except of each tenth, so that 29.97
    frames per second keep step with the clock: 2 of 30, 4 of 60.
    """
    match = _FORM.fullmatch(time_code)
    if match is None or not rate:
        return ""
    hours, minutes, seconds, separator, number = match.groups()
    fps = round(rate)
    dropped = fps // 15 if separator != ":" else 0
    minutes_before = 60 * int(hours) + int(minutes)
    count = (60 * minutes_before + int(seconds)) * fps + int(number) + frames
    count -= dropped * (minutes_before - minutes_before // 10)
    ten_minutes, rest = divmod(count, 600 * fps - 9 * dropped)
    minutes_passed = max((rest - dropped) // (60 * fps - dropped), 0)
    count += dropped * (9 * ten_minutes + minutes_passed)
    whole_seconds, number_now = divmod(count, fps)
    clock = f"{whole_seconds // 3600 % 24:02}:{whole_seconds // 60 % 60:02}:{whole_seconds % 60:02}"
    return f"{clock}{separator}{number_now:02}"
