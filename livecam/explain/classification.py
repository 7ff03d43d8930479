"""Classification: the model's output holds (B, classes), a score for each class.

This module chooses the classes to explain, their scores and their names. Methods, programs and engines do not know what
a class is.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from livecam.errors import ModelError, ModelOptionError
from livecam.explain.answer import PictureAnswer
from livecam.explain.device import at_least_single
from livecam.explain.forward import Objective
from livecam.explain.logits import find_reading
from livecam.explain.methods import Method, check_askable
from livecam.explain.targets import Classes, Target, Wanted, parse_target, rank_of
from livecam.explanation import ClassMap, Explanation, Prediction
from livecam.models.classifier import Classifier
from livecam.models.outputs import ScorePlace, find_scores
from livecam.models.squashing import Squashing
from livecam.names import USUAL_METHOD
from livecam.picture.media import Region

log = logging.getLogger("livecam")

SHOWN_PREDICTIONS = 5
"""How many of the best classes are reported for every picture."""
SIMILAR_CLASSES = 3


def class_score(logits: Tensor, target: Tensor) -> Tensor:
    """Return the logit y_c of the class, (B,)."""
    return logits.gather(1, target[:, None])[:, 0]


def against_similar_classes(logits: Tensor, target: Tensor) -> Tensor:
    """sum_d p_d (y_c - y_d) / sum_d p_d over the three classes d whose logits are nearest to y_c, p the softmax.

    Zhang et al., "Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation", CVPR 2025; alpha 1.
    """
    own = class_score(logits, target)[:, None]
    distance = (logits - own).abs().scatter(1, target[:, None], -1)  # itself first, before its equals
    count = min(SIMILAR_CLASSES, logits.shape[1] - 1)
    similar = logits.gather(1, distance.topk(count + 1, dim=1, largest=False).indices[:, 1:])
    # p_d / sum_d p_d is the softmax over these classes alone, which cannot vanish.
    return (similar.softmax(dim=1) * (own - similar)).sum(dim=1)


class ClassSelection:
    """Picks the classes to explain from the logits, as `livecam.explain.task.Selection` describes it.

    Args:
        task: Names and scores the classes.
        method: The method that explains them.
        shown: How many classes are shown for each picture; a runner-up comes after them.
        fixed: The number of each class if it was given, 0 if it is chosen by rank, (K,) int64.
        ranked: How many of the best classes are determined.
        places: The index of each class in `fixed` followed by the best classes, (K,) int64.
        named: The names of the classes that were not chosen by rank.
    """

    inputs: tuple[Tensor, ...] = ()

    def __init__(
        self,
        task: Classification,
        method: Method,
        shown: int,
        fixed: Tensor,
        ranked: int,
        places: Tensor,
        named: Sequence[str],
    ) -> None:
        self.shown = shown
        self.objective = task.objective(method)
        self._task = task
        self._method = method
        self._fixed, self._ranked, self._places, self._named = fixed, ranked, places, named

    def becomes(self, other: object) -> bool:
        """Return False: the numbers of the classes are constants of the program."""
        return False

    def __call__(self, output: Tensor) -> Tensor:
        """Return the classes to explain, (B, K) int64."""
        ranking = self._task.ranking(at_least_single(output.detach()))
        best = ranking.topk(self._ranked, dim=1).indices
        return torch.cat([self._fixed.expand(len(ranking), -1), best], dim=1)[:, self._places]

    def one_for_each(self, output: Tensor) -> Tensor:
        """Return the first class for the first picture, the second for the second, and so on: (B, 1)."""
        return self(output).diagonal()[:, None]

    def explanation(self, answer: PictureAnswer, *, region: Region, frame_index: int, way: str = "") -> Explanation:
        """Convert a picture's answer to an explanation with class names; the heatmaps are 0 until `Heat` fills them.

        `way` is how its maps were made, for captions. Raises ModelError if a map is not finite.
        """
        if not np.isfinite(answer.maps).all():
            raise ModelError(
                f"a map of frame {frame_index} is not made of finite numbers: the model overflows on it, "
                "or it or the target divides by 0"
            )
        classes = [
            ClassMap(
                index=index,
                label=self._task.label(index),
                members=self._task.members(index),
                title=self._task.title(index, self._method, way),
                score=score,
                cam=cam,
                heatmap=np.zeros_like(cam),
                **self._task.located(answer, number),
            )
            for number, (index, score, cam) in enumerate(zip(answer.targets, answer.scores, answer.maps, strict=True))
        ]
        best = zip(answer.best, answer.best_scores, strict=True)
        explanation = Explanation(
            classes=tuple(classes[: self.shown]),
            predictions=tuple(Prediction(index, self._task.label(index), score) for index, score in best),
            runner_up=classes[self.shown] if self.shown < len(classes) else None,
            unit=self._task.unit,
            are_shares=self._task.are_shares,
            detects=self._task.detects,
            region=region,
            frame_index=frame_index,
        )
        self._task.tell_unlikely(explanation, self._named)
        return explanation


class Classification:
    """The task of a model that scores classes, as `livecam.explain.task.Task` describes it.

    Args:
        classifier: The model, for its name, its labels, and what its outputs are.
        output: What it returns for one picture.
        device: The device that it runs on.
        against: A class or group to contrast every explained class with.
        negative: Explain what speaks against a class instead of for it.
        squashings: The model's calls of softmax and sigmoid when it returned `output`.

    Raises:
        ModelError: The output holds no row of finite scores, the number of labels differs, or `against` is unknown.

    Attributes:
        usual_method: The name of the method that explains it unless another is asked for.
        selects: What chooses the targets.
        takes_points: True if a point of the picture can be explained.
        explains_bottleneck: True if the layer where the network is narrowest is explained by default, not the last one.
        are_shares, detects: As in `Explanation`.
    """

    usual_method = USUAL_METHOD
    selects: type[ClassSelection] = ClassSelection
    takes_points = explains_bottleneck = are_shares = detects = False
    inputs: tuple[Tensor, ...] = ()

    def __init__(
        self,
        classifier: Classifier,
        output: object,
        device: torch.device,
        against: Target | None = None,
        negative: bool = False,
        squashings: Sequence[Squashing] = (),
    ) -> None:
        self._classifier = classifier
        self._device = device
        self._place = self._find_scores(output)
        self.classes = self._place.classes
        outputs = self._place.read(output)
        if not _are_scores(outputs):
            raise ModelError(f"the model's scores are not finite numbers: {_why_not_finite(classifier.module)}")
        self._named = Classes(classifier.name, self.classes, classifier.labels)
        self._reading = find_reading(classifier, outputs, squashings)
        self._has_told_unlikely = False
        self._group_members: list[Tensor] = []
        self._against = None if against is None else self._find(single_target(against, classifier.labels))
        self._negative = negative

    def _find_scores(self, output: object) -> ScorePlace:
        """Return where the scores are in the model's output for one picture. Raises ModelError."""
        return find_scores(output, self._classifier.classes)

    def takes(self, method: Method) -> bool:
        """Return True: every method explains a class."""
        return True

    def selection(self, wanted: Sequence[Wanted], method: Method, *, runner_up: bool = False) -> ClassSelection:
        """Choose classes by number, label or rank, or groups, as `parse_target` returns them.

        With `runner_up`, the next best class is added if the best classes are explained and the model has another one.
        Raises ModelError.
        """
        check_askable(method, wanted, contrast=self._against is not None or self._negative)
        ranks = [rank_of(name) for name in wanted]
        shown = len(ranks)
        if runner_up and method.needs_target and ranks == list(range(1, shown + 1)) and shown < self.classes:
            ranks, wanted = [*ranks, shown + 1], [*wanted, f"top{shown + 1}"]
        deepest = max(ranks, default=0)
        if deepest > self.classes:
            raise ModelOptionError(f"there is no top{deepest}: the model has {self.classes} {self._named.nouns}")
        indices = [None if rank else self._find(name) for rank, name in zip(ranks, wanted, strict=True)]
        if method.against_similar and any(map(self.members, filter(None, indices))):
            raise ModelError(
                f"{method.name} compares a class with the most similar ones, which are in its group; "
                "take another method, or name one class"
            )
        self._check_contrast(index for index in indices if index is not None)
        # At least as many as are reported: then both agree on the order of equal logits.
        ranked = min(max(deepest, SHOWN_PREDICTIONS), self.classes)
        # A class is looked up by its place among the fixed classes, or by its rank among the best, which follow them.
        places = [shown_at if not rank else len(ranks) + rank - 1 for shown_at, rank in enumerate(ranks)]
        fixed = torch.tensor([index or 0 for index in indices], device=self._device)
        named = [self.label(index) for index in indices if index is not None]
        return self.selects(self, method, shown, fixed, ranked, torch.tensor(places, device=self._device), named)

    def _check_contrast(self, indices: Iterable[int]) -> None:
        """Check that nothing is contrasted with the same classes, which would leave an empty map. Raises ModelError."""
        if self._against is None:
            return
        for index in indices:
            if self._classes_in(index) == self._classes_in(self._against):
                name, other = self.label(index), self.label(self._against)
                what = "itself" if name == other else f"{other}, which is the same"
                raise ModelOptionError(f"{name} cannot be contrasted with {what}; name another class")

    def _classes_in(self, index: int) -> set[int]:
        return set(self.members(index)) or {index}

    def read(self, output: Any) -> Tensor:
        """Return the logits (B, classes) for what the model returned in its last run."""
        return self._reading.logits(self._place.read(output))

    def listening(self) -> AbstractContextManager[object]:
        """Return the block in which the model has to run."""
        return self._reading.listening()

    def scores(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the targets' scores (B, K), the best classes (B, N) and their scores (B, N)."""
        return self._scored(output.float(), targets)

    def _scored(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `scores` does, for one logit of each class, (B, classes)."""
        shown = self._shown(logits)
        best = logits.topk(min(SHOWN_PREDICTIONS, logits.shape[1]), dim=1).indices
        # Classes that exclude each other add up. Others may come together, so all that is known is the least: the most
        # probable of them.
        of_group = Tensor.sum if self._reading.scores == "softmax" else Tensor.amax
        return self._with_groups(shown, of_group).gather(1, targets), best, shown.gather(1, best)

    def ranking(self, output: Tensor) -> Tensor:
        """Return the numbers (B, classes) by which classes are ranked, the highest first."""
        return output

    def _shown(self, logits: Tensor) -> Tensor:
        """Return the scores for logits, both (B, classes)."""
        return self._reading.shown(logits)

    def seen(self, region: Region, point: tuple[float, float] | None) -> tuple[float, ...]:
        """Return nothing: classes are those of whole pictures."""
        return ()

    def see(self, seen: tuple[float, ...]) -> None:
        """Do nothing."""

    def pixels(self, output: Tensor, targets: Tensor) -> Tensor | None:
        """Return None: a class has one score."""
        return None

    def where(self, output: Tensor, targets: Tensor) -> Tensor | None:
        """Return None: a class is that of the whole picture."""
        return None

    def located(self, answer: PictureAnswer, number: int) -> dict[str, Any]:
        """Return the fields of a `ClassMap` that say where the explained target with this number is."""
        return {}

    def total(self, output: Any) -> Tensor:
        """Return a sum of all scores of a picture, with different weights so that opposite scores do not cancel."""
        return self._weighted_sum(at_least_single(self.read(output)[0]))

    def _weighted_sum(self, scores: Tensor) -> Tensor:
        return (scores * torch.arange(1, 1 + len(scores), device=scores.device).sqrt()).sum()

    def holds_scores(self, channels: int) -> bool:
        """Return True if the number of channels equals the number of classes."""
        return channels == self.classes

    def objective(self, method: Method) -> Objective:
        """Return the score that a method explains, contrasted or negated if that was asked for."""

        def objective(output: Tensor, target: Tensor) -> Tensor:
            return self.explained_score(at_least_single(output), target, method)

        return objective

    def explained_score(self, logits: Tensor, target: Tensor, method: Method) -> Tensor:
        """Return what is explained of each row of logits (N, classes) for its class or group, (N,)."""
        of_all = self._with_groups(logits, Tensor.logsumexp)
        value = against_similar_classes(logits, target) if method.against_similar else class_score(of_all, target)
        if self._against is not None:
            value = value - self._contrast(of_all)
        return -value if self._negative else value

    def _contrast(self, of_all: Tensor) -> Tensor:
        """Return the logit that every class is contrasted with, (B,)."""
        return of_all[:, self._against]

    @property
    def note(self) -> str:
        """What the user has to be told about how the output is read; empty if it is obvious."""
        return self._reading.note

    @property
    def unit(self) -> str | None:
        """The unit of the scores, None for probabilities, as in `Explanation.unit`."""
        return self._classifier.unit if self._reading.scores == "raw" else None

    def report(self) -> dict[str, Any]:
        """Return what the scores are, as plain data: `scores`, and the `unit` of numbers if there is one."""
        return {"scores": self._reading.scores, **({"unit": self.unit} if self.unit else {})}

    def _find(self, target: Wanted) -> int:
        """Return the number of a class, or of a group, which is from then on scored as well. Raises ModelError."""
        index = self._named.find(target)
        self._group_members = [torch.tensor(group.members, device=self._device) for group in self._named.groups]
        return index

    def _with_groups(self, values: Tensor, joined: Callable[..., Tensor]) -> Tensor:
        """Return values (B, classes) and behind them those of the groups, joined along dim=1 from their members'."""
        if not self._group_members:
            return values
        rows = len(values)
        of_groups = [
            joined(values.gather(1, members.expand(rows, -1)), dim=1, keepdim=True) for members in self._group_members
        ]
        return torch.cat([values, *of_groups], dim=1)

    def members(self, index: int) -> tuple[int, ...]:
        """Return the numbers of the classes in a group; none for a class."""
        return self._named.members(index)

    def label(self, index: int) -> str:
        """Return the name of a class, such as "class 7" if it has none, or "output 7" if its score is a number."""
        if self._classifier.labels or index >= self.classes or self._reading.scores != "raw":
            return self._named.label(index)
        return f"output {index}" if self.classes > 1 else "output"

    def title(self, index: int, method: Method, way: str) -> str:
        """Return a description of what a map shows: the name of its class, and the `way` in which it was made."""
        if not method.needs_target:
            return f"{way}; {self.label(index)}"  # the map does not depend on a class
        rather_than = "" if self._against is None else f" rather than {self.label(self._against)}"
        made = f" · {way}" if way else ""
        return f"{'against ' if self._negative else ''}{self.label(index)}{rather_than}{made}"

    def tell_unlikely(self, explanation: Explanation, named: Sequence[str]) -> None:
        """Tell once that the heat of unlikely classes, if these were named, is no finding."""
        unlikely = [one for one in explanation.classes if explanation.is_unlikely(one) and one.label in named]
        if unlikely and not self._negative and not self._has_told_unlikely:
            self._has_told_unlikely = True
            listed = " and ".join(f"{one.label} ({explanation.described(one.score)})" for one in unlikely)
            log.warning(
                "in frame %d the model finds %s unlikely (told once): the heat there shows where it looks for that, "
                "not that it is there",
                explanation.frame_index,
                listed,
            )


def single_target(against: Target, labels: Sequence[str] | None) -> Wanted:
    """Return the one class or group that a target means. Raises ModelError if there are several."""
    wanted = parse_target(against, labels=labels)
    if len(wanted) != 1:
        raise ModelError(f"against is one class or group, not {len(wanted)}; for several, make a group: name=NUMBERS")
    return wanted[0]


def _are_scores(outputs: Tensor) -> bool:
    """Return True for finite numbers, beside which -inf may mask classes."""
    finite = outputs.isfinite()
    return bool(finite.any() and (finite | outputs.isneginf()).all())


def _why_not_finite(module: nn.Module) -> str:
    weights = itertools.chain(module.parameters(), module.buffers())
    if all(each.isfinite().all() for each in weights):
        return "its weights are, so its forward divides by 0 or overflows"
    return "its weights are damaged"
