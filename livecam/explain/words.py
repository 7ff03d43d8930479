"""Words: the model compares a picture with prompts, whose embeddings are inputs of the program."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from livecam.errors import ModelError
from livecam.explain.answer import PictureAnswer
from livecam.explain.classification import Classification, ClassSelection, single_target
from livecam.explain.device import at_least_single
from livecam.explain.methods import Method
from livecam.explain.tap import frozen
from livecam.explain.targets import Classes, Target, Wanted
from livecam.explanation import Explanation
from livecam.models.classifier import Classifier
from livecam.models.groups import Group
from livecam.models.prompts import MOST_PROMPTS, checked
from livecam.models.squashing import Squashing
from livecam.picture.media import Region

SIMILARITY = "cosine similarity"
_BELOW_ALL = 100.0
"""How far the logit of a row without a prompt is below the lowest that a prompt can have: its probability is 0 then. It
is not lower still, since differences between logits are judged by the largest of them."""


class Words(Classification):
    """The task of a model that compares pictures with words: prompts take the place of classes.

    The prompts may change during a run. The program always has `MOST_PROMPTS` rows of embeddings; those that no prompt
    needs have no score.

    Args:
        classifier: The model, with its text encoder, and prompts as its labels.
        output: What it returns for one picture.
        device: The device that it runs on.
        against: A prompt to contrast every explained one with.
        negative: Explain what speaks against a prompt instead of for it.
        squashings: Not needed: the text encoder tells how its logits become scores.

    Raises:
        ModelError: A prompt cannot be encoded, or `against` is none of the prompts.
    """

    def __init__(
        self,
        classifier: Classifier,
        output: object,
        device: torch.device,
        against: Target | None = None,
        negative: bool = False,
        squashings: Sequence[Squashing] = (),
    ) -> None:
        assert classifier.encoder is not None  # else it would be of another task
        self._encoder, self._module, self._device = classifier.encoder, classifier.module, device
        self._scale, self._bias = self._encoder.scale, self._encoder.bias
        self._unused = (self._bias or 0) - self._scale - _BELOW_ALL
        usual = "softmax" if self._bias is None else "sigmoid"
        given = "raw" if classifier.unit else classifier.scores
        self._scores = usual if given == "auto" else given
        self._encoded: dict[str, Tensor] = {}
        prompts = classifier.labels or ()
        self.inputs = self._rows(prompts)
        logits = self.read(output)[:, : len(prompts)]
        super().__init__(dataclasses.replace(classifier, scores="raw"), logits, device, None, negative)
        self._contrasted_with = against
        self.take(prompts)

    def take(self, prompts: Sequence[str]) -> None:
        """Compare with these prompts from now on. Raises ModelError if they cannot be; then nothing changes."""
        prompts = checked(prompts)
        rows = self._rows(prompts)
        named = Classes(self._classifier.name, len(prompts), prompts, ("prompt", "prompts"))
        against = self._contrasted_with
        number = None if against is None else named.find(single_target(against, prompts))
        self.inputs = *rows, torch.tensor([number or 0], device=self._device)
        self.classes, self._named, self._against = len(prompts), named, number
        self._classifier = dataclasses.replace(self._classifier, labels=prompts)

    def _rows(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the embeddings of the prompts, (MOST_PROMPTS, dimensions), and which of the rows are used, bool."""
        if new := [prompt for prompt in prompts if prompt not in self._encoded]:
            with torch.no_grad(), frozen(self._module):
                self._encoded |= zip(new, at_least_single(self._encoder(new)), strict=True)
        embeddings = torch.stack([self._encoded[prompt] for prompt in prompts])
        missing = MOST_PROMPTS - len(prompts)
        used = torch.arange(MOST_PROMPTS, device=self._device) < len(prompts)
        return functional.pad(embeddings, (0, 0, 0, missing)), used

    def read(self, output: Any) -> Tensor:
        """Return the logits (B, MOST_PROMPTS) for what the model returned."""
        embeddings, used, *_ = self.inputs
        # In float32, and made as long as 1 again: logits are 100 times the similarity, so rounding would be seen.
        features = functional.normalize(at_least_single(_features(output)), dim=1)
        logits = self._scale * (features @ embeddings.to(features.dtype).T) + (self._bias or 0)
        return logits.masked_fill(~used, self._unused)

    def selection(self, wanted: Sequence[Wanted], method: Method, *, runner_up: bool = False) -> WordSelection:
        """Choose prompts by number, text or rank, as `Classification` does. Raises ModelError."""
        if any(isinstance(each, Group) for each in wanted):
            raise ModelError("a group is made of classes, and words are explained; write a prompt that means them all")
        chosen = super().selection(wanted, method, runner_up=runner_up)
        return WordSelection(self, method, chosen, rows=chosen.shown + runner_up)

    def _shown(self, logits: Tensor) -> Tensor:
        if self._scores != "softmax":
            return super()._shown(logits) if self._scores == "raw" else logits.sigmoid()
        similarities = (logits - (self._bias or 0)) / self._scale
        is_single = self.inputs[1].sum() == 1
        return torch.where(is_single, similarities, logits.softmax(dim=1))  # the softmax of one is always 1

    def _contrast(self, of_all: Tensor) -> Tensor:
        return of_all.gather(1, self.inputs[2].expand(len(of_all), 1))[:, 0]

    @property
    def unit(self) -> str | None:
        """The unit of the scores, None for probabilities: one prompt alone has none unless it is sigmoid."""
        if self._scores == "softmax":
            return SIMILARITY if self.classes == 1 else None
        return self._classifier.unit if self._scores == "raw" else None

    def report(self) -> dict[str, Any]:
        """Return the prompts and what their scores are, as plain data."""
        scores = self._scores if self.unit is None else "raw"
        unit = {"unit": self.unit} if self.unit else {}
        return {"scores": scores, **unit, "prompts": list(self._classifier.labels or ())}

    def holds_scores(self, channels: int) -> bool:
        """Return False: no layer holds the scores, which the embeddings of the prompts make."""
        return False


