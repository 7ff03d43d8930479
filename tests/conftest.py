"""Shared fixtures: generated clips, and the program run as a user runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2  # noqa: F401 - before PyAV, as livecam does
import pytest
from click.testing import CliRunner, Result

from livecam.system.cores import before_torch_loads
from tests.support.clips import make_clip

if TYPE_CHECKING:
    from tests.support.cuda_stand_in import CudaStandIn

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # those who work side by side need all cores themselves
before_torch_loads()  # as the program does: threads that spin while they wait take the cores from all others


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
def livecam(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command line in this process: livecam("annotate", path, "-o", path).

    Files and streams are explained by `shapes`, which is quick, unless a model is named.
    """
    from livecam.cli import cli

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    monkeypatch.setattr("livecam.cli.options.default_model", lambda sources: "shapes")
    return run


@pytest.fixture(autouse=True)
def exact_on_a_gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests that are marked `gpu` compute float32 as float32: TF32, the default there, is good for three digits."""
    if request.node.get_closest_marker("gpu") is None:
        yield
        return
    from torch.backends.cudnn import conv

    before, conv.fp32_precision = conv.fp32_precision, "ieee"
    yield
    conv.fp32_precision = before


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> CudaStandIn:
    """Stands in for torch.cuda, so that what is written for a GPU runs without one."""
    from tests.support.cuda_stand_in import CudaStandIn

    return CudaStandIn(monkeypatch)


@pytest.fixture
def built_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds compiled programs in this process; one of their own takes five seconds, most of it to import torch."""
    from tests.support.building import build_here

    build_here(monkeypatch)


@pytest.fixture
def quick_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the network of `shapes` by a quick one, for tests that do not look at the heat."""
    from tests.support.tiny import quick_shapes

    for name in ("load", "build"):
        monkeypatch.setattr(f"livecam.models.shapes.{name}", quick_shapes)


@pytest.fixture
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def virtual_screen(no_screen: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A display without a monitor, under a number that is free."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "320x240x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as number:
                name = f":{number.readline().strip()}"
            monkeypatch.setenv("DISPLAY", name)
            yield name
        finally:
            server.terminate()
