"""What can go wrong, as the user is told it.

Each message is one line that says what is wrong and what to do about it. The command line prints it as it is and exits
with 1; through the API the exception carries the cause (`raise ... from exc`).
"""

from __future__ import annotations

from collections.abc import Sequence


def some_of(names: Sequence[object], shown: int = 4) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(str(name) for name in names[:shown]) + more


class LivecamError(Exception):
    """Root of every error that livecam raises on purpose."""


class InputError(LivecamError):
    """A source that cannot be opened or read: name another one, or mend the file."""


class OutputError(LivecamError):
    """An output that cannot be written: choose another place, name, codec, or free some space."""


class ModelError(LivecamError):
    """A model, its weights, labels, layer, target or device that does not fit: the message lists what does."""
