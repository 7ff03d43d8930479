"""What several tests use: generated clips, and the program run as a user runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.clips import make_clip


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is compiled in the user's cache is neither used nor added to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVECAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Makes a clip in the test's folder: clip("name.mp4", frames=10, ...)."""

    def make(name: str = "clip.mp4", **facts: Any) -> Path:
        return make_clip(tmp_path / name, **facts)

    return make


@pytest.fixture
def livecam() -> Callable[..., Result]:
    """Runs the command line in this process: livecam("annotate", path, "-o", path)."""
    from livecam.cli import cli

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return run
