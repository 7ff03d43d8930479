"""Detection: the model's output holds candidates for boxes, each with a score for every class.

This module chooses the boxes to explain. A target is a class or a group of classes, which stands for all boxes of it,
or a single box, whose number is below 0. The explained score of several boxes is the sum of their logits: the gradient
of it is the sum of the boxes' own, in one unit, so that all take one backward pass.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.explain.answer import PictureAnswer
from livecam.explain.boxes import MOST_BOXES, found_boxes
from livecam.explain.classification import SHOWN_PREDICTIONS, Classification, ClassSelection
from livecam.explain.device import at_least_single
from livecam.explain.forward import Objective
from livecam.explain.methods import Method
from livecam.explain.targets import Target, Wanted
from livecam.explanation import Box, ClassMap, Explanation
from livecam.models.classifier import USUAL_CONFIDENCE, Classifier
from livecam.models.detectors import detections_in
from livecam.models.squashing import Squashing
from livecam.picture.media import Region

_EDGES, _SCORE, _LABEL, _LOGITS = slice(4), 4, 5, slice(6, None)
"""The parts of a row of `found_boxes`."""


class BoxSelection(ClassSelection):
    """Picks the classes or boxes to explain, as `livecam.explain.task.Selection` describes it."""

    _task: Detection

    def explanation(self, answer: PictureAnswer, *, region: Region, frame_index: int, way: str = "") -> Explanation:
        """Convert a picture's answer to an explanation with boxes; raises ModelError if a map is not finite."""
        explanation = super().explanation(answer, region=region, frame_index=frame_index, way=way)
        assert answer.where is not None  # `Detection.where` returned it
        rows = answer.where[answer.where[:, _SCORE] > 0]
        boxes = [self._box(row, region) for row in rows]
        classes = (
            self._with_boxes(
                one,
                tuple(box for box, row in zip(boxes, rows, strict=True) if row[_LABEL + 1 + number]),
                has_any=bool(boxes),
            )
            for number, one in enumerate(explanation.classes)
        )
        return dataclasses.replace(
            explanation,
            classes=tuple(classes),
            boxes=tuple(boxes),
            predictions=tuple(each for each in explanation.predictions if each.score),
        )

    def _box(self, row: np.ndarray, region: Region) -> Box:
        """Return the box in a row of `Detection.where`; what of it lies outside of the picture is cut off."""
        width, height = region.right - region.left, region.bottom - region.top
        edges = row[_EDGES] * [width, height, width, height] + [region.left, region.top] * 2
        left, top, right, bottom = edges.clip(0, 1).tolist()
        index, score = int(row[_LABEL]), float(row[_SCORE])
        label = self._task.label(index)
        return Box(left=left, top=top, right=right, bottom=bottom, index=index, label=label, score=score)

    def _with_boxes(self, one: ClassMap, boxes: tuple[Box, ...], *, has_any: bool) -> ClassMap:
        """Return a map with its boxes, and with a title that says if there are none, or if the picture has none."""
        if self._task.has_point:
            label = boxes[0].label if boxes else "nothing"
            title = label if boxes else "nothing found at the point"
            index = boxes[0].index if boxes else None
            return dataclasses.replace(one, index=index, boxes=boxes, label=label, title=title)
        is_class = one.index is not None and one.index >= 0
        if not boxes:
            is_named = one.label in self._named
            title = f"no {one.label if is_named else 'other class'} found" if is_named or has_any else "nothing found"
            return dataclasses.replace(
                one,
                index=one.index if is_named and is_class else None,
                label=one.label if is_named else "nothing",
                title=title if self._method.needs_target else one.title,
            )
        if is_class:
            return dataclasses.replace(one, boxes=boxes)
        (box,) = boxes
        return dataclasses.replace(
            one, index=box.index, boxes=boxes, label=box.label, title=f"{box.label} · {one.title}"
        )


