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

from livecam.errors import ModelError
from livecam.explain.device import at_least_single
from livecam.models.classifier import Classifier
from livecam.models.squashing import Squashing, Squashings
from livecam.text import number

log = logging.getLogger("livecam")

_LARGEST_USUAL = 50
"""Logits are rarely larger."""
_PERCENT = 100
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

    Raises:
        ModelError: It would be a softmax of one output.
    """
    name, wanted = classifier.name, "raw" if classifier.unit else classifier.scores
    if wanted == "raw":
        return Reading("raw")
    reading = (
        _of_call(outputs, calls)
        or _of_percentages(name, outputs, calls)
        or _of_probabilities(name, outputs, calls)
        or _of_numbers(name, outputs, wanted)
    )
    if reading.scores == "softmax" and outputs.shape[1] == 1:
        raise ModelError(f"the softmax of the one output of {name} is always 100%; take --scores sigmoid or raw")
    if wanted not in ("auto", reading.scores):
        log.warning("%s gives probabilities itself, so no %s is applied", name, wanted)
    return reading


def _of_call(outputs: Tensor, calls: Sequence[Squashing], whole: float = 1) -> Reading | None:
    """Return the reading for outputs that are what a softmax or sigmoid made; None for others."""
    for last, call in enumerate(reversed(calls), start=1):
        if call.makes(outputs, whole):
            squashings = Squashings(last)
            squashings.calls.append(call)
            return Reading(call.scores, squashings)
    return None


def _of_percentages(name: str, outputs: Tensor, calls: Sequence[Squashing]) -> Reading | None:
    """Return the reading for outputs that are probabilities in percent, and tell it; None for others."""
    reading = _of_call(outputs, calls, _PERCENT)
    if reading is None and _are_exclusive(outputs / _PERCENT):
        reading = Reading("softmax", inverse=lambda outputs: _log(outputs / _PERCENT))
    if reading is not None:
        log.warning("%s gives percentages, which are read as probabilities: 100 as 1", name)
    return reading


def _of_probabilities(name: str, outputs: Tensor, calls: Sequence[Squashing]) -> Reading | None:
    """Return the reading for other outputs that are probabilities, and tell it; None for others."""
    if _are_exclusive(outputs):
        reading = Reading("softmax", inverse=_log)
    elif _come_from(outputs, calls):
        reading = Reading("sigmoid", inverse=_log_odds)
    else:
        return None
    log.warning(
        "%s gives probabilities, and the logits behind them are unknown; their logarithms are explained, and there may "
        "be no evidence where one is 0%% or 100%%",
        name,
    )
    return reading


def _of_numbers(name: str, outputs: Tensor, wanted: str) -> Reading:
    """Return the reading for all other outputs; if it is not sure, it is told."""
    if wanted != "auto":
        return Reading(wanted)
    if outputs.shape[1] == 1:
        log.warning(
            "the one output of %s is shown as a number; if it is a logit, --scores sigmoid makes a probability of it; "
            "else --unit gives the number a unit",
            name,
        )
        return Reading("raw")
    largest = outputs[outputs.isfinite()].abs().max().item()  # -inf masks a class
    if largest > _LARGEST_USUAL:
        log.warning(
            "the outputs of %s, up to %s, are taken for logits; if they are numbers of a regression, --scores raw or "
            "--unit shows them as they are",
            name,
            number(largest),
        )
    return Reading("softmax")


def _are_exclusive(outputs: Tensor) -> bool:
    """Return True if outputs (1, classes) are the probabilities of classes that exclude each other."""
    tolerance = max(1e-6, torch.finfo(outputs.dtype).eps)
    return outputs.shape[1] > 1 and _are_in_range(outputs) and bool((outputs.sum() - 1).abs() <= tolerance)


def _come_from(outputs: Tensor, calls: Sequence[Squashing]) -> bool:
    """Return True if outputs (1, classes) are made of probabilities: of as many, or selected from a row of them."""
    return _are_in_range(outputs) and any(
        call.result.numel() == outputs.numel() or (call.result.ndim <= 2 and _contains(call.result, outputs))
        for call in calls
    )


def _contains(row: Tensor, outputs: Tensor) -> bool:
    return bool(torch.isin(outputs, row.to(outputs.dtype)).all())


def _are_in_range(outputs: Tensor) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1)).all())