def _features(output: Any) -> Tensor:
    """Return the embeddings of pictures, (B, dimensions), in what a model returns."""
    features: Tensor = output["image_features"] if isinstance(output, dict) else output
    return features


class WordSelection(ClassSelection):
    """Picks the prompts to explain. Which ones is an input of the program, so that it may change during a run.

    Args:
        task: Names and scores the prompts.
        method: The method that explains them.
        chosen: The selection of the same prompts as classes.
        rows: The number of targets of the program. If more than were chosen, the last ones are explained but not shown.
    """

    def __init__(self, task: Words, method: Method, chosen: ClassSelection, rows: int) -> None:
        fixed, places = chosen._fixed.tolist(), chosen._places.tolist()
        self._chosen = len(places)
        # The number of a prompt, or below 0 its rank: of the places, those of the ranks follow the fixed ones.
        numbers = [fixed[place] if place < len(fixed) else len(fixed) - place - 1 for place in places]
        padded = [*numbers, *numbers[-1:] * (rows - len(numbers))]
        self.inputs = (torch.tensor(padded, device=chosen._places.device),)
        super().__init__(task, method, chosen.shown, chosen._fixed, MOST_PROMPTS, chosen._places, chosen._named)

    def becomes(self, other: object) -> bool:
        """Select what `other` selects from now on, unless the number of targets differs."""
        if not isinstance(other, WordSelection) or len(other.inputs[0]) != len(self.inputs[0]):
            return False
        self.shown, self.inputs = other.shown, other.inputs
        self._chosen, self._named = other._chosen, other._named
        return True

    def __call__(self, output: Tensor) -> Tensor:
        """Return the prompts to explain, (B, K) int64."""
        numbers = self.inputs[0].expand(len(output), -1)
        best = at_least_single(output.detach()).topk(MOST_PROMPTS, dim=1).indices
        return torch.where(numbers < 0, best.gather(1, (-numbers - 1).clamp_min(0)), numbers)

    def explanation(self, answer: PictureAnswer, *, region: Region, frame_index: int, way: str = "") -> Explanation:
        """Convert a picture's answer to an explanation, as `ClassSelection` does, without rows that have no prompt."""
        chosen, prompts = self._chosen, self._task.classes
        used = PictureAnswer(
            maps=answer.maps[:chosen],
            targets=answer.targets[:chosen],
            scores=answer.scores[:chosen],
            best=answer.best[:prompts],
            best_scores=answer.best_scores[:prompts],
        )
        return super().explanation(used, region=region, frame_index=frame_index, way=way)
