"""Comparison with the maps of pytorch-grad-cam, both scaled to [0, 1] in its way, and the causes of differences.

`make bench` brings it. Where a map differs from the paper's formula, the known causes are applied to the formula until
both agree; each cause is verified by the difference that remains without it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from itertools import chain, combinations

import numpy as np
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.reshape_transforms import vit_reshape_transform
from torch import Tensor, nn

from benchmarks import formulas
from benchmarks.witness import TARGETS, WITNESSED, Witnessed
from livecam import Explainer
from livecam.models import Preprocessing, load_model

COMPARED = ("resnet18", "vgg16", "vit_b_16")
"""Which of the witness's architectures."""
FORWARD_PASSES = (("scorecam", "layer1"), ("ablationcam", "layer1"), ("ablationcam", "layer1.1.conv2"))
"""Methods that take a forward pass for each channel, and layers of few channels; the last one is signed."""
PEERS = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGradCAM",
    "elementwise": "GradCAMElementWise",
    "finercam": "FinerCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
    "fem": "FEM",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
}
EPSILON = "an epsilon of 1e-6 in the denominator"
IN_PLACE = "the activation is overwritten by the in-place ReLU behind the layer"
SIGN = "the sign is left as the decomposition happens to give it"
ALIGNED = "masks are interpolated with aligned corners"
FAR_BELOW = "channels of a signed layer are set to 1e7 below its minimum, not to 0"
SIGNED_SCORE = "divided by the score, which may be negative, not by its absolute value"

Maps = np.ndarray
"""(B, height, width) float in [0, 1], of the input's size."""
Causes = tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Largest absolute differences of maps in [0, 1], of a method at a layer, the `place`.

    `between` the two; of `livecam` and of the `peer` to the paper's formula; and what is `left` of the latter when the
    `causes` are taken into account. `same` is what float32 may make of one and the same map.
    """

    method: str
    place: str
    between: float
    livecam: float
    peer: float
    causes: Causes
    left: float
    same: float = 1e-4


def compare(architecture: str, witnessed: Witnessed, method: str) -> Comparison:
    """Compare a method based on activation and gradient, at the witness's layer."""
    side, batch, targets = witnessed.batch.shape[-1], witnessed.batch[:WITNESSED], TARGETS[:WITNESSED]
    reshape = vit_reshape_transform if architecture.startswith("vit") else None

    def theirs(causes: Causes) -> Maps:
        known = witnessed.explainer.classifier.module
        module = _not_in_place(known) if IN_PLACE in causes else known
        return peer_maps(PEERS[method], module, witnessed.layer, batch, targets, reshape)

    def papers(causes: Causes) -> list[Maps]:
        maps = formula_with_epsilon(witnessed) if EPSILON in causes else witnessed.formula(method)
        return [scaled(maps, side), scaled(-maps, side)] if SIGN in causes else [scaled(maps, side)]

    return _compared(
        method,
        f"{architecture} {witnessed.layer}",
        scaled(witnessed.whole_way(method, WITNESSED), side),
        theirs,
        papers,
        [IN_PLACE, *{"gradcam++": [EPSILON], "eigencam": [SIGN], "eigengradcam": [SIGN]}.get(method, [])],
        same=5e-3 if witnessed.cancels(method) else 1e-4,
    )


