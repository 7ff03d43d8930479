"""Reference values for the methods: seven architectures, and the result of float64 autograd at a layer of each."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.formulas import FORMULAS, capture
from livecam import Explainer
from livecam.explain.methods import METHODS
from livecam.models import Preprocessing
from livecam.models.torchvision_models import build

# Smaller pictures than these models are for, to save time; the layer, where it is not the automatic one.
ARCHITECTURES: dict[str, tuple[int, str | None]] = {
    "resnet18": (128, None),
    "vgg16": (128, "features.28"),  # an in-place ReLU follows right behind
    "densenet121": (128, None),
    "mobilenet_v3_small": (128, None),
    "convnext_tiny": (128, None),
    "swin_t": (128, None),
    "vit_b_16": (224, None),
}
TARGETS = (3, 1, 4, 1)
WITNESSED = 2
"""How many pictures of the batch the slow witness sees."""


@dataclass(frozen=True)
class Witnessed:
    """An explainer with random weights, a batch (4, 3, side, side) of noise, and the float64 reference at the layer.

    `of_class` and `against_similar` are (activation, gradient), each (C, h, w) float64, of each reference picture.
    """

    explainer: Explainer
    layer: str
    batch: Tensor
    of_class: list[tuple[np.ndarray, np.ndarray]]
    against_similar: list[tuple[np.ndarray, np.ndarray]]

    def captured(self, method: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (activation, gradient) of each reference picture, for the score that the method explains."""
        return self.against_similar if method == "finercam" else self.of_class

    def cancels(self, method: str) -> bool:
        """Return True if the method divides by sums of signed activations, which may cancel out in float32."""
        return method == "xgradcam" and any(activation.min() < 0 for activation, _ in self.of_class)

    def formula(self, method: str) -> np.ndarray:
        """Return the paper's maps in float64, (WITNESSED, h, w)."""
        return np.stack([FORMULAS[method](*each) for each in self.captured(method)])

    def whole_way(self, method: str, pictures: int = len(TARGETS)) -> np.ndarray:
        """Return livecam's float32 maps of the first pictures in one batch, (pictures, h, w), from their inputs."""
        target = TARGETS[:pictures] if has_class(method) else None
        self.explainer.change(method, self.layer)
        return self.explainer.cam(self.batch[:pictures], target=target).numpy()

    def maths_alone(self, method: str) -> np.ndarray:
        """Return livecam's float64 maps, (WITNESSED, h, w), of the reference activations and gradients."""
        activations, gradients = (torch.from_numpy(np.stack(each)) for each in zip(*self.captured(method), strict=True))
        known = METHODS[method]
        return known.compute(*((activations, gradients) if known.needs_gradient else (activations,))).numpy()


def witness(architecture: str) -> Witnessed:
    """Build one of ARCHITECTURES, with the same weights each time, and compute its reference."""
    side, layer = ARCHITECTURES[architecture]
    # Not calibrated: activations that are normalised cancel in XGrad-CAM's sums, whose rounding would be all there is.
    module, preprocessing = build(architecture).module, Preprocessing(size=(side, side))
    batch = torch.randn(len(TARGETS), 3, side, side, generator=torch.Generator().manual_seed(1))
    explainer = Explainer(module, layer=layer, preprocessing=preprocessing)
    exact = copy.deepcopy(module).double().eval()
    _, height, width = explainer.cam(batch[:1]).shape
    of_class, against_similar = (
        [
            capture(method, exact, explainer.layer, (height, width), image, target)
            for image, target in zip(batch[:WITNESSED], TARGETS, strict=False)
        ]
        for method in ("gradcam", "finercam")
    )
    return Witnessed(explainer, explainer.layer, batch, of_class, against_similar)


def has_class(method: str) -> bool:
    """Return True if the method's maps depend on the class."""
    return METHODS[method].needs_target


def relative_error(given: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of maps (B, h, w), each relative to its own largest value."""
    axes = (1, 2)
    return float((np.abs(given - expected).max(axes) / np.abs(expected).max(axes)).max())
