"""Targets that are functions of the model's output, such as a similarity or a difference of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from livecam.errors import ModelError, in_one_line, is_out_of_memory
from livecam.explain.classification import Classification, ClassSelection
from livecam.explain.device import at_least_single
from livecam.explain.methods import Method
from livecam.explain.targets import ScoreFunction, Target, Wanted
from livecam.models.classifier import Classifier
from livecam.models.groups import Group
from livecam.models.survey.recording import Recording

_TOLERANCE = 0.01
"""How far the score of a picture may differ from batch to batch, relative to the largest: half precision rounds."""


def functions_in(target: Target | None) -> dict[str, ScoreFunction]:
    """Return the functions in a target by their names; empty if the target is made of classes.

    One without a name of its own is "score", or "score 1" if it is the second of several. Raises ModelError if there
    are functions and something else, or if two have one name.
    """
    named: dict[str, Any] = dict(target) if isinstance(target, Mapping) else _by_name(target)
    if isinstance(target, Mapping) and not any(map(callable, named.values())):
        return {}  # groups of classes
    if not all(map(callable, named.values())):
        raise ModelError("a target is made of functions alone, or of classes alone")
    return named


def check_unused(**given: bool) -> None:
    """Raise ModelError if one of these arguments, which are for classes, is given beside functions."""
    if wrong := [name for name, is_given in given.items() if is_given]:
        raise ModelError(f"{wrong[0]} is for classes, and the target is a function of the output; leave {wrong[0]} out")


def _by_name(target: Any) -> dict[str, Any]:
    several = target if isinstance(target, list | tuple) else [target]
    if not any(map(callable, several)):
        return {}
    unnamed = [f"score {number}" for number in range(len(several))] if len(several) > 1 else ["score"]
    names = list(map(_name_of, several, unnamed))
    if len(set(names)) < len(names):
        raise ModelError(f"several targets are called {max(names, key=names.count)}; give a mapping of names to them")
    return dict(zip(names, several, strict=True))


def _name_of(function: object, otherwise: str) -> str:
    name = getattr(function, "__name__", "<")
    return otherwise if name.startswith("<") else name


class Functions(Classification):
    """The task of explaining functions of a model's output: each takes the place of a class whose score is a number.

    Args:
        functions: The functions by their names.
        classifier: The model.
        recording: Its run on one picture; its output may be anything.
        device: The device that it runs on.
        negative: Explain what speaks against a high score instead of for it.

    Raises:
        ModelError: A function fails, or does not return a finite, differentiable score for each picture by itself.
    """

    def __init__(
        self,
        functions: Mapping[str, ScoreFunction],
        classifier: Classifier,
        recording: Recording,
        device: torch.device,
        negative: bool = False,
    ) -> None:
        self._functions = functions
        scores = self._checked(recording)
        super().__init__(
            dataclasses.replace(classifier, labels=tuple(functions), scores="raw"), scores, device, None, negative
        )

    def selection(self, wanted: Sequence[Wanted], method: Method, *, runner_up: bool = False) -> ClassSelection:
        """Choose functions by number or name, without a runner-up. Raises ModelError."""
        if any(isinstance(each, Group) for each in wanted):
            raise ModelError("a group is made of classes, and functions are explained; name one of these")
        if method.against_similar:
            raise ModelError(f"{method.name} compares classes and does not explain a function; take another method")
        return super().selection(wanted, method)

    def read(self, output: Any) -> Tensor:
        """Return the score of each function for each picture, (B, functions). Raises ModelError."""
        single = _single(output)
        return torch.stack([_score(name, function, single) for name, function in self._functions.items()], dim=1)

    def scores(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the targets' scores (B, K), all functions in their order (B, N), and their scores (B, N)."""
        scores = output.float()
        every = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
        return scores.gather(1, targets), every, scores

    def holds_scores(self, channels: int) -> bool:
        """Return False: the channels of no layer are these scores."""
        return False

    def _checked(self, recording: Recording) -> Tensor:
        """Return the scores of the recorded picture, (1, functions). Raises ModelError if they cannot be explained."""
        picture, output = recording.example.detach(), _single(recording.output)
        with torch.enable_grad():
            for name, function in self._functions.items():
                _check(name, function, output)
            scores = self.read(output)
        with torch.no_grad():
            try:
                two = recording.model(torch.cat([picture, picture.flip(3)]))
            except Exception:  # a model that takes one picture at a time cannot mix several
                return scores
            together = self.read(two)
        tolerance = _TOLERANCE * together.abs().max()
        if len(together) != 2 or ((together[:1] - scores).abs() > tolerance).any():
            raise ModelError("a target scores each picture of a batch by itself, (B,); this one mixes or drops some")
        return scores


def _score(name: str, function: ScoreFunction, output: Any) -> Tensor:
    """Return the scores (B,) of a function. Raises ModelError if it fails or returns something else."""
    try:
        score = function(output)
    except Exception as exc:
        if is_out_of_memory(exc):
            raise
        raise ModelError(f"the target {name} fails with {type(exc).__name__}: {in_one_line(exc)}") from exc
    if not isinstance(score, Tensor):
        raise ModelError(f"the target {name} returns a {type(score).__name__} instead of a tensor of scores (B,)")
    if score.ndim != 1:
        raise ModelError(
            f"the target {name} returns a tensor of shape {tuple(score.shape)}; "
            "let it return one score for each picture, (B,)"
        )
    return score


def _check(name: str, function: ScoreFunction, output: Any) -> None:
    """Raise ModelError if the score of one picture cannot be explained."""
    floats = [part for part in tree_leaves(output) if _is_float(part)]
    versions = [part._version for part in floats]
    score = _score(name, function, output)
    if versions != [part._version for part in floats]:
        raise ModelError(f"the target {name} changes the model's output in place; let it compute new tensors")
    parts = [part for part in floats if part.requires_grad]
    if not score.requires_grad and (parts or not floats):  # else it is the model that gives no gradient
        raise ModelError(
            f"the target {name} has no gradient; compute it from the model's output by operations of torch, "
            "without detach, no_grad, argmax, item or numpy"
        )
    if not score.isfinite().all():
        raise ModelError(f"the target {name} is {score.item()} for a test picture; it has to be a finite number")


def _single(output: Any) -> Any:
    """Return the output with tensors of half precision in float32, so that it fits what functions combine it with."""
    return tree_map(lambda part: at_least_single(part) if _is_float(part) else part, output)


def _is_float(part: object) -> bool:
    return isinstance(part, Tensor) and part.is_floating_point()
