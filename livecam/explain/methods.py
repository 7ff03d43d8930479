"""The maths of the methods: pure functions on tensors, one registry.

Each takes the target layer's activation A and the gradient g of the class score (the raw logit) with respect to it,
both (B, C, h, w) of the same float dtype, and returns the signed map (B, h, w). Cutting off and scaling come later,
where a map is shown.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Method = Callable[[Tensor, Tensor], Tensor]


def gradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """sum_c mean_hw(g_c) A_c.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017.
    """
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * activation).sum(dim=1)


METHODS: dict[str, Method] = {"gradcam": gradcam}
