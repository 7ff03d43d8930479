"""The names of classes, read from a file."""

from __future__ import annotations

from pathlib import Path

from livecam.errors import ModelError


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a UTF-8 text file with one class per line; empty lines are skipped. Raises ModelError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelError(
            f"cannot read the labels {path}: {getattr(exc, 'strerror', None) or 'not UTF-8 text'}"
        ) from exc
    labels = tuple(line.strip() for line in lines if line.strip())
    if not labels:
        raise ModelError(f"the label file {path} is empty: it needs one class a line")
    return labels
