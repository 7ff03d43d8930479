"""The small C++ library that runs compiled programs: built once for each version of torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import torch

from livecam.errors import LivecamError

_TORCH = Path(torch.__file__).parent
_SOURCE = Path(__file__).with_name("runner.cpp")
_loading, _is_loaded = threading.Lock(), threading.Event()


class CompilerError(LivecamError):
    """A program cannot be compiled here."""


def find_compiler() -> str:
    """The C++ compiler's path. Raises CompilerError, with what to do."""
    for name in ("g++", "clang++", "c++"):
        if path := shutil.which(name):
            return path
    raise CompilerError("there is no C++ compiler; install one, on Debian or Ubuntu with apt install g++")


def build_once(library: Path) -> None:
    """Compile the library into this file, unless it is there. Raises CompilerError."""
    if library.exists():
        return
    draft = library.with_name(f"{library.name}.{os.getpid()}")  # another process may be at it as well
    headers, libraries = _TORCH / "include", _TORCH / "lib"
    includes = [f"-I{headers}", f"-I{headers / 'torch' / 'csrc' / 'api' / 'include'}"]
    undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    command = [find_compiler(), "-O1", "-std=c++20", "-shared", "-fPIC", *undefined, *includes, str(_SOURCE)]
    done = subprocess.run(
        [*command, "-o", str(draft), f"-L{libraries}", "-ltorch", "-ltorch_cpu", "-lc10"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise CompilerError(f"the C++ compiler failed: {_first_error(done.stderr)}")
    draft.replace(library)


def program_class(library: Path) -> type:
    """The class `Program`, made of the path of a package; its method `run` takes and gives a list of tensors."""
    with _loading:
        # Once for a process: a second library, also under another name, would register the class again and abort.
        if not _is_loaded.is_set():
            torch.classes.load_library(str(library))
            _is_loaded.set()
    return torch.classes.livecam.Program


def _first_error(text: str) -> str:
    lines = text.splitlines() or [""]
    return next((line for line in lines if "error" in line.lower()), lines[-1])
