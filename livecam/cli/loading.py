"""Loading a model: what is checked before torch is imported, which takes seconds, and what is shown meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livecam.cli.terminal import waiting
from livecam.system.files import check_file
from livecam.system.paths import is_file_name

if TYPE_CHECKING:
    from livecam.explain.explainer import Explainer

log = logging.getLogger("livecam")


def check_only_file(names: Sequence[str]) -> None:
    """Check the file if it is the only source, before anything that reads it is imported. Raises InputError."""
    if len(names) == 1 and is_file_name(names[0]):
        check_file(Path(names[0]))


def loading(model: str) -> AbstractContextManager[None]:
    """Say at a terminal, inside the block, that a model is loaded, which begins with the import of torch."""
    return waiting(f"loading {model} …")


def load_explainer(**arguments: Any) -> Explainer:
    """Return an `Explainer` with these arguments. Raises LivecamError."""
    begin_seconds = time.perf_counter()
    with loading(arguments["model"]):
        from livecam.explain.explainer import Explainer

        explainer = Explainer(**arguments)
    if arguments["weights"] == "none":
        log.warning("%s has random weights, so what it says and its heatmaps mean nothing", arguments["model"])
    log.debug("%s was loaded in %.1f s", arguments["model"], time.perf_counter() - begin_seconds)
    return explainer
