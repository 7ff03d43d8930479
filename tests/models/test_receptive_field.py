"""The regions that cells cover, against the gradient of a cell by the pixels: a witness that knows no graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional

from livecam.models.survey.receptive_field import as_the_picture_lies, receptive_regions
from livecam.picture.region import Region

SIDE = 96


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.way, self.shortcut = nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.way(x) + self.shortcut(x)


class Merging(nn.Module):
    """The patches of four cells, in the layout (B, h, w, C), as in a Swin transformer."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        parts = [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        return torch.cat(parts, dim=-1).mean(dim=-1, keepdim=True).permute(0, 3, 1, 2)


class Last(nn.Module):
    """Leaves out the first row and column, and then every second one."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:, 1:][..., ::2].narrow(2, 0, x.shape[2] - 2)


class TurnedOver(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(3)


NETS = {
    "symmetric padding": nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, 2, 1)),
    "TensorFlow's SAME": nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 1, 3, 2), nn.Conv2d(1, 1, 3, 1, 1)),
    "large stem and pool": nn.Sequential(nn.Conv2d(1, 1, 7, 2, 3), nn.AvgPool2d(3, 2, 1)),
    "rows and columns differ": nn.Sequential(nn.Conv2d(1, 1, (3, 5), (2, 1), (0, 2)), nn.AvgPool2d((2, 3), (2, 1))),
    "dilated": nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, 2, 2, dilation=2)),
    "no padding": nn.Sequential(nn.Conv2d(1, 1, 5, 2), nn.Conv2d(1, 1, 3, 2)),
    "patches": nn.Sequential(nn.Conv2d(1, 1, 4, 4), nn.Conv2d(1, 1, 7, 1, 3), nn.Conv2d(1, 1, 2, 2)),
    "reflection": nn.Sequential(nn.ReflectionPad2d((2, 0, 0, 2)), nn.Conv2d(1, 1, 3, 2)),
    "residual": nn.Sequential(Residual(), Residual()),
    "merged patches": nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), Merging()),
    "slices": nn.Sequential(nn.Conv2d(1, 1, 3, 1, 1), Last()),
    "mirrored": nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), TurnedOver(), nn.Conv2d(1, 1, 3, 2, 1)),
    "transposed": nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.ConvTranspose2d(1, 1, 4, 2, 1)),
}


def region_of(net: nn.Module, picture: Tensor) -> tuple[Region, Tensor]:
    output = net.requires_grad_(False)(picture)
    return receptive_regions([get_gradient_edge(output)])[0], output


@pytest.mark.parametrize("name", NETS)
def test_cells_lie_in_the_middle_of_the_pixels_that_change_them(name: str) -> None:
    """Of a linear network with equal weights, in which no cell looks beyond the picture."""
    net = NETS[name].double()
    for parameter in net.parameters():
        nn.init.ones_(parameter.requires_grad_(False))
    picture = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    (left, top, right, bottom), output = region_of(net, picture)
    rows, columns = output.shape[2:]
    for row, column in ((rows // 2, columns // 2), (rows // 2 - 1, columns // 2 - 2)):
        # A window of a transposed convolution holds one of two patterns of weights; two cells hold both.
        cells = output[0, 0, row : row + 2, column : column + 2].sum()
        (influence,) = torch.autograd.grad(cells, picture, retain_graph=True)
        places = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
        y, x = ((influence[0, 0].sum(dim) @ places / influence.sum()).item() for dim in (1, 0))
        assert top + (bottom - top) * (row + 1) / rows == pytest.approx(y, abs=1e-9)
        assert left + (right - left) * (column + 1) / columns == pytest.approx(x, abs=1e-9)


class Tokens(nn.Module):
    """Attention over the cells of a convolution, with a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(1, 4, 3, 2, 1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.mix(self.stem(x).flatten(2).transpose(1, 2))
        tokens = torch.cat([torch.zeros(1, 1, 4), tokens], dim=1)
        return tokens + functional.scaled_dot_product_attention(tokens, tokens, tokens)


def test_tokens_and_what_spreads_evenly_keep_the_place_of_what_they_are_made_of() -> None:
    picture = torch.zeros(1, 1, SIDE, SIDE, requires_grad=True)
    stem = Region(-0.5 / SIDE, -0.5 / SIDE, 1 - 0.5 / SIDE, 1 - 0.5 / SIDE)
    assert region_of(Tokens(), picture)[0] == pytest.approx(tuple(stem))
    pooled = nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.AdaptiveAvgPool2d(7), nn.Upsample(scale_factor=3))
    assert region_of(pooled, picture)[0] == pytest.approx(tuple(stem))
    tiles = lambda x: torch.cat([x[:, :, : SIDE // 2], x[:, :, SIDE // 2 :]], dim=2)  # noqa: E731
    assert receptive_regions([get_gradient_edge(tiles(picture) * 2)])[0] == Region()


def test_a_region_is_mirrored_as_its_grid_is() -> None:
    to_the_right = Region(0.1, 0.0, 1.1, 1.0)
    assert as_the_picture_lies(to_the_right, ()) == to_the_right
    assert as_the_picture_lies(to_the_right, (3,)) == pytest.approx((-0.1, 0.0, 0.9, 1.0))
    assert as_the_picture_lies(Region(1.1, 0.0, 0.1, 1.0), (3,)) == to_the_right  # seen in the graph already
