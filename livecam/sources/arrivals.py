"""Files that arrive in folders, found by looking again and again: folders on a network tell nobody what arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from livecam.errors import InputError
from livecam.sources.inputs import files_in
from livecam.system.files import Version, is_being_written, version_of

QUIET_SECONDS = 2.0
"""A file that has not changed for so long may be whole. One that pauses for longer is done, and later done again."""
_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download")
"""What programs put into the name of a file that they have not finished."""


class Arrivals:
    """Finds the files that arrive in folders, once they are whole. Those that are there come first.

    A file is whole if its size and time have not changed for a while, and no process on this machine has it open for
    writing, as far as that can be found out. One that changes afterwards arrives again.

    Args:
        folders: The folders; those inside them are not looked into.
        endings: How the files end, in lower case.
        clock: Returns the time in seconds.

    Attributes:
        problem: Why a folder could not be looked into the last time; empty if all could.
    """

    def __init__(
        self, folders: Sequence[str], endings: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.problem = ""
        self._folders, self._endings, self._clock = folders, endings, clock
        self._since: dict[str, tuple[Version, float]] = {}
        self._arrived: dict[str, Version] = {}

    def look(self) -> list[str]:
        """Return the files that have arrived since the last call, in natural order in each folder."""
        whole = [name for name in self._names() if self._is_new(name)]
        self._arrived.update({name: self._since.pop(name)[0] for name in whole})
        return whole

    def _names(self) -> list[str]:
        self.problem = ""
        names: list[str] = []
        for folder in self._folders:
            try:
                names += filter(_may_be_finished, files_in(folder, self._endings))
            except InputError as exc:  # of a network that is away for a while
                self.problem = str(exc)
        return names

    def _is_new(self, name: str) -> bool:
        """Return True if a file is whole now, and has not arrived with this version."""
        version = version_of(name)
        if not version or version == self._arrived.get(name):
            return False
        known, since = self._since.get(name, ({}, 0.0))
        if version != known:
            self._since[name] = version, self._clock()
            return False
        return self._clock() - since >= QUIET_SECONDS and not is_being_written(Path(name))


def _may_be_finished(name: str) -> bool:
    return not any(suffix.lower() in _UNFINISHED for suffix in Path(name).suffixes)
