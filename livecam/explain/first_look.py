"""The first look at a model, which finds its layers and what there is to explain."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from livecam.errors import ModelError, ModelOptionError
from livecam.explain.classification import Classification
from livecam.explain.detection import Detection
from livecam.explain.functions import Functions
from livecam.explain.preprocess import pictures_to_survey
from livecam.explain.program import Normalisation
from livecam.explain.segmentation import Segmentation
from livecam.explain.tap import frozen
from livecam.explain.targets import ScoreFunction, Target
from livecam.explain.words import Words
from livecam.models.classifier import Classifier
from livecam.models.detectors import are_detections
from livecam.models.outputs import find_maps
from livecam.models.problems import input_errors
from livecam.models.side_effects import SideEffects, side_effects
from livecam.models.survey.layers import Survey, best_of
from livecam.models.survey.locality import occluded
from livecam.models.survey.recording import record

log = logging.getLogger(__name__)


TASKS: Mapping[str, Callable[..., Classification]] = {
    "classes": Classification,
    "masks": Segmentation,
    "boxes": Detection,
    "words": Words,
}
"""The task for each kind of model, as `livecam.names.TASKS` lists them."""


@dataclass(frozen=True)
class FirstLook:
    """What the first runs of a model show.

    Attributes:
        task: The meaning of its output.
        survey: Its layers.
        example: One of its inputs, (1, channels, h, w).
        hides_gradients: True if it has to be run inside `livecam.models.gradients.gradients_kept`.
        effects: What running it changes beside its output.
    """

    task: Classification
    survey: Survey
    example: Tensor
    hides_gradients: bool
    effects: SideEffects


def look_at(
    classifier: Classifier,
    device: torch.device,
    dtype: torch.dtype,
    functions: Mapping[str, ScoreFunction],
    against: Target | None,
    *,
    negative: bool,
) -> FirstLook:
    """Run a model on pictures, until they show which layers respond where the picture changes.

    Args:
        classifier: The model, on the device.
        device: The device that it runs on.
        dtype: The precision of its weights.
        functions: What is to be explained: functions of its output by their names, or if there are none, its classes.
        against: A class or group to contrast every explained class with.
        negative: Explain what speaks against a class or a high score instead of for it.

    Raises:
        ModelError: The model fails, or there is nothing that can be explained.
    """
    normalisation = Normalisation(classifier.preprocessing, device, dtype)
    surveys: list[Survey] = []
    module = classifier.module
    with frozen(module), input_errors(classifier), side_effects(module, device) as effects:
        for picture in pictures_to_survey(classifier.trial):
            recording = record(module, normalisation(occluded(picture).to(device)), classifier.trial.extent)
            task = (
                Functions(functions, classifier, recording, device, negative)
                if functions
                else TASKS[_kind_of(classifier, recording.output)](
                    classifier, recording.output, device, against, negative, recording.squashings
                )
            )
            surveys.append(recording.survey(task.total, task.holds_scores, to_bottleneck=task.explains_bottleneck))
            if surveys[-1].is_settled or classifier.layer:
                break
    _check_confidence(classifier, task)
    if effects.told:
        log.warning("%s %s", classifier.name, effects.told)
    survey = replace(best_of(surveys), usual=classifier.layer)
    if functions and not survey.usable:
        raise ModelError(
            f"no gradient of {' or '.join(functions)} reaches a layer with a spatial extent; "
            "let the score not be rounded or clipped, or take another model"
        )
    if task.note:
        log.warning("%s", task.note)
    return FirstLook(task, survey, recording.example.detach(), recording.hides_gradients, effects)


def _kind_of(classifier: Classifier, output: object) -> str:
    """Return what a model's output for one picture means, one of `livecam.names.TASKS`."""
    if classifier.task != "auto":
        return classifier.task
    if are_detections(output):
        return "boxes"
    place = find_maps(output, classifier.classes, classifier.preprocessing.size)
    if place is None:
        return "classes"
    if not classifier.labels:
        log.warning(
            "what %s returns for every pixel is taken for the scores of %d classes; if it is something else, explain a "
            "function of it",
            classifier.name,
            place.classes,
        )
    return "masks"


def _check_confidence(classifier: Classifier, task: Classification) -> None:
    if classifier.confidence is not None and not isinstance(task, Detection):
        raise ModelOptionError(f"confidence is for boxes, and {classifier.name} detects none; leave it out")
