"""Clips in Python: several pictures are one clip, whose time cells are explained on one scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from livecam import ClipExplanation, Explainer, Explanation, Frame
from livecam.errors import LivecamError
from tests.support.tiny import tiny


class Brightness(nn.Module):
    """Class 1 is as likely as the clip is bright: each cell of 2 frames of 8 x 8 pixels says how bright it is."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv3d(3, 2, (2, 8, 8), (2, 8, 8))
        with torch.no_grad():
            self.cells.weight[0], self.cells.weight[1] = 0, 1 / 384
            self.cells.bias.zero_()  # type: ignore[union-attr]

    def forward(self, clip: Tensor) -> Tensor:
        return self.cells(clip).square().mean(dim=(2, 3, 4))


OPTIONS: dict[str, Any] = {"preprocessing": {"size": (32, 32), "frames": 8, "mean": (0,), "std": (1,)}, "target": 1}


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer(Brightness(), layer="cells", engine="eager", **OPTIONS)


def clip_with(*, first: int, last: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a dark clip with a bright patch at the lower left in some of its frames, (8, height, width, 3)."""
    clip = np.full((8, height, width, 3), 20, np.uint8)
    clip[first : last + 1, height // 2 :, : width // 4] = 250
    return clip


def test_the_heat_is_where_and_when_the_event_is(explainer: Explainer) -> None:
    assert (explainer.clip_frames, explainer.frames_per_second) == (8, None)
    for first, last in ((0, 3), (4, 7)):
        explanation = explainer(clip_with(first=first, last=last))
        assert isinstance(explanation, ClipExplanation)
        assert explanation.heatmap.shape == explanation.cam.shape == (4, 4, 4)
        heat = explanation.heatmap.max(axis=(1, 2))
        assert (heat[first // 2 : (last + 1) // 2] == 1).all()
        assert np.delete(heat, slice(first // 2, (last + 1) // 2)).max() < 0.1  # on the scale of the clip
        assert first <= explanation.strongest.frame_index <= last
        x, y = explanation.strongest.peak or (1, 0)
        assert x < 0.25
        assert y > 0.5


def test_each_cell_names_its_frames(explainer: Explainer) -> None:
    explanation = explainer(list(clip_with(first=0, last=3)))
    assert [cell.cell_frames for cell in explanation.cells] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert {cell.clip_frames for cell in explanation.cells} == {(0, 7)}
    assert [cell.frame_index for cell in explanation.cells] == [cell.frame.index for cell in explanation.cells]
    assert (explanation.label, explanation.index) == ("class 1", 1)
    assert {cell.score for cell in explanation.cells} == {explanation.score}
    assert [each.index for each in explanation.predictions] == [1, 0]
    assert repr(explanation).endswith("map 4x4, picture 64x48, 8 frames, 4 time cells)")


def test_frames_of_a_source_keep_their_own_indices(explainer: Explainer) -> None:
    frames = [replace(Frame.from_rgb(each), index=100 + 3 * n) for n, each in enumerate(clip_with(first=4, last=7))]
    explanation = explainer(frames)
    assert explanation.cells[0].clip_frames == (100, 121)
    assert [cell.cell_frames for cell in explanation.cells] == [(100, 103), (106, 109), (112, 115), (118, 121)]
    assert len(explanation.draw()) == 8


def test_each_frame_is_drawn_with_its_own_cell(explainer: Explainer) -> None:
    clip = clip_with(first=4, last=7)
    drawn = explainer(clip).draw(caption=False)
    assert len(drawn) == 8
    assert [bool((picture != frame).any()) for picture, frame in zip(drawn, clip, strict=True)] == [False] * 4 + [
        True
    ] * 4


def test_several_clips_are_a_list(explainer: Explainer) -> None:
    clips = np.stack([clip_with(first=0, last=3), clip_with(first=4, last=7)])
    for given in (clips, list(clips), [list(clip) for clip in clips]):
        assert [each.strongest.frame_index // 4 for each in explainer(given)] == [0, 1]


def test_a_target_is_overridden_also_by_a_function(explainer: Explainer) -> None:
    clip = clip_with(first=0, last=3)
    assert explainer(clip, target=0).label == "class 0"
    assert explainer(clip, target=lambda output: output[:, 1] - output[:, 0]).cam.shape == (4, 4, 4)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "elementwise"])
def test_methods_of_a_target_find_the_event(method: str) -> None:
    explainer = Explainer(Brightness(), layer="cells", engine="eager", method=method, **OPTIONS)
    assert explainer(clip_with(first=4, last=7)).strongest.frame_index in (4, 5, 6, 7)


@pytest.mark.parametrize("method", ["eigencam", "fem", "eigengradcam", "scorecam", "ablationcam"])
def test_the_other_methods_have_time_cells_as_well(method: str) -> None:
    options = OPTIONS | {"target": None}
    explainer = Explainer(Brightness(), layer="cells", engine="eager", method=method, **options)
    explanation = explainer(clip_with(first=4, last=7))
    assert explanation.cam.shape == (4, 4, 4)
    assert explanation.strongest.frame_index >= 4


def test_wrong_numbers_and_kinds_are_told_in_one_line(explainer: Explainer) -> None:
    clip = clip_with(first=0, last=3)
    still = tiny(engine="eager")
    wrong = [
        (lambda: explainer(clip[0]), "Brightness explains clips of 8 frames, not single pictures; give it a clip"),
        (lambda: explainer(clip[:5]), "a clip of Brightness has 8 frames, not 5"),
        (lambda: explainer([]), "a clip of Brightness has 8 frames, not 0"),
        (
            lambda: explainer(clip, at="10,10"),
            "Brightness says one thing of a whole picture, so a point cannot be explained; leave it out, or take a "
            "model that segments or detects",
        ),
        (
            lambda: explainer([*clip[:7], clip[7, :40]]),
            "the frames of a clip have one size, not 64x48 and 64x40",
        ),
        (
            lambda: still.explain_clips([explainer.prepared(list(clip))]),
            "Tiny explains pictures, not clips; give it one frame at a time",
        ),
        (
            lambda: still([list(clip)]),
            "a picture is a path, an image of PIL, an array or a tensor, not list; convert it",
        ),
        (
            lambda: explainer.cam(torch.zeros(1, 3, 7, 32, 32)),
            "inputs are a float tensor (B, 3, 8, height, width), preprocessed, not torch.float32 (1, 3, 7, 32, 32)",
        ),
    ]
    for call, message in wrong:
        with pytest.raises(LivecamError) as error:
            call()
        assert str(error.value) == message


def test_what_a_stream_takes_no_clip_of_is_told(
    explainer: Explainer, clip: Callable[..., Path], tmp_path: Path
) -> None:
    Image.new("RGB", (64, 48)).save(photo := tmp_path / "photo.png")
    short = clip(frames=1)
    told = {
        photo: "Brightness sees clips of 8 frames, and a picture is none; give it a video",
        short: f"{short} is too short with 1 frame: the model sees 8; take a longer video",
    }
    for source, message in told.items():
        with pytest.raises(LivecamError) as error:
            list(explainer.stream(source))
        assert str(error.value) == message


def test_pictures_stay_pictures() -> None:
    explained = tiny(engine="eager")(np.zeros((2, 48, 48, 3), np.uint8))
    assert [type(each) for each in explained] == [Explanation] * 2
    assert explained[0].clip_frames is explained[0].cell_frames is None


def test_frames_without_indices_of_their_own_are_counted(explainer: Explainer) -> None:
    explanation = explainer([Frame.from_rgb(each) for each in clip_with(first=4, last=7)])
    assert [cell.cell_frames for cell in explanation.cells] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert len(explanation.draw()) == 8
