"""Segmentation: the model's output holds (B, classes, H, W), a score for each class in every pixel.

A class is explained by its mean score over its own pixels, which are those where it is the best; its map shows what
made them so. How sure the model is differs from pixel to pixel, so a class is told by the share of the picture that it
takes.

Vinogradova, Dibrov and Myers, "Towards Interpretable Semantic Segmentation via Gradient-weighted Class Activation
Mapping", AAAI 2020 (Seg-Grad-CAM).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.explain.answer import PictureAnswer
from livecam.explain.classification import SHOWN_PREDICTIONS, Classification
from livecam.explain.device import at_least_single
from livecam.explain.forward import Objective
from livecam.explain.methods import Method
from livecam.models.outputs import ScorePlace, find_maps

BACKGROUND = ("background", "__background__")
"""The names of the class of pixels that show nothing the model knows."""


class Segmentation(Classification):
    """The task of a model that scores classes in every pixel; arguments and errors are those of `Classification`."""

    explains_bottleneck = True
    are_shares = True
    unit = None

    def _find_scores(self, output: object) -> ScorePlace:
        place = find_maps(output, self._classifier.classes, self._classifier.preprocessing.size)
        if place is None:
            raise ModelError("the model gives no scores of classes for every pixel, (B, classes, height, width)")
        return place

    def ranking(self, output: Tensor) -> Tensor:
        """Return the share of the picture that each class takes, (B, classes); the background comes after the others.

        It is only before classes that are not in the picture.
        """
        present = self._present(output)
        shares = present.float().mean(dim=(2, 3))
        return torch.where(self._is_background, shares / (1 + present[0, 0].numel()), shares)

    def scores(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the targets' shares of the picture (B, K), the best classes (B, N) and their shares (B, N)."""
        shares = self._present(output).float().mean(dim=(2, 3))
        best = self.ranking(output).topk(min(SHOWN_PREDICTIONS, self.classes), dim=1).indices
        return self.where(output, targets).float().mean(dim=(2, 3)), best, shares.gather(1, best)

    def where(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the pixels of the targets, (B, K, H, W) bool."""
        return torch.stack([self._mask(output, target) for target in targets.unbind(dim=1)], dim=1)

    def located(self, answer: PictureAnswer, number: int) -> dict[str, Any]:
        """Return the mask of an explained class."""
        assert answer.where is not None
        return {"mask": answer.where[number]}

    def total(self, output: Any) -> Tensor:
        """Return a sum of the mean scores of a picture's classes, as `Classification` weighs them."""
        return self._weighted_sum(at_least_single(self.read(output)[0]).mean(dim=(1, 2)))

    def objective(self, method: Method) -> Objective:
        """Return the score that a method explains: of a class, over its own pixels; 0 if it has none."""
        of_means = super().objective(method)

        def objective(output: Tensor, target: Tensor) -> Tensor:
            logits = at_least_single(output)
            pixels = self._mask(logits.detach(), target).to(logits.dtype)
            weights = pixels / pixels.sum(dim=(1, 2), keepdim=True).clamp(min=1)
            return of_means((logits * weights[:, None]).sum(dim=(2, 3)), target)

        return objective

    def _present(self, logits: Tensor) -> Tensor:
        """Return in which pixels each class is, (B, classes, H, W) bool: where it is the best, or where it is likely.

        The latter if classes do not exclude each other.
        """
        if self._reading.scores == "sigmoid":
            return logits > 0
        best = logits.argmax(dim=1, keepdim=True)
        return best == torch.arange(self.classes, device=logits.device)[:, None, None]

    def _mask(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the pixels of a class or group, (B, H, W) bool."""
        members = self._membership[target]
        return (self._present(logits) & members[:, :, None, None]).any(dim=1)

    @property
    def _membership(self) -> Tensor:
        """Which classes each class, and behind them each group, consists of, (classes + groups, classes) bool."""
        own = torch.eye(self.classes, dtype=torch.bool, device=self._device)
        return torch.cat([own, *(own[members].any(dim=0, keepdim=True) for members in self._group_members)])

    @cached_property
    def _is_background(self) -> Tensor:
        labels = self._classifier.labels or [""] * self.classes
        return torch.tensor([label.lower() in BACKGROUND for label in labels], device=self._device)
