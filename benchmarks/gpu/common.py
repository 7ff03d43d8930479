"""Settings and explainers that the steps share.

A step is a function that takes `Settings` and yields names and plain data, for JSON, as soon as they are known. The
last one is `summary`, a short text.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from livecam import Explainer
from livecam.bench.overhead import pictures
from livecam.explain.device import DTYPES
from livecam.explain.engines.cuda import CapturedProgram
from livecam.explain.engines.graph import Graph, trace
from livecam.models import torchvision_models
from livecam.models.efficientnet_lite import NAME as EFFICIENTNET
from livecam.models.efficientnet_lite import is_installed
from livecam.names import LAYER_METHODS

HALF, SINGLE = "fp16", "fp32"
FIXED_TARGET = 0
"""A class that is explained in every picture: which of two nearly equal classes is the best, rounding would decide."""
ANSWERS_TO_SETTLE = 6
PICTURES_TO_COME = 2000
"""Enough to repay capturing a CUDA graph, too few to repay compiling."""

Results = Iterator[tuple[str, Any]]
"""What a step yields."""


class SkippedError(Exception):
    """A step cannot run on this machine; the message says why."""


@dataclass(frozen=True)
class Settings:
    """The device, models and amounts that the steps measure with.

    `models` are timed, `run_models` explain whole files and live sources. `agreements` compares the maps of `methods`
    by `exact_model`, or `small_model` where a method takes many forward passes. `seconds` and `pictures` are of
    `identity`, `frames` of the clip of `files`, `live_frames` of the one of `live`, `soak_frames` of `memory`.
    `backend` is what `anchor` has torch.compile use.
    """

    device: str = "cuda"
    models: tuple[str, ...] = ("resnet50", "mobilenet_v3_large", "vit_b_16")
    run_models: tuple[str, ...] = ("shapes", "resnet50")
    exact_model: str = EFFICIENTNET if is_installed() else "resnet50"
    small_model: str = "shapes"
    methods: tuple[str, ...] = LAYER_METHODS
    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")
    batches: tuple[int, ...] = (1, 16, 32)
    rounds: int = 20
    seconds: float = 20.0
    pictures: int = 48
    size: str = "1920x1080"
    frames: int = 240
    live_size: str = "1280x720"
    live_frames: int = 480
    arrivals_fps: tuple[int, ...] = (60, 120)
    soak_frames: int = 2000
    backend: str = "inductor"


def told(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of a function, or its exception under `failed`, so that the step continues."""
    try:
        return work()
    except Exception as exc:
        traceback.print_exc()
        return {"failed": f"{type(exc).__name__}: {str(exc).strip()}"}


def make_explainer(model: str, settings: Settings, **options: Any) -> Explainer:
    """Return an explainer; models of torchvision, whose weights would have to be downloaded, have random ones."""
    weights = "none" if model in torchvision_models.names() else "default"
    return Explainer(model, weights=weights, device=settings.device, **options)


def settled(model: str, batch: int, settings: Settings) -> Explainer:
    """Return an explainer that has settled on its engine and precision."""
    explainer = make_explainer(model, settings)
    images = pictures(explainer, batch)
    explainer.expect(PICTURES_TO_COME, batch=batch)
    for _ in range(ANSWERS_TO_SETTLE):
        explainer.answer(images)
    explainer.settle()
    return explainer


def engine_of(explainer: Explainer) -> dict[str, str]:
    """Return the engine and the precision in use."""
    return {"engine": explainer.engine, "precision": explainer.precision}


def graph_of(explainer: Explainer, precision: str, images: Tensor) -> Graph:
    """Trace the program of an idle explainer for such pictures, in this precision."""
    program = explainer._runtime.engine.make_program(DTYPES[precision])
    return trace(program, explainer.classifier.module, images.to(explainer.device))


def capture(graph: Graph, precision: str, images: Tensor, device: torch.device) -> CapturedProgram:
    """Make a CUDA graph of a traced program, in the precision of the trace or in float32."""
    return CapturedProgram(graph.in_precision(DTYPES[precision]), images.to(device), device)
