"""The maths of the methods: pure functions on tensors, one registry.

A is the target layer's activation, g the gradient of the explained score (of the raw logits) with respect to it, both
(B, C, h, w) of the same float dtype; sums without bounds are over all cells, S_c is the sum of A_c. Each gives the
signed map (B, h, w), batched and without loops. Cutting off and scaling come later, where a map is shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from livecam.errors import ModelError
from livecam.explain.perturbation import Perturbation, ablationcam, scorecam
from livecam.explain.targets import Objective, against_similar_classes, class_score

_SQUARINGS = 16


def gradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c mean(g_c) A_c.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017.
    """
    return _weighted(gradient.mean(dim=(2, 3), keepdim=True), activation)


def gradcam_plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c w_c A_c with w_c = sum(a_c relu(g_c)) and a_c = g_c^2 / (2 g_c^2 + S_c g_c^3), 0 where g_c is 0.

    Divided by g^2, a is 1 / (2 + S g): the same, but small gradients neither vanish nor need an epsilon.

    Chattopadhyay et al., "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional Networks",
    WACV 2018, equation 19.
    """
    denominator = 2 + activation.sum(dim=(2, 3), keepdim=True) * gradient
    alpha = torch.where(denominator == 0, 0, 1 / denominator)
    return _weighted((alpha * gradient.relu()).sum(dim=(2, 3), keepdim=True), activation)


def hirescam(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c g_c A_c.

    Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
    2020.
    """
    return _weighted(gradient, activation)


def elementwise(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c relu(g_c A_c): element-wise Grad-CAM.

    Pillai and Pirsiavash, "Explainable Models with Consistent Interpretations", AAAI 2021.
    """
    return (gradient * activation).relu().sum(dim=1)


def layercam(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c relu(g_c) A_c.

    Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", TIP 2021.
    """
    return _weighted(gradient.relu(), activation)


def xgradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c w_c A_c with w_c = sum(g_c A_c) / S_c, 0 where S_c is 0.

    Fu et al., "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs", BMVC 2020.
    """
    total = activation.sum(dim=(2, 3), keepdim=True)
    weighted = (gradient * activation).sum(dim=(2, 3), keepdim=True)
    return _weighted(torch.where(total == 0, 0, weighted / total), activation)


def eigencam(activation: Tensor) -> Tensor:
    """The centred activations' projection on their first principal component over the channels; of no class.

    The sign, which the decomposition leaves open, is the one that makes the map high where its strongest channels are:
    sum_c v_c^3 > 0, v the component. It changes only where that sum would pass through 0, not from frame to frame.

    Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020.
    """
    return _first_principal_map(activation)


def eigengradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """The same of g A.

    Gildenblat and contributors, "PyTorch library for CAM methods", 2021.
    """
    return _first_principal_map(gradient * activation)


def fem(activation: Tensor) -> Tensor:
    """sum_c w_c A_c, w_c the share of cells where A_c is above its mean by two standard deviations; of no class.

    Fuad et al., "Features Understanding in 3D CNNs for Actions Recognition in Video", IPTA 2020.
    """
    deviation, mean = torch.std_mean(activation, dim=(2, 3), correction=0, keepdim=True)
    rare = activation > mean + 2 * deviation
    return _weighted(rare.to(activation.dtype).mean(dim=(2, 3), keepdim=True), activation)


def _weighted(weights: Tensor, activation: Tensor) -> Tensor:
    return (weights * activation).sum(dim=1)


def _first_principal_map(features: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h, w): X v, X the centred (h w, C) matrix, v its first right singular vector."""
    cells = features.flatten(2).transpose(1, 2)
    # The first eigenvector of the smaller Gram matrix is cheap and, in double precision, as good as that of X.
    cells = cells.to(torch.float32 if features.device.type == "mps" else torch.float64)
    centred = cells - cells.mean(dim=1, keepdim=True)
    if cells.shape[1] <= cells.shape[2]:
        component = functional.normalize(centred.mT @ _first_eigenvector(centred @ centred.mT), dim=1)
    else:
        component = _first_eigenvector(centred.mT @ centred)
    upward = torch.where(component.pow(3).sum(dim=1, keepdim=True) < 0, -1, 1)
    return (centred @ component * upward).reshape(-1, *features.shape[2:]).to(features.dtype)


def _first_eigenvector(gram: Tensor) -> Tensor:
    """Positive semidefinite matrices (B, n, n) -> (B, n, 1), of length 1: power iteration by squaring the matrix.

    Sixteen squarings are 65,536 iterations: of two eigenvalues that differ by a thousandth the second is gone by then.
    Unlike `torch.linalg.eigh` this is plain matrix products, which every engine can compile.
    """
    for _ in range(_SQUARINGS):
        largest = gram.abs().amax(dim=(1, 2), keepdim=True)
        gram = torch.where(largest > 0, gram / largest, gram)
        gram = gram @ gram
    # By now every column is a multiple of it; the longest one is not 0.
    strongest = gram.square().sum(dim=1).argmax(dim=1)
    return functional.normalize(gram.gather(2, strongest[:, None, None].expand(-1, gram.shape[1], 1)), dim=1)


@dataclass(frozen=True)
class Gradient:
    """A method on activation and gradient; `objective` makes the score, whose gradient it is, of the logits.

    `features_only` says, here and below, that the maths takes the activation for features, 0 where they are not there:
    a layer whose channels are the classes' scores is then not chosen by itself.
    """

    compute: Callable[[Tensor, Tensor], Tensor]
    objective: Objective = class_score
    features_only: bool = False


@dataclass(frozen=True)
class Activation:
    """A method on the activation alone: the same map whatever the class."""

    compute: Callable[[Tensor], Tensor]
    features_only: bool = True


Method = Gradient | Activation | Perturbation

METHODS: dict[str, Method] = {
    "gradcam": Gradient(gradcam),
    "gradcam++": Gradient(gradcam_plus_plus, features_only=True),
    "hirescam": Gradient(hirescam),
    "layercam": Gradient(layercam),
    "xgradcam": Gradient(xgradcam, features_only=True),
    "elementwise": Gradient(elementwise),
    "finercam": Gradient(gradcam, objective=against_similar_classes),
    "eigencam": Activation(eigencam),
    "eigengradcam": Gradient(eigengradcam),
    "fem": Activation(fem),
    "scorecam": Perturbation(scorecam, features_only=True),
    "ablationcam": Perturbation(ablationcam),
}


def find_method(name: str) -> Method:
    """The method of this name. Raises ModelError."""
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ModelError(f"there is no method {name!r}; {hint}there are {', '.join(METHODS)}")
    return METHODS[name]
