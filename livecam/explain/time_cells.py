"""Clips: several frames that a model of videos takes at once, and the explanation of each of its time cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.explain.preprocess import Prepared
from livecam.explanation import ClassMap, Explanation
from livecam.models.classifier import Classifier


def check_takes(classifier: Classifier, *, clips: bool) -> None:
    """Raise ModelError if a model of pictures is to explain clips, or a model of clips single pictures."""
    frames = classifier.preprocessing.frames
    if clips and frames == 1:
        raise ModelError(f"{classifier.name} explains pictures, not clips; give it one frame at a time")
    if not clips and frames > 1:
        raise ModelError(f"{classifier.name} explains clips of {frames} frames, not single pictures; give it a clip")


def check_takes_pictures(classifier: Classifier) -> None:
    """Raise ModelError if a source of pictures is to be explained by a model of clips."""
    if (frames := classifier.preprocessing.frames) > 1:
        raise ModelError(f"{classifier.name} sees clips of {frames} frames, and a picture is none; give it a video")


def batch_of(clips: Sequence[Sequence[Prepared]], classifier: Classifier) -> Tensor:
    """Return clips as one batch, (B, frames, h, w, channels) uint8. Raises ModelError if one has other frames."""
    check_takes(classifier, clips=True)
    frames = classifier.preprocessing.frames
    if others := [len(clip) for clip in clips if len(clip) != frames]:
        raise ModelError(f"a clip of {classifier.name} has {frames} frames, not {others[0]}")
    return torch.stack([torch.stack([each.image for each in clip]) for clip in clips])


def cells_of(explanation: Explanation, clip: Sequence[Prepared]) -> list[Explanation]:
    """Return an explanation for each time cell of a clip, given that of the clip, whose maps are (t, h, w).

    Each names the frames of the clip that its cell covers, and has the index of the one in the middle.
    """
    indices = [each.frame_index for each in clip]
    times = len(explanation.cam)
    return [
        replace(
            explanation,
            classes=tuple(_at(one, time) for one in explanation.classes),
            runner_up=explanation.runner_up and _at(explanation.runner_up, time),
            frame_index=covered[(len(covered) - 1) // 2],
            clip_frames=(indices[0], indices[-1]),
            cell_frames=(covered[0], covered[-1]),
        )
        for time, covered in enumerate(_by_cell(indices, times))
    ]


def _at(one: ClassMap, time: int) -> ClassMap:
    return replace(one, cam=one.cam[time], heatmap=one.heatmap[time])


def _by_cell(indices: Sequence[int], times: int) -> list[list[int]]:
    """Return the frames that each of the time cells covers, which divide the clip evenly."""
    cells = [int((place + 0.5) * times / len(indices)) for place in range(len(indices))]
    return [[index for index, cell in zip(indices, cells, strict=True) if cell == time] for time in range(times)]