def compare_forward_passes(method: str, layer: str, side: int = 64) -> Comparison:
    """Compare Score-CAM or Ablation-CAM at a layer of ResNet-18, for a picture's best class and for another's worst."""
    module = load_model("resnet18", weights="none").module.eval()
    batch = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        logits = module(batch)
    targets = [int(logits[0].argmax()), int(logits[1].argmin())]
    scores = logits[[0, 1], targets].numpy()

    def theirs(causes: Causes) -> Maps:
        return peer_maps(PEERS[method], module, layer, batch, targets)

    def papers(causes: Causes) -> list[Maps]:
        maps = np.stack([formula(image, target, causes) for image, target in zip(batch, targets, strict=True)])
        return [scaled(maps * np.sign(scores)[:, None, None] if SIGNED_SCORE in causes else maps, side)]

    def formula(image: Tensor, target: int, causes: Causes) -> np.ndarray:
        if method == "scorecam":
            return formulas.scorecam(module, layer, image, target, align_corners=ALIGNED in causes)
        if FAR_BELOW in causes:
            return formulas.ablationcam(module, layer, image, target, absent=lambda output: float(output.min()) - 1e7)
        return formulas.ablationcam(module, layer, image, target)

    explainer = Explainer(module, method=method, layer=layer, preprocessing=Preprocessing(size=(side, side)))
    livecam = scaled(explainer.cam(batch, targets).numpy(), side)
    known = [ALIGNED] if method == "scorecam" else [SIGNED_SCORE, FAR_BELOW]
    return _compared(method, f"resnet18 {layer}", livecam, theirs, papers, known)


def _compared(
    method: str,
    place: str,
    livecam: Maps,
    theirs: Callable[[Causes], Maps],
    papers: Callable[[Causes], list[Maps]],
    known: Sequence[str],
    same: float = 1e-4,
) -> Comparison:
    """`theirs` and `papers` give the peer's maps and the formula's (in all that they may be) without or with causes."""
    peer, paper = theirs(()), papers(())
    causes: Causes = ()
    left = distance(peer, paper)
    for causes in chain.from_iterable(combinations(known, size) for size in range(len(known) + 1)):
        left = distance(theirs(causes) if causes else peer, papers(causes))
        if left <= same:
            break
    return Comparison(
        method, place, distance(peer, [livecam]), distance(livecam, paper), distance(peer, paper), causes, left, same
    )


def peer_maps(
    name: str,
    module: nn.Module,
    layer: str,
    batch: Tensor,
    targets: Sequence[int],
    reshape: Callable[[Tensor], Tensor] | None = None,
) -> Maps:
    """Return the maps of pytorch-grad-cam's class of this name."""
    layers = [module.get_submodule(layer)]
    with getattr(pytorch_grad_cam, name)(module, layers, reshape_transform=reshape) as cam, redirect_stderr(StringIO()):
        if name == "FinerCAM":  # its own choice of the similar classes takes one target for all pictures
            return np.concatenate(
                [cam(image[None], target_idx=target) for image, target in zip(batch, targets, strict=True)]
            )
        return cam(batch, [ClassifierOutputTarget(target) for target in targets])


def formula_with_epsilon(witnessed: Witnessed) -> np.ndarray:
    """Return Grad-CAM++ as implemented by the peer, (WITNESSED, h, w) in float64."""
    maps = []
    for a, g in witnessed.of_class:
        total = a.sum(axis=(1, 2), keepdims=True)
        alpha = np.where(g != 0, g**2 / (2 * g**2 + total * g**3 + 1e-6), 0)
        weights = (alpha * np.maximum(g, 0)).sum(axis=(1, 2))
        maps.append(np.einsum("c,chw->hw", weights, a))
    return np.stack(maps)


def scaled(maps: np.ndarray, side: int) -> Maps:
    """Signed maps (B, h, w) brought to [0, 1] and to the input's size as the peer does it: twice, by its own code."""
    of_layer = scale_cam_image(np.maximum(maps, 0), (side, side))
    return scale_cam_image(np.maximum(of_layer, 0))


def distance(maps: Maps, candidates: Sequence[Maps]) -> float:
    """Return the largest absolute difference; each picture is compared with its nearest candidate."""
    differences = np.stack([np.abs(maps - candidate).max(axis=(1, 2)) for candidate in candidates])
    return float(differences.min(axis=0).max())


def _not_in_place(module: nn.Module) -> nn.Module:
    """Return a copy of the model whose ReLUs are not in place."""
    module = copy.deepcopy(module)
    for child in module.modules():
        if isinstance(child, nn.ReLU):
            child.inplace = False
    return module
