"""What is in a folder of outputs."""

from __future__ import annotations

from pathlib import Path


def shown_in(folder: Path) -> list[str]:
    """The names in a folder, sorted, without hidden ones such as that of the manifest."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
