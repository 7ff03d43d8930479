"""The messages between the server and its pages: JSON objects, alone or in front of a payload.

A message with a payload is the length of the JSON as four bytes, little-endian, the JSON in UTF-8, and the payload. So
a picture and what is said of it cannot be mixed up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LARGEST_BYTES = 2_000_000
"""The largest message that a page may send."""
CODECS = ("h264", "jpeg")
ROLES = ("viewer", "camera")
COMMANDS = ("step", "point")
_LARGEST_JSON = 65_536
_LONGEST_TEXT = 1000
_LARGEST_COUNT = 2**53


class MalformedError(ValueError):
    """A page sent what no page of livecam sends."""


@dataclass(frozen=True)
class Hello:
    """The first message of a page.

    Attributes:
        token: Shows that the page's user was given the URL.
        page: A name that the page made for itself when it was loaded, and keeps when it connects again.
        role: "camera" to send the pictures of a camera, or "viewer".
        decodes: The codecs that the page can show, the best first.
        captured: How many frames the page has captured so far, each of which it has sent or dropped.
        dropped: How many of them it has dropped itself.
    """

    token: str
    page: str
    role: str
    decodes: tuple[str, ...]
    captured: int
    dropped: int


@dataclass(frozen=True)
class FrameHeader:
    """What a page says of a frame that its camera took.

    Attributes:
        codec: How it is encoded.
        is_key: True if it can be decoded without earlier ones.
        sequence: How many frames were sent before over the same connection.
        captured_ms: When it was taken, on a clock of the page.
        dropped: How many frames the page has dropped itself so far.
    """

    codec: str
    is_key: bool
    sequence: int
    captured_ms: float
    dropped: int


def packed(header: Mapping[str, Any], payload: bytes) -> bytes:
    """Return a message with a payload."""
    text = json.dumps(header).encode()
    return b"".join((len(text).to_bytes(4, "little"), text, payload))


def unpacked(message: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the JSON and the payload of a message. Raises MalformedError."""
    end = 4 + int.from_bytes(message[:4], "little")
    if not 4 < end <= min(len(message), _LARGEST_JSON):
        raise MalformedError("a header of an impossible length")
    return parsed(message[4:end]), memoryview(message)[end:]


def parsed(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text. Raises MalformedError."""
    if len(text) > _LARGEST_JSON:
        raise MalformedError("too much JSON")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise MalformedError("not JSON") from exc
    if not isinstance(message, dict):
        raise MalformedError("not a JSON object")
    return message


def hello_from(message: Mapping[str, Any]) -> Hello:
    """Read the first message of a page. Raises MalformedError."""
    if message.get("type") != "hello":
        raise MalformedError("the first message is not hello")
    decodes = message.get("decodes")
    if not isinstance(decodes, list) or not any(codec in CODECS for codec in decodes):
        raise MalformedError(f"decodes names none of {', '.join(CODECS)}")
    return Hello(
        token=_checked(message, "token", _is_text),
        page=_checked(message, "page", _is_text, ""),
        role=_checked(message, "role", ROLES.__contains__, "viewer"),
        decodes=tuple(codec for codec in decodes if codec in CODECS),
        captured=_checked(message, "captured", _is_count, 0),
        dropped=_checked(message, "dropped", _is_count, 0),
    )


def frame_from(message: Mapping[str, Any]) -> FrameHeader:
    """Read what comes in front of a frame. Raises MalformedError."""
    if message.get("type") != "frame":
        raise MalformedError("a payload that is no frame")
    return FrameHeader(
        codec=_checked(message, "codec", CODECS.__contains__),
        is_key=_checked(message, "key", _is_flag, False) or message["codec"] == "jpeg",
        sequence=_checked(message, "sequence", _is_count),
        captured_ms=_checked(message, "captured_ms", _is_number),
        dropped=_checked(message, "dropped", _is_count, 0),
    )


def command_from(message: Mapping[str, Any]) -> dict[str, Any]:
    """Check the form of a command, that is a message of type "set" or "do", and return it. Raises MalformedError."""
    if message["type"] == "do":
        command = _checked(message, "command", COMMANDS.__contains__)
        where = {"source": _is_count, "x": _is_share, "y": _is_share} if command == "point" else {}
        return {"type": "do", "command": command, **{name: _checked(message, name, where[name]) for name in where}}
    settings = {name: value for name, value in message.items() if name != "type"}
    if not settings:
        raise MalformedError("set without settings")
    return {"type": "set", **{name: _checked(settings, name, _is_setting) for name in settings}}


def count_from(message: Mapping[str, Any], name: str) -> int:
    """Return a whole number, from 0 on, of a message. Raises MalformedError."""
    return int(_checked(message, name, _is_count))


def number_from(message: Mapping[str, Any], name: str) -> float:
    """Return a number of a message. Raises MalformedError."""
    return float(_checked(message, name, _is_number))


def _checked(message: Mapping[str, Any], name: str, is_valid: Callable[[Any], bool], default: Any = None) -> Any:
    value = message.get(name, default)
    try:
        if is_valid(value):
            return value
    except TypeError:  # a list has no hash
        pass
    raise MalformedError(f"{name} is missing or cannot be this")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable()


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_setting(value: Any) -> bool:
    """Return True for what a setting may be; which there are, and with which values, is known to the run."""
    return value is None or _is_flag(value) or _is_number(value) or _is_text(value)