class Detection(Classification):
    """The task of a model that detects objects, as `livecam.explain.task.Task` describes it.

    Args:
        classifier: The model.
        output: What it returns for one picture, as in `livecam.models.detectors.detections_in`.
        device: The device that it runs on.
        against: A class or group to contrast every explained class with.
        negative: Explain what speaks against the boxes instead of for them.
        squashings: Not used: the output has the logits.

    Raises:
        ModelError: The output holds no boxes, the number of labels differs, or `against` is unknown.
    """

    usual_method = "hirescam"
    detects = True
    takes_points = True
    has_point = False
    selects = BoxSelection

    def __init__(
        self,
        classifier: Classifier,
        output: Any,
        device: torch.device,
        against: Target | None = None,
        negative: bool = False,
        squashings: Sequence[Squashing] = (),
    ) -> None:
        self._confidence = classifier.confidence or USUAL_CONFIDENCE
        self._size = classifier.preprocessing.size
        self.inputs = (torch.zeros(3, device=device),)
        highest = detections_in(output, self._size).logits.detach()[:1].amax(dim=1)
        super().__init__(dataclasses.replace(classifier, scores="sigmoid", unit=""), highest, device, against, negative)

    def selection(self, wanted: Sequence[Wanted], method: Method, *, runner_up: bool = False) -> ClassSelection:
        """Choose classes, groups, or boxes by rank, such as "box1", without a runner-up. Raises ModelError."""
        if not self.takes(method):
            of_what = "what each block says" if method.attends else "scores of classes"
            raise ModelError(f"{method.name} explains {of_what}, and boxes are explained; take another method")
        return super().selection(wanted, method)

    def takes(self, method: Method) -> bool:
        """Return True for a method of one pass: the blocks of a transformer would each find other boxes."""
        return method.is_traceable and not method.attends

    def seen(self, region: Region, point: tuple[float, float] | None) -> tuple[float, ...]:
        """Return 1 if there is a point, and its x and y in fractions of the input. Raises ModelError if it is outside.

        A point stands for the smallest box that holds it, whatever the targets are.
        """
        if point is None:
            return (0.0, 0.0, 0.0)
        x = (point[0] - region.left) / (region.right - region.left)
        y = (point[1] - region.top) / (region.bottom - region.top)
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ModelError("the point lies where the model does not see the picture; --fit pad shows it all")
        return (1.0, x, y)

    def see(self, seen: tuple[float, ...]) -> None:
        """From now on, explain the box at this point, as `seen` returns it."""
        self.has_point = bool(seen[0])
        self.inputs = (torch.tensor(seen, device=self._device),)

    def read(self, output: Any) -> Tensor:
        """Return the boxes in what the model returned in its last run, as `found_boxes` does."""
        return found_boxes(detections_in(output, self._size), self._confidence)

    def scores(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores of the targets' best boxes (B, K), the best classes (B, N) and their scores (B, N)."""
        score = output[..., _SCORE].float()
        best = self.ranking(output).topk(min(SHOWN_PREDICTIONS, self.classes), dim=1)
        of_targets = torch.where(self._explained(output, targets), score[:, None], 0).amax(dim=2)
        return of_targets, best.indices, best.values.clamp_min(0)

    def where(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the edges, the score and the class of each box, and 1 for each target that it is explained for."""
        explained = self._explained(output, targets).mT
        return torch.cat([output[..., : _LABEL + 1].float(), explained.float()], dim=2)

    def total(self, output: Any) -> Tensor:
        """Return a sum of all logits of a picture, with different weights so that opposite ones do not cancel."""
        logits = at_least_single(detections_in(output, self._size).logits[0])
        return (logits * torch.arange(1, 1 + self.classes, device=logits.device).sqrt()).sum()

    def objective(self, method: Method) -> Objective:
        """Return the sum of the logits of a target's boxes, contrasted or negated if that was asked for."""

        def objective(output: Tensor, target: Tensor) -> Tensor:
            logits, label = output[..., _LOGITS], output[..., _LABEL].long()
            of_boxes = self.explained_score(logits.flatten(0, 1), label.flatten(), method).view_as(label)
            return torch.where(self._explained(output, target[:, None])[:, 0], of_boxes, 0).sum(dim=1)

        return objective

    def ranking(self, output: Tensor) -> Tensor:
        """Return the score of the best box of each class, (B, classes); where there is none, below 0."""
        numbers = torch.arange(self.classes, device=output.device)
        score = torch.where(output[..., _LABEL, None] == numbers, output[..., _SCORE, None].float(), 0).amax(dim=1)
        return torch.where(score > 0, score, -1.0 - numbers)  # in an order that all engines agree on

    def _explained(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return which boxes each of the targets (B, K) stands for, (B, K, N)."""
        label, targets = output[..., _LABEL][:, None].long(), targets[..., None]
        chosen = (label == targets) | (torch.arange(label.shape[2], device=label.device) == -1 - targets)
        for number, members in enumerate(self._group_members, start=self.classes):
            chosen = chosen | ((targets == number) & (label[..., None] == members).any(dim=3))
        chosen = torch.where(self.inputs[0][0] > 0, self._at_point(output)[:, None], chosen)
        return chosen & (output[:, None, :, _SCORE] > 0)

    def _at_point(self, output: Tensor) -> Tensor:
        """Return which box is the smallest that holds the point, (B, N)."""
        _, x, y = self.inputs[0].unbind()
        left, top, right, bottom = output[..., _EDGES].unbind(dim=2)
        holds = (left <= x) & (x <= right) & (top <= y) & (y <= bottom) & (output[..., _SCORE] > 0)
        area = torch.where(holds, (right - left) * (bottom - top), torch.inf)
        places = torch.arange(area.shape[1], device=area.device)
        return holds & (places == area.argmin(dim=1, keepdim=True))

    def _find(self, target: Wanted) -> int:
        match = re.fullmatch("box([1-9][0-9]{0,5})", target, re.IGNORECASE) if isinstance(target, str) else None
        if match is None:
            return super()._find(target)
        if int(match[1]) > MOST_BOXES:
            raise ModelError(f"there is no box {match[1]}: at most {MOST_BOXES} boxes of a picture are detected")
        return -int(match[1])

    def label(self, index: int) -> str:
        """Return the name of a class, or that of a box, such as "box 2"."""
        return f"box {-index}" if index < 0 else super().label(index)
