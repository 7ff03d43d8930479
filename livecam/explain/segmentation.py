"""Segmentation: the model's output holds (B, classes, H, W), a score for each class in every pixel.

A class is explained by its mean score over its own pixels, which are those where it is the best: its map shows what
made them so. Or the class at one point is explained, by its score there. Without a point, the score that is shown is
the share of the picture that the class takes, since how sure the model is differs from pixel to pixel.

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
from livecam.picture.media import Region

BACKGROUND = ("background", "__background__")
"""The names of the class of pixels that show nothing the model knows."""
_NOWHERE = -1.0


class Segmentation(Classification):
    """The task of a model that scores classes in every pixel; arguments and errors are those of `Classification`."""

    takes_points = True
    explains_bottleneck = True
    unit = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.see(self.seen(Region(), None))

    def _find_scores(self, output: object) -> ScorePlace:
        place = find_maps(output, self._classifier.classes, self._classifier.preprocessing.size)
        if place is None:
            raise ModelError("the model gives no scores of classes for every pixel, (B, classes, height, width)")
        return place

    def seen(self, region: Region, point: tuple[float, float] | None) -> tuple[float, ...]:
        """Return the edges of the picture and the point, x and y, in fractions of the input.

        Raises ModelError if the input does not show the point.
        """
        left, top, right, bottom = region
        width, height = right - left, bottom - top
        edges = -left / width, -top / height, (1 - left) / width, (1 - top) / height
        if point is None:
            return *edges, _NOWHERE, _NOWHERE
        x, y = (point[0] - left) / width, (point[1] - top) / height
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ModelError("the point lies where the model does not see the picture; --fit stretch shows it all")
        return *edges, x, y

    def see(self, seen: tuple[float, ...]) -> None:
        """From now on, count the pixels between these edges, and explain what is at this point, as `seen` returns."""
        self.are_shares = seen[-1] == _NOWHERE
        self.inputs = (torch.tensor(seen, device=self._device),)

    def ranking(self, output: Tensor) -> Tensor:
        """Return the numbers (B, classes) by which classes are ranked, the highest first.

        They are the scores at the point. Without one, they are shares of the picture, and the background comes after
        all other classes that are in the picture.
        """
        shares = self._shares_of_all(output)
        shares = torch.where(self._is_background, shares / (1 + output[0, 0].numel()), shares)
        return torch.where(self._has_point, self._at_point(output), shares)

    def scores(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the targets' scores (B, K), the best classes (B, N) and their scores (B, N).

        They are probabilities at the point, or without one, shares of the picture.
        """
        at_point = self._scored(self._at_point(output).float(), targets)
        best = self.ranking(output).topk(min(SHOWN_PREDICTIONS, self.classes), dim=1).indices
        of_picture = self._shares(self.where(output, targets)), best, self._shares_of_all(output).gather(1, best)
        chosen = [torch.where(self._has_point, *each) for each in zip(at_point, of_picture, strict=True)]
        return chosen[0], chosen[1], chosen[2]

    def where(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the pixels of the targets, (B, K, H, W) bool.

        They are those where the class is the best, or if classes do not exclude each other, where it is likely.
        """
        if not targets.shape[1]:  # a prediction explains none
            return output.new_zeros(len(output), 0, *output.shape[2:], dtype=torch.bool)
        members = self._membership[targets]
        if self._is_exclusive:
            rows = torch.arange(targets.numel(), device=output.device).reshape(*targets.shape, 1, 1) * self.classes
            # One row of memberships for all, since gathering along an axis of several is slow.
            masks = members.flatten()[rows + _best(output)[:, None]]
        else:
            masks = ((output > 0)[:, None] & members[:, :, :, None, None]).any(dim=2)
        return masks & self._inside(output)

    def pixels(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return how much each pixel counts in the scores of the targets, (B, K, H, W).

        It is the point alone. Without one, all pixels of a class count alike.
        """
        own = self.where(output, targets).float()
        own = own / own.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        numbers = torch.arange(own[0, 0].numel(), device=own.device).reshape(own.shape[2:])
        return torch.where(self._has_point, (numbers == self._pixel(output)).float(), own)

    def located(self, answer: PictureAnswer, number: int) -> dict[str, Any]:
        """Return the mask of an explained class."""
        assert answer.where is not None
        return {"mask": answer.where[number]}

    def total(self, output: Any) -> Tensor:
        """Return a sum of the mean scores of a picture's classes, as `Classification` weighs them."""
        return self._weighted_sum(at_least_single(self.read(output)[0]).mean(dim=(1, 2)))

    def objective(self, method: Method) -> Objective:
        """Return the score that a method explains: that of a class, averaged over `pixels`, (B, H, W)."""
        of_classes = super().objective(method)

        def objective(output: Tensor, target: Tensor, pixels: Tensor) -> Tensor:
            return of_classes((at_least_single(output) * pixels[:, None]).sum(dim=(2, 3)), target)

        return objective

    def report(self) -> dict[str, str]:
        """Return what the scores are, as plain data."""
        return {"scores": "share" if self.are_shares else self._reading.scores}

    @property
    def _is_exclusive(self) -> bool:
        """True if each pixel shows one class."""
        return self._reading.scores != "sigmoid"

    def _shares_of_all(self, output: Tensor) -> Tensor:
        """Return the shares of the picture that all classes take, (B, classes)."""
        if not self._is_exclusive:
            return self._shares((output > 0) & self._inside(output))
        inside = self._inside(output).float().flatten().expand(len(output), -1)
        counts = inside.new_zeros(output.shape[:2]).scatter_add(1, _best(output).flatten(1), inside)
        return counts / inside[0].sum()

    def _shares(self, masks: Tensor) -> Tensor:
        """Return the shares of the picture, (B, N), that masks (B, N, H, W) bool take."""
        return masks.float().sum(dim=(2, 3)) / self._inside(masks).float().sum()

    def _inside(self, pixels: Tensor) -> Tensor:
        """Return which pixels of the input show the picture, (H, W) bool: padding does not."""
        (seen,) = self.inputs
        y, x = ((torch.arange(side, device=seen.device) + 0.5) / side for side in pixels.shape[2:])
        return ((y > seen[1]) & (y < seen[3]))[:, None] & ((x > seen[0]) & (x < seen[2]))

    def _at_point(self, output: Tensor) -> Tensor:
        """Return the scores at the point, (B, classes)."""
        place = self._pixel(output).expand(*output.shape[:2], 1)
        return output.flatten(2).gather(2, place)[:, :, 0]

    def _pixel(self, output: Tensor) -> Tensor:
        """Return the number of the pixel at the point, counted row by row; the first if there is no point."""
        (seen,) = self.inputs
        height, width = output.shape[2:]
        column = (seen[4] * width).long().clamp(0, width - 1)
        row = (seen[5] * height).long().clamp(0, height - 1)
        return row * width + column

    @property
    def _has_point(self) -> Tensor:
        return self.inputs[0][5] >= 0

    @property
    def _membership(self) -> Tensor:
        """Which classes each class, and behind them each group, consists of, (classes + groups, classes) bool."""
        own = torch.eye(self.classes, dtype=torch.bool, device=self._device)
        return torch.cat([own, *(own[members].any(dim=0, keepdim=True) for members in self._group_members)])

    @cached_property
    def _is_background(self) -> Tensor:
        labels = self._classifier.labels or [""] * self.classes
        return torch.tensor([label.lower() in BACKGROUND for label in labels], device=self._device)


def _best(logits: Tensor) -> Tensor:
    """Return the best class of each pixel, (B, H, W) int64."""
    return logits.argmax(dim=1)
