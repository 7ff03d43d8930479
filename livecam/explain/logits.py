"""The logits that a model's outputs come from, and the scores that are made of them.

A map explains the logit and not its probability: the gradient of a probability vanishes where that is near 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.explain.device import at_least_single
from livecam.models.classifier import Classifier
from livecam.models.squashing import Squashing, Squashings
from livecam.text import number

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
        note: What the user has to be told about this choice; empty if it is obvious.
    """

    scores: str
    squashings: Squashings | None = None
    inverse: Callable[[Tensor], Tensor] | None = None
    note: str = ""

    def listening(self) -> AbstractContextManager[object]:
        """Return the block in which the model has to run."""
        return nullcontext() if self.squashings is None else self.squashings

    def logits(self, outputs: Tensor) -> Tensor:
        """Return the logits for outputs (B, classes, ...) of the last run."""
        if self.squashings is not None:
            return self.squashings.calls[0].logits.reshape(outputs.shape)
        return outputs if self.inverse is None else self.inverse(outputs)

    def shown(self, logits: Tensor) -> Tensor:
        """Return the scores for logits, both (B, classes, ...)."""
        if self.scores == "raw":
            return logits
        return logits.softmax(dim=1) if self.scores == "softmax" else logits.sigmoid()


def find_reading(classifier: Classifier, outputs: Tensor, calls: Sequence[Squashing]) -> Reading:
    """Find out how to read a model's outputs.

    Args:
        classifier: The model.
        outputs: Its outputs for one picture, (1, classes), or (1, classes, height, width) for every pixel.
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
        return replace(reading, note=f"{name} gives probabilities itself, so no {wanted} is applied")
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
    """Return the reading for outputs that are probabilities in percent; None for others."""
    reading = _of_call(outputs, calls, _PERCENT)
    if reading is None and _are_exclusive(outputs / _PERCENT):
        reading = Reading("softmax", inverse=lambda outputs: _log(outputs / _PERCENT))
    note = f"{name} gives percentages, which are read as probabilities: 100 as 1"
    return reading and replace(reading, note=note)


def _of_probabilities(name: str, outputs: Tensor, calls: Sequence[Squashing]) -> Reading | None:
    """Return the reading for other outputs that are probabilities; None for others."""
    note = (
        f"{name} gives probabilities, and the logits behind them are unknown; their logarithms are explained, and "
        "there may be no evidence where one is 0% or 100%"
    )
    if _are_exclusive(outputs):
        return Reading("softmax", inverse=_log, note=note)
    return Reading("sigmoid", inverse=_log_odds, note=note) if _come_from(outputs, calls) else None


def _of_numbers(name: str, outputs: Tensor, wanted: str) -> Reading:
    """Return the reading for all other outputs."""
    if wanted != "auto":
        return Reading(wanted)
    if outputs.shape[1] == 1 and outputs.ndim > 2:
        return Reading("sigmoid")  # a class that each pixel shows or not
    if outputs.shape[1] == 1:
        note = (
            f"the one output of {name} is shown as a number; if it is a logit, --scores sigmoid makes a probability of "
            "it; else --unit gives the number a unit"
        )
        return Reading("raw", note=note)
    largest = outputs[outputs.isfinite()].abs().max().item()  # -inf masks a class
    note = (
        f"the outputs of {name}, up to {number(largest)}, are taken for logits; if they are numbers of a regression, "
        "--scores raw or --unit shows them as they are"
    )
    return Reading("softmax", note=note if largest > _LARGEST_USUAL else "")


def _are_exclusive(outputs: Tensor) -> bool:
    """Return True if outputs (1, classes, ...) are the probabilities of classes that exclude each other."""
    tolerance = max(1e-6, torch.finfo(outputs.dtype).eps)
    return outputs.shape[1] > 1 and _are_in_range(outputs) and bool(((outputs.sum(dim=1) - 1).abs() <= tolerance).all())


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
