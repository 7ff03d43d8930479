"""The exceptions that livecam raises on purpose.

Each message is one line: "what is wrong; what to do". The command line prints it and exits with 1, or with 2 if an
option has a value that is never right. In Python the exception carries its cause (`raise ... from exc`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self


def some_of(names: Sequence[object], shown: int = 4) -> str:
    """Join the first few names with commas, then add how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(str(name) for name in names[:shown]) + more


def in_one_line(value: object) -> str:
    """Return the text of an exception or another value in one line, cut after 200 characters."""
    return " ".join(str(value).split())[:200]


def is_out_of_memory(error: BaseException) -> bool:
    """Return True for the error of Python or of a library that could not get the memory that it needs."""
    told = str(error)
    is_of_onednn = told == "could not create a primitive"  # what it cannot compute has no "primitive descriptor"
    return isinstance(error, MemoryError) or is_of_onednn or "allocate memory" in told or "Insufficient memory" in told


class LivecamError(Exception):
    """Base class of the errors that livecam raises on purpose."""


class InputError(LivecamError):
    """A source cannot be opened or read.

    Attributes:
        failed_files: Why, by the name of each file, if none of several can be read.
    """

    failed_files: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def of_all(cls, message: str, failed_files: Mapping[str, str]) -> Self:
        """Return the error of several files of which none can be read."""
        error = cls(message)
        error.failed_files = failed_files
        return error


class OutputError(LivecamError):
    """An output cannot be written, or a window cannot be opened."""


class ModelError(LivecamError):
    """A model cannot be loaded or used as asked: its name, weights, labels, layer, target, method or device."""


class OptionError(LivecamError):
    """An option has a value that is wrong for every input: a name that does not exist, or a number out of range."""


class ModelOptionError(ModelError, OptionError):
    """There is no model, device, layer or class of this name, or an option is out of range, or not for this model."""


class EncoderError(OutputError, OptionError):
    """There is no encoder of this name, or it does not have an option, or not with this value."""
