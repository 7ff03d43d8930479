"""What all tests of the engines share: a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing in the user's cache is read or written."""
    monkeypatch.setenv("LIVECAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
