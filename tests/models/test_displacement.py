"""Networks that crop, pad or warp the picture inside, whose maps would lie at other places."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, interpolate, pad, pixel_unshuffle
from torchvision.ops import roi_align
from torchvision.transforms.v2.functional import center_crop, resize

from livecam import Explainer, LivecamError
from livecam.models import Preprocessing
from tests.support.witness import gradcam_witness, least_cosine

View = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """Sees a view of the picture, and makes a view of its features."""

    def __init__(self, view: View, of_features: View = lambda features: features, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.view, self.of_features = view, of_features
        self.features = nn.Sequential(nn.Conv2d(channels, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU())
        self.last, self.head = nn.Conv2d(8, 8, 3, 1, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = self.of_features(self.features(self.view(x)))
        return self.head(self.last(features).relu().mean(dim=(2, 3)))


class Turner(nn.Module):
    """A spatial transformer, which shifts each picture as it finds it best."""

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.where(x.mean(dim=(2, 3))).unflatten(1, (2, 3))
        return grid_sample(x, affine_grid(matrix, x.shape, align_corners=False), align_corners=False)


def zoomed(scale: float, shift: float = 0.0) -> View:
    matrix = torch.tensor([[[scale, 0, shift], [0, scale, 0]]])
    return lambda x: grid_sample(x, affine_grid(matrix.to(x), list(x.shape), align_corners=False), align_corners=False)


def region(of: Tensor, box: list[float], size: int) -> Tensor:
    return roi_align(of, [torch.tensor([box])], (size, size))


def canvas(x: Tensor) -> Tensor:
    """Return a picture in the corner of a larger black one."""
    larger = torch.zeros(1, 3, 96, 96)
    larger[:, :, :64, :64] = x
    return larger


def explained(model: nn.Module) -> Explainer:
    return Explainer(model, preprocessing=Preprocessing(size=(64, 64)), engine="eager")


CROPS = {
    "after a resize": lambda x: center_crop(resize(x, [73, 73], antialias=True), [64, 64]),
    "index": lambda x: x[:, :, torch.arange(16, 64)][..., torch.arange(16, 64)],
    "index_select": lambda x: x.index_select(2, torch.arange(24, 64)).index_select(3, torch.arange(24, 64)),
    "unfold": lambda x: x.unfold(2, 40, 40).unfold(3, 40, 40)[:, :, 0, 0],
    "roi_align": lambda x: region(x, [16.0, 16.0, 64.0, 64.0], 64),
    "negative padding": lambda x: pad(x, (-8, -8, -8, -8)),
}
PADDINGS = {
    "right and bottom": lambda x: pad(x, (0, 16, 0, 16)),
    "all around": lambda x: pad(x, (32, 32, 32, 32)),
    "reflect": lambda x: pad(x, (32, 32, 32, 32), mode="reflect"),
    "replicate": lambda x: pad(x, (8, 8, 8, 8), mode="replicate"),
    "canvas": canvas,
}
WARPS = {
    "zoom": zoomed(0.6),
    "shift": zoomed(1.0, 0.3),
    "roll": lambda x: torch.roll(x, 32, 3),
    "quarter turn": lambda x: torch.rot90(x, 1, (2, 3)),
}


@pytest.mark.parametrize("view", CROPS.values(), ids=CROPS)
def test_crops_of_the_picture_are_refused(view: View) -> None:
    with pytest.raises(LivecamError, match="last sees only a part of the picture.*without its crops"):
        explained(Net(view))


@pytest.mark.parametrize("view", PADDINGS.values(), ids=PADDINGS)
def test_paddings_of_the_picture_are_refused(view: View) -> None:
    with pytest.raises(LivecamError, match="last sees the picture with a wide border.*without its padding"):
        explained(Net(view))


@pytest.mark.parametrize("view", WARPS.values(), ids=WARPS)
def test_warps_of_the_picture_are_refused(view: View) -> None:
    with pytest.raises(LivecamError, match="last sees the picture warped, turned or moved.*without its warps"):
        explained(Net(view))


def test_a_spatial_transformer_that_depends_on_the_picture_is_refused() -> None:
    with pytest.raises(LivecamError, match="last sees the picture warped"):
        explained(Net(Turner()))


def test_regions_of_features_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    model = Net(lambda x: x, lambda features: region(features, [4.0, 4.0, 16.0, 16.0], 8))
    assert explained(model).layer == "features"
    assert caplog.messages == ["left out, as it sees only a part of the picture: last"]


def test_layers_that_only_prepare_the_picture_are_no_way_out() -> None:
    blur = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.ZeroPad2d((0, 32, 0, 32)), nn.BatchNorm2d(3))
    with pytest.raises(LivecamError, match="last sees the picture with a wide border"):
        explained(Net(blur).eval())


UPRIGHT = {
    "normalised": lambda x: (x - x.amin()) / (x.amax() - x.amin()),
    "clamped": lambda x: x.clamp(-0.1, 0.1),
    "instance norm": nn.InstanceNorm2d(3),
    "a stem's padding": lambda x: pad(x, (1, 2, 1, 2)),
    "resized": lambda x: interpolate(x, (96, 96), mode="bilinear"),
    "made smaller": lambda x: resize(x, [40, 40], antialias=True),
    "channels by index": lambda x: x[:, torch.tensor([2, 1, 0])],
    "channels last and back": lambda x: (x.permute(0, 2, 3, 1) / torch.ones(3)).permute(0, 3, 1, 2),
    "subsampled": lambda x: x[..., ::2, ::2],
    "identity by grid": zoomed(1.0),
}


@pytest.mark.parametrize("view", UPRIGHT.values(), ids=UPRIGHT)
def test_what_leaves_the_picture_in_its_place_is_explained(view: View, caplog: pytest.LogCaptureFixture) -> None:
    check(Net(view), caplog)


def test_blocks_as_channels_are_explained(caplog: pytest.LogCaptureFixture) -> None:
    check(Net(lambda x: pixel_unshuffle(x, 2), channels=12), caplog)


def check(model: Net, caplog: pytest.LogCaptureFixture) -> None:
    inputs = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    witness = gradcam_witness(model, "last", inputs, lambda output: output[:, 1])
    assert least_cosine(explained(model).cam(inputs, target=1), witness) > 0.9999
    assert not caplog.messages
