"""Layers of models of clips: where their cells lie in space and in time, and layouts that are refuted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn

from livecam import Explainer
from livecam.errors import ModelError
from livecam.models import Preprocessing, load_model
from livecam.models.survey.grid import Grid
from livecam.models.torchvision_models import preprocessing_of
from tests.support.witness import gradcam_witness

CLIPS = Preprocessing(size=(64, 64), frames=8)
Fold = Callable[[Tensor], Tensor]


def explained(model: nn.Module, preprocessing: Preprocessing = CLIPS) -> Explainer:
    return Explainer(model, preprocessing=preprocessing, target=2, engine="eager")


def grid_of(explainer: Explainer, layer: str) -> Grid | None:
    (found,) = [call for call in explainer.survey.layers if call.name == layer]
    return found.grid if found.is_proven else None


def check(explainer: Explainer, layer: str, fold: Fold, times: int) -> None:
    """The layer is chosen by itself, and its maps of a batch are those of the witness, in the order of time."""
    assert explainer.layer == layer
    classifier = explainer.classifier
    batch = torch.randn(3, *classifier.preprocessing.input_shape, generator=torch.Generator().manual_seed(1))
    witness = gradcam_witness(
        classifier.module, layer, batch, lambda output: output[:, 2], lambda output: fold(output).flatten(2, 3)
    )
    maps = explainer.cam(batch)
    assert maps.shape[1] == times
    error = (maps.flatten(1, 2) - witness).abs().amax(dim=(1, 2)) / witness.abs().amax(dim=(1, 2))
    assert error.max() < 1e-5


def stages(frame_stride: int = 2) -> nn.Sequential:
    """(B, 3, 8, 64, 64) to (B, 8, 8 / frame_stride, 8, 8)."""
    return nn.Sequential(
        nn.Conv3d(3, 8, 3, (1, 4, 4), 1), nn.ReLU(), nn.Conv3d(8, 8, 3, (frame_stride, 2, 2), 1), nn.ReLU()
    )


class Head(nn.Module):
    """Scores of features (B, C, ...), averaged over all cells."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 5)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(features.flatten(2).square().mean(dim=2))
        return scores


class Convolutions(nn.Module):
    def __init__(self, turn: Fold = lambda features: features) -> None:
        super().__init__()
        self.features, self.norm, self.head, self.turn = stages(), nn.Identity(), Head(), turn

    def forward(self, clip: Tensor) -> Tensor:
        scores: Tensor = self.head(self.norm(self.turn(self.features(clip))))
        return scores


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_maps_of_convolutions_have_time_cells() -> None:
    explainer = explained(Convolutions())
    check(explainer, "norm", lambda output: output, 4)
    assert grid_of(explainer, "norm") == Grid("ncthw", 8, 8, times=4)


class ChannelsLast(Convolutions):
    def forward(self, clip: Tensor) -> Tensor:
        scores: Tensor = self.head(self.norm(self.features(clip).movedim(1, -1)).movedim(-1, 1))
        return scores


def test_channels_may_be_last() -> None:
    explainer = explained(ChannelsLast())
    check(explainer, "norm", lambda output: output.movedim(-1, 1), 4)
    assert grid_of(explainer, "norm") == Grid("nthwc", 8, 8, times=4)


class Frames(nn.Module):
    """Sees each frame as a picture, as TSN does; the frames of a clip are a batch, or an axis of their own."""

    def __init__(self, *, apart: bool = False) -> None:
        super().__init__()
        self.apart = apart
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.norm, self.head = nn.Identity(), Head()

    def forward(self, clip: Tensor) -> Tensor:
        features = self.features(clip.transpose(1, 2).flatten(0, 1))
        if self.apart:
            features = features.unflatten(0, (-1, clip.shape[2]))
            scores: Tensor = self.head(self.norm(features).transpose(1, 2))
            return scores
        scores = self.head(self.norm(features)).unflatten(0, (-1, clip.shape[2]))
        return scores.mean(dim=1)


def test_frames_may_be_pictures_of_a_batch() -> None:
    explainer = explained(Frames())
    check(explainer, "norm", lambda output: output.unflatten(0, (-1, 8)).transpose(1, 2), 8)
    assert grid_of(explainer, "norm") == Grid("(nt)chw", 8, 8, times=8)


def test_frames_may_be_an_axis_before_the_channels() -> None:
    explainer = explained(Frames(apart=True))
    check(explainer, "norm", lambda output: output.transpose(1, 2), 8)
    assert grid_of(explainer, "norm") == Grid("ntchw", 8, 8, times=8)


class Tubelets(nn.Module):
    """Tokens of 2 x 16 x 16 pixels and a class token, with the times or the places of them in a row."""

    def __init__(self, *, time_is_last: bool, convolves: bool = True) -> None:
        super().__init__()
        self.embed: nn.Module = nn.Conv3d(3, 16, (2, 16, 16), (2, 16, 16)) if convolves else nn.Linear(3 * 2 * 256, 16)
        self.time_is_last, self.convolves = time_is_last, convolves
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0, batch_first=True, norm_first=True)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, clip: Tensor) -> Tensor:
        if self.convolves:
            cells = self.embed(clip)
        else:
            patches = clip.unfold(2, 2, 2).unfold(3, 16, 16).unfold(4, 16, 16)
            cells = self.embed(patches.movedim(1, 4).flatten(4)).movedim(-1, 1)
        tokens = (cells.movedim(2, -1) if self.time_is_last else cells).flatten(2).transpose(1, 2)
        tokens = self.norm(self.block(torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1)))
        scores: Tensor = self.head(tokens.mean(dim=1))
        return scores


