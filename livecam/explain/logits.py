"""The logits that a model's outputs come from, and the scores that are made of them.

A map explains the logit and not its probability: the gradient of a probability vanishes where that is near 0 or 1.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from livecam.explain.device import at_least_single
from livecam.models.classifier import Classifier
from livecam.models.squashing import Squashing, Squashings

log = logging.getLogger("livecam")

_LEAST = 1e-12
"""The least probability that has a logit of its own."""


def _log(probabilities: Tensor) -> Tensor:
    return at_least_single(probabilities).clamp_min(_LEAST).log()


def _log_odds(probabilities: Tensor) -> Tensor:
    return at_least_single(probabilities).logit(1e-6)


@dataclass(frozen=True)
class Reading:
    """How a model's outputs are read.

    Attributes:
        scores: What makes scores of its logits: "softmax", "sigmoid", or "raw" for outputs that are the scores.
        squashings: Records the call by which the model itself makes its outputs of logits; None if it does not.
        inverse: Returns logits for outputs that are probabilities; None if the outputs are logits, or `squashings` has
            them.
    """

    scores: str
    squashings: Squashings | None = None
    inverse: Callable[[Tensor], Tensor] | None = None

    def listening(self) -> AbstractContextManager[object]:
        """Return the block in which the model has to run."""
        return nullcontext() if self.squashings is None else self.squashings

    def logits(self, outputs: Tensor) -> Tensor:
        """Return the logits for outputs (B, classes) of the last run."""
        if self.squashings is not None:
            return self.squashings.calls[0].logits.reshape(outputs.shape)
        return outputs if self.inverse is None else self.inverse(outputs)

    def shown(self, logits: Tensor) -> Tensor:
        """Return the scores for logits, both (B, classes)."""
        if self.scores == "raw":
            return logits
        return logits.softmax(dim=1) if self.scores == "softmax" else logits.sigmoid()


def find_reading(classifier: Classifier, outputs: Tensor, calls: Sequence[Squashing]) -> Reading:
    """Find out how to read a model's outputs; a choice that is not obvious is told.

    Args:
        classifier: The model.
        outputs: Its outputs for one picture, (1, classes).
        calls: The calls of softmax and sigmoid in the run that gave them.
    """
    wanted = classifier.scores
    if wanted == "auto" and classifier.unit:
        wanted = "raw"
    if wanted == "raw":
        return Reading("raw")
    last = next((call for call in reversed(calls) if call.makes(outputs)), None)
    if last is not None:
        squashings = Squashings(last.number)
        squashings.calls = [last]
        return Reading(last.scores, squashings)
    exclusive = _is_distribution(outputs)
    if exclusive or _come_from(outputs, calls):
        log.warning(
            "the probabilities of %s are computed after its last softmax or sigmoid; their logarithms are explained, "
            "and a probability of 0%% or 100%% may have no evidence",
            classifier.name,
        )
        return Reading("softmax", inverse=_log) if exclusive else Reading("sigmoid", inverse=_log_odds)
    if wanted == "auto" and outputs.shape[1] == 1:
        log.warning(
            "the one output of %s is shown as a number; if it is a logit, --scores sigmoid makes a probability of it; "
            "else --unit gives the number a unit",
            classifier.name,
        )
        return Reading("raw")
    return Reading("softmax" if wanted == "auto" else wanted)


def _is_distribution(outputs: Tensor) -> bool:
    """Return True if several outputs (1, classes) are probabilities of classes that exclude each other."""
    tolerance = 8 * torch.finfo(outputs.dtype).eps
    return outputs.shape[1] > 1 and _are_in_range(outputs) and bool((outputs.sum() - 1).abs() <= tolerance)


def _come_from(outputs: Tensor, calls: Sequence[Squashing]) -> bool:
    """Return True if outputs (1, classes) are made of probabilities: selected from them, or of as many."""
    return _are_in_range(outputs) and any(
        call.result.numel() == outputs.numel() or bool(torch.isin(outputs, call.result.to(outputs.dtype)).all())
        for call in calls
    )


def _are_in_range(outputs: Tensor) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1)).all())
