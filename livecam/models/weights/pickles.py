"""Files of `torch.save`, read without running code.

torch's restricted reader makes only tensors and plain containers. Objects of other classes, which training scripts keep
beside the tensors, are read as stand-ins: their classes are neither imported nor called.
"""

from __future__ import annotations

import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

LEGACY_HEADER = 3
"""The number of pickles before the content in the format that torch wrote until version 1.6."""
CONSTRUCTED = frozenset(
    {
        "builtins.frozenset",
        "builtins.getattr",
        "builtins.range",
        "builtins.slice",
        "copyreg._reconstructor",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "functools.partial",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.dtype",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",
        "pathlib._local.WindowsPath",
        "timm.layers.format.Format",
        "types.SimpleNamespace",
    }
)
"""The callables in pickles of harmless values. All other calls are refused, since they may be meant to run code."""
CONTAINERS: dict[str, Callable[[], Any]] = {"collections.defaultdict": OrderedDict, "collections.deque": list}
"""Containers, and what stands for them: torch's reader fills no others."""
BLOCKED = ("nt", "os", "posix", "sys")
"""The modules of which torch's reader takes nothing, not even a stand-in."""


class CodeError(Exception):
    """A file would call this function if it was read by an ordinary reader of pickles."""


class _Value:
    """Stands for a value that was made by a call in `CONSTRUCTED`."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


class _NotCalled(type):
    """The type of stand-ins for classes and functions."""

    def __call__(cls, *arguments: object) -> NoReturn:
        raise CodeError(cls.__name__)


class _Object(metaclass=_NotCalled):
    """Stands for a class, the base of one stand-in each: its instances become mappings with the attributes beside."""

    def __new__(cls, *arguments: object) -> OrderedDict[str, Any]:  # type: ignore[misc]
        return OrderedDict()


def read_pickled(path: Path) -> Any:
    """Return the content of a file of `torch.save`.

    An object of another class than tensors and containers becomes an `OrderedDict` of its items, whose `__dict__` holds
    its attributes.

    Raises:
        CodeError: The file would run code in an ordinary reader.
        Exception: The file is damaged, or of another kind: any exception.
    """
    with path.open("rb") as file, warnings.catch_warnings(action="ignore"):
        names = _globals(path)
        stand_ins = [(_stand_in(name), spelling) for name, spellings in names.items() for spelling in spellings]
        with torch.serialization.safe_globals([*stand_ins]):
            try:
                return torch.load(file, map_location="cpu", weights_only=True)
            except Exception:
                for name in names:
                    if name.split(".")[0] in BLOCKED:
                        raise CodeError(name) from None
                raise


def _stand_in(name: str) -> Any:
    if container := CONTAINERS.get(name):
        return lambda *arguments: container()
    return _Value if name in CONSTRUCTED else _NotCalled(name, (_Object,), {})


def _globals(path: Path) -> dict[str, set[str]]:
    """Return the names of all classes and functions in a file, and how the file spells each, without reading the rest.

    Python writes the names that they had in Python 2, and torch translates most of them back.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            pickles = [list(pickletools.genops(file)) for _ in range(LEGACY_HEADER + 1)]
    else:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            pickles = [list(pickletools.genops(archive.read(name)))]
    found: dict[str, set[str]] = {}
    for module, name in (str(argument).split(" ") for code, argument, _ in pickles[-1] if code.name == "GLOBAL"):
        today = ".".join(NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name)))
        found.setdefault(today, set()).update((today, f"{module}.{name}"))
    return found