@pytest.mark.parametrize("time_is_last", [False, True])
def test_tokens_go_through_times_or_places_first(time_is_last: bool) -> None:
    def fold(tokens: Tensor) -> Tensor:
        cells = tokens[:, 1:].transpose(1, 2)
        return cells.unflatten(2, (4, 4, 4)).movedim(-1, 2) if time_is_last else cells.unflatten(2, (4, 4, 4))

    explainer = explained(Tubelets(time_is_last=time_is_last))
    check(explainer, "norm", fold, 4)
    assert grid_of(explainer, "norm") == Grid("tokens", 4, 4, ((1, 65),), times=4, time_is_last=time_is_last)


@pytest.mark.parametrize("time_is_last", [False, True])
def test_tokens_of_no_convolution_are_found_by_what_they_see(time_is_last: bool) -> None:
    explainer = explained(Tubelets(time_is_last=time_is_last, convolves=False))
    grid = grid_of(explainer, "norm")
    assert grid == Grid("tokens", 4, 4, ((1, 65),), times=4, time_is_last=time_is_last)


@pytest.mark.parametrize(
    "turn",
    [
        lambda features: features.flip(2),
        lambda features: features.roll(2, dims=2),
        lambda features: features.transpose(3, 4),
        lambda features: features.repeat_interleave(2, dim=2).transpose(2, 3),
        lambda features: features[:, :, [1, 3, 0, 2]],
    ],
    ids=["reversed", "rolled", "transposed", "time as rows", "shuffled"],
)
def test_what_does_not_lie_in_order_is_refuted(turn: Fold) -> None:
    explainer = explained(Convolutions(turn))
    assert explainer.layer == "features"
    assert grid_of(explainer, "norm") is None


def test_a_mirrored_clip_is_seen_upright() -> None:
    explainer = explained(Convolutions(lambda features: features.flip(4)))
    check(explainer, "norm", lambda output: output.flip(4), 4)


def test_time_that_is_averaged_leaves_one_cell() -> None:
    explainer = explained(Convolutions(lambda features: features.mean(dim=2, keepdim=True)))
    check(explainer, "norm", lambda output: output, 1)
    explainer = explained(Convolutions(lambda features: features.mean(dim=2)))
    check(explainer, "norm", lambda output: output[:, :, None], 1)


def test_frames_may_come_first() -> None:
    class FramesFirst(Convolutions):
        def forward(self, clip: Tensor) -> Tensor:
            return super().forward(clip.transpose(1, 2))

    explainer = explained(FramesFirst(), Preprocessing(size=(64, 64), frames=8, frames_first=True))
    check(explainer, "norm", lambda output: output, 4)


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        ({"size": (64, 64)}, "Convolutions takes clips; say how many frames with preprocessing={'frames': 16}"),
        (
            {"size": (64, 64), "frames": 8, "frames_first": True},
            "Convolutions fails on an input of 8 x 3 x 64 x 64 and runs on 3 x 8 x 64 x 64; say so with "
            "preprocessing={'frames_first': False}",
        ),
        ({"frames": 0}, "a clip has a whole number of frames, at least 2, not 0"),
        ({"frames": 1.5}, "a clip has a whole number of frames, at least 2, not 1.5"),
        ({"frames": 8, "frames_per_second": 0}, "frames_per_second is above 0, or None for every frame, not 0"),
    ],
)
def test_a_clip_that_does_not_fit_is_told(preprocessing: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError) as error:
        Explainer(Convolutions(), preprocessing=preprocessing)
    assert str(error.value) == message


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        *(("mc3_18", "layer4"), ("swin3d_t", "norm"), ("mvit_v1_b", "blocks.15.norm1")),
        *(pytest.param(name, "layer4", marks=pytest.mark.slow) for name in ("r3d_18", "r2plus1d_18")),
    ],
)
def test_architectures_of_torchvision_are_explained_as_by_float64(name: str, layer: str) -> None:
    known = load_model(name, weights="none")
    known.module.double()  # the rounding of float32 is up to 1.5e-5 after so many layers
    changes = {} if name == "mvit_v1_b" else {"size": (64, 64), "frames": 8}
    explainer = explained(known.module, known.preprocessing.changed(changes))
    batch = torch.randn(2, *explainer.classifier.preprocessing.input_shape, generator=torch.Generator().manual_seed(1))

    def fold(output: Tensor) -> Tensor:
        if output.ndim == 3:
            return output[:, 1:].transpose(1, 2).unflatten(2, (8, 7, 7))
        return output.movedim(-1, 1) if name == "swin3d_t" else output

    witness = gradcam_witness(
        known.module, layer, batch, lambda output: output[:, 2], lambda output: fold(output).flatten(2, 3)
    )
    error = (explainer.cam(batch).flatten(1, 2) - witness).abs().amax(dim=(1, 2)) / witness.abs().amax(dim=(1, 2))
    assert explainer.layer == layer
    assert error.max() < 1e-5


def test_torchvision_tells_how_many_frames_at_which_rate() -> None:
    known = {
        name: preprocessing_of(torchvision.models.get_model_weights(name).DEFAULT)
        for name in ("r3d_18", "s3d", "mvit_v2_s", "swin3d_t")
    }
    assert {name: (each.frames, each.frames_per_second, each.size) for name, each in known.items()} == {
        "r3d_18": (16, 15, (112, 112)),
        "s3d": (16, 15, (224, 224)),
        "mvit_v2_s": (16, 7.5, (224, 224)),
        "swin3d_t": (32, 15, (224, 224)),
    }
    assert known["r3d_18"].resize == (128, 171)
