"""What the tests of models share: a hub that nobody can reach."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

attempts: list[tuple[object, ...]] = []
"""The connections that were tried."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    attempts.clear()

    def no_network(*arguments: object, **options: object) -> None:
        attempts.append(arguments)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"
