"""Modules of livecam run in processes of their own: what takes long, hangs or crashes there holds up nothing here."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def module_command(module: str, *arguments: object) -> list[str]:
    """The command that runs a module by this Python."""
    # -P: not what happens to lie in the current folder under the name of a module.
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def module_environment(**variables: str) -> dict[str, str]:
    """This process's environment, in which the command finds livecam wherever it lies; and these variables."""
    search_path = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path)), **variables}
