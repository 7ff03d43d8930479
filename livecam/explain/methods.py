"""The methods: their maths as pure functions on tensors, and a registry that says what each method needs.

A is the target layer's activation, g the gradient of the explained score (of the raw output) with respect to it, both
(B, C, h, w) of the same float dtype; sums without bounds are over all cells, S_c is the sum of A_c. Functions of A and
g return the signed map (B, h, w), batched and without loops; functions of a probe, which runs the model again, return
the weights of the channels (B, K, C). Maps are clipped and scaled later, when they are shown.

A new method is a function here and a line in `METHODS`, and its name in `livecam.names.METHODS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from livecam.errors import ModelError, ModelOptionError
from livecam.explain.device import at_least_single
from livecam.explain.forward import ForwardPass, LayerProbe
from livecam.text import similar

_SQUARINGS = 16


def gradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c mean(g_c) A_c.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017.
    """
    return _weighted(gradient.mean(dim=(2, 3), keepdim=True), activation)


def gradcam_plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c w_c A_c with w_c = sum(a_c relu(g_c)) and a_c = g_c^2 / (2 g_c^2 + S_c g_c^3), 0 where g_c is 0.

    Computed as a = 1 / (2 + S g), which is equal but does not underflow for small gradients and needs no epsilon.

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
    """Projection of the centred activations on their first principal component over channels; ignores the class.

    The sign, which the decomposition leaves open, is the one that makes the map high where its strongest channels are:
    sum_c v_c^5 > 0, v the component. The sign flips only when that sum crosses 0, so it does not flicker from frame to
    frame.

    Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020.
    """
    return _first_principal_map(activation)


def eigengradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Projection of the centred g A on its first principal component over channels, with the sign as in Eigen-CAM.

    Gildenblat and contributors, "PyTorch library for CAM methods", 2021.
    """
    return _first_principal_map(gradient * activation)


def fem(activation: Tensor) -> Tensor:
    """sum_c w_c A_c, w_c the share of cells where A_c exceeds its mean by two standard deviations; ignores the class.

    Fuad et al., "Features Understanding in 3D CNNs for Actions Recognition in Video", IPTA 2020.
    """
    deviation, mean = torch.std_mean(activation, dim=(2, 3), correction=0, keepdim=True)
    rare = activation > mean + 2 * deviation
    return _weighted(rare.to(activation.dtype).mean(dim=(2, 3), keepdim=True), activation)


def scorecam(probe: LayerProbe) -> Tensor:
    """w = softmax over the channels of y(x s(up(A_c))), s the min-max scaling, up bilinear to the input's size.

    Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPRW 2020. (The
    score of the blank input, which the paper subtracts, cancels in the softmax.)
    """
    activation = probe.activation

    def masked(pictures: Tensor, channels: Tensor) -> Tensor:
        mask = probe.on_pixels(activation[pictures, channels])
        pixels = tuple(range(1, mask.ndim))
        low, high = mask.amin(dim=pixels, keepdim=True), mask.amax(dim=pixels, keepdim=True)
        return (torch.where(high > low, (mask - low) / (high - low), 0) * probe.inputs[pictures]).to(probe.inputs.dtype)

    return _for_each_channel(
        probe, lambda pictures, channels: probe.scores_of_inputs(masked(pictures, channels), pictures)
    ).softmax(dim=2)


def ablationcam(probe: LayerProbe) -> Tensor:
    """w_c = (y - y without channel c) / |y|; the paper's y is positive.

    Desai and Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
    Localization", WACV 2020.
    """
    whole = probe.scores()[:, :, None]
    without = _for_each_channel(probe, lambda pictures, channels: probe.scores_without_channel(channels, pictures))
    return torch.where(whole == 0, 0, (whole - without) / whole.abs())


def legrad(gradient: Tensor) -> Tensor:
    """mean(relu(g)) over heads and queries, for each key.

    g is the gradient of the score y_l with respect to the attention A_l of block l, both (B, heads, queries, keys), and
    y_l is what the rest of the model, its last normalisation and its head, gives for what block l returns. The map is
    the mean over the blocks, less its lowest value. In a model whose head gathers the tokens by attention, A_l is the
    attention of the head for what block l returns.

    Bousselham et al., "LeGrad: An Explainability Method for Vision Transformers via Feature Formation Sensitivity",
    ICCV 2025.
    """
    return gradient.relu().mean(dim=(1, 2))


def rollout(attention: Sequence[Tensor], reading: Tensor) -> Tensor:
    """r (A_L + I)/2 ... (A_1 + I)/2, A_l the mean over the heads of block l's attention; ignores the class.

    I is the residual connection. r, `reading`, (B or 1, tokens), is 1 for the class token; else it is how much of each
    token behind the last block the head takes. The result is (B, tokens); the map is the picture's tokens in it, less
    their lowest value.

    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020.
    """
    for weights in reversed(attention):
        mean = at_least_single(weights).mean(dim=1)
        reading = (reading + (reading[:, None] @ mean)[:, 0]) / 2
    return reading


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
    upward = torch.where(component.pow(5).sum(dim=1, keepdim=True) < 0, -1, 1)
    return (centred @ component * upward).reshape(-1, *features.shape[2:]).to(features.dtype)


def _first_eigenvector(gram: Tensor) -> Tensor:
    """Positive semidefinite matrices (B, n, n) -> (B, n, 1), of length 1: power iteration by squaring the matrix.

    Sixteen squarings equal 65,536 iterations, enough to separate eigenvalues that differ by a thousandth. Unlike
    `torch.linalg.eigh` this is plain matrix products, which every engine can compile.
    """
    for _ in range(_SQUARINGS):
        largest = gram.abs().amax(dim=(1, 2), keepdim=True)
        gram = torch.where(largest > 0, gram / largest, gram)
        gram = gram @ gram
    # Every column is now a multiple of the eigenvector; the longest one is not 0.
    strongest = gram.square().sum(dim=1).argmax(dim=1)
    return functional.normalize(gram.gather(2, strongest[:, None, None].expand(-1, gram.shape[1], 1)), dim=1)


def _for_each_channel(probe: LayerProbe, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Call `score(pictures (N,), channels (N,)) -> (N, K)` for each channel of each picture; returns (B, K, C)."""
    pictures, channels = probe.activation.shape[:2]
    total = pictures * channels
    scores = []
    probe.progress(0, total)
    for begin in range(0, total, probe.rows_at_once):
        end = min(begin + probe.rows_at_once, total)
        rows = torch.arange(begin, end, device=probe.activation.device)
        scores.append(score(rows // channels, rows % channels))
        probe.progress(end, total)
    return torch.cat(scores).reshape(pictures, channels, -1).mT


@dataclass(frozen=True)
class Method(ABC):
    """A method: its name, its maths, and what it needs.

    Attributes:
        name: Its name on the command line.
        compute: The maths; its arguments and result depend on the kind of method.
        features_only: It interprets activations as features that are 0 when absent, so the automatic choice avoids a
            layer whose channels are the class scores.
        averages_gradient: It weighs channels by the mean of their gradient, which is 0 before a normalisation.
        against_similar: It explains the lead of the target's logit over those of the most similar classes.
        is_sensitive: The sign of its maps hangs on small differences, so half precision is only used if asked for.
        needs_gradient: The score is differentiated.
        needs_target: The map depends on the target.
        is_traceable: It is one function of tensors, which can be compiled.
        attends: It explains the attention of blocks instead of the output of layers.
        last_blocks: Of these, by default so many of the last ones.
    """

    name: str
    compute: Callable[..., Tensor]
    features_only: bool = False
    averages_gradient: bool = False
    against_similar: bool = False
    is_sensitive: bool = False
    needs_gradient: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    is_traceable: ClassVar[bool] = True
    attends: ClassVar[bool] = False
    last_blocks: ClassVar[int] = 1

    @abstractmethod
    def maps(self, passed: ForwardPass) -> list[Tensor]:
        """Return the signed maps at each layer, (B, K, h, w)."""


class Gradient(Method):
    """A method whose maths takes activation and gradient, (B, C, h, w) each, and returns the map (B, h, w)."""

    needs_gradient = True

    def maps(self, passed: ForwardPass) -> list[Tensor]:
        """Return the signed maps at each layer, (B, K, h, w)."""
        maps = [
            [
                self.compute(activation, gradient)
                for activation, gradient in zip(passed.activations, gradients, strict=True)
            ]
            for gradients in passed.gradients()
        ]
        return [torch.stack(of_layer, dim=1) for of_layer in zip(*maps, strict=True)]


class Activation(Method):
    """A method whose maths takes the activation alone, (B, C, h, w), and returns the map (B, h, w)."""

    needs_target = False

    def maps(self, passed: ForwardPass) -> list[Tensor]:
        """Return the signed map at each layer, the same for each of K targets: (B, K, h, w)."""
        targets = passed.targets.shape[1]
        return [self.compute(activation)[:, None].expand(-1, targets, -1, -1) for activation in passed.activations]


class Perturbation(Method):
    """A method whose maths takes a `LayerProbe`, and returns the weights of the channels, (B, K, C)."""

    is_traceable = False

    def maps(self, passed: ForwardPass) -> list[Tensor]:
        """Return the signed maps at each layer, sum_c w_c A_c: (B, K, h, w)."""
        probes = passed.probes()
        with torch.no_grad():
            return [torch.einsum("bkc,bchw->bkhw", self.compute(probe), probe.activation) for probe in probes]


class AttentionGradient(Method):
    """A method whose maths takes the gradient at the attention of a block, and returns values of tokens, (B, keys)."""

    needs_gradient = True
    attends = True
    last_blocks = 4

    def maps(self, passed: ForwardPass) -> list[Tensor]:
        """Return the signed maps of all blocks together, (B, K, h, w)."""
        maps = [
            _above_lowest(passed.blocks.on_grid(torch.stack([self.compute(each) for each in of_blocks]).mean(dim=0)))
            for of_blocks in passed.attention_gradients()
        ]
        return [torch.stack(maps, dim=1)]


class AttentionFlow(Method):
    """A method whose maths takes the attention of all blocks, and how the last tokens are read: see `rollout`."""

    needs_target = False
    attends = True

    def maps(self, passed: ForwardPass) -> list[Tensor]:
        """Return the map, the same for each of K targets: (B, K, h, w)."""
        reading = at_least_single(passed.blocks.readings()).mean(dim=1)
        of_tokens = self.compute(passed.blocks.attention, reading)
        flow = _above_lowest(passed.blocks.on_grid(of_tokens))
        return [flow[:, None].expand(-1, passed.targets.shape[1], -1, -1)]


def _above_lowest(maps: Tensor) -> Tensor:
    return maps - maps.amin(dim=(1, 2), keepdim=True)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Gradient("gradcam", gradcam, averages_gradient=True),
        Gradient("gradcam++", gradcam_plus_plus, features_only=True),
        Gradient("hirescam", hirescam),
        Gradient("layercam", layercam),
        Gradient("xgradcam", xgradcam, features_only=True),
        Gradient("elementwise", elementwise),
        Gradient("finercam", gradcam, averages_gradient=True, against_similar=True),
        Activation("eigencam", eigencam, features_only=True, is_sensitive=True),
        Gradient("eigengradcam", eigengradcam, is_sensitive=True),
        Activation("fem", fem, features_only=True),
        Perturbation("scorecam", scorecam, features_only=True),
        Perturbation("ablationcam", ablationcam),
        AttentionGradient("legrad", legrad),
        AttentionFlow("rollout", rollout),
    )
}


def find_method(name: str) -> Method:
    """Return the method of this name. Raises ModelError."""
    if name not in METHODS:
        near = similar(name, METHODS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ModelError(f"there is no method {name!r}; {hint}there are {', '.join(METHODS)}")
    return METHODS[name]


def check_askable(method: Method, wanted: Sequence[object], *, contrast: bool) -> None:
    """Raise ModelError if a class (or with `contrast`, a contrast) is asked of a method that ignores the class."""
    if method.needs_target:
        return
    if contrast:
        raise ModelOptionError(f"{method.name} does not explain a class; leave out against and negative")
    if any(name != "top1" for name in wanted):
        raise ModelOptionError(f"{method.name} does not explain a class; leave out target and top")
