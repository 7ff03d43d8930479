"""A canvas on a torch device: blends and fills are computed on the device, lines and letters on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from livecam.picture.color import Color
from livecam.picture.media import Orientation, Region
from livecam.picture.transfer import DevicePlanes, stacked
from livecam.render.canvas import RGB, Canvas, Palette
from livecam.render.stretching import Place


class DeviceCanvas(Canvas):
    """A canvas whose ground is also available on a device.

    `fill` and `blend` draw on the device until the canvas is settled, which downloads the picture in one copy. `write`
    and `outline` settle it first.

    Args:
        uploaded: The planes of the ground on the device. The other arguments are those of `Canvas`.
    """

    def __init__(
        self,
        ground: Sequence[np.ndarray],
        planes: Sequence[np.ndarray],
        pixel_format: str,
        color: Color,
        orientation: Orientation,
        uploaded: DevicePlanes,
    ) -> None:
        super().__init__(ground, planes, pixel_format, color, orientation)
        self._uploaded = uploaded
        self._transfer = uploaded.transfer
        self._drawn: Tensor | None = None
        """The drawn picture in the memory layout of `uploaded`; None until something is drawn."""

    def settle(self) -> None:
        """Download what was drawn; if nothing was, copy the ground on the host."""
        if self._drawn is not None and not self.is_settled:
            with self._transfer.drawing():
                self._transfer.download(self._drawn, self._planes)
            self._ground = self._planes
        super().settle()

    def fill(self, rgb: RGB) -> None:
        if self.is_settled:
            super().fill(rgb)
            return
        with self._transfer.drawing():
            self._drawn = torch.empty_like(self._uploaded.here())
            planes = [plane for alike in self._stacked(self._drawn) for plane in alike.unbind()]
            for plane, value in zip(planes, self._ink(rgb), strict=True):
                plane.fill_(value)

    def blend(self, levels: np.ndarray, region: Region, palette: Palette, *, blocks: bool = False) -> None:
        if self.is_settled:
            super().blend(levels, region, palette, blocks=blocks)
            return
        levels, places = self._laid_out(levels, region)
        opacity = np.float32(palette.opacity)
        adds = self._table(palette) * opacity + np.float32(0.5)  # rounds when truncated later
        keeps = np.broadcast_to(1 - opacity, (1, adds.shape[1]))
        with self._transfer.drawing():
            below = self._uploaded.here() if self._drawn is None else self._drawn
            if self._drawn is None:
                self._drawn = torch.empty_like(below) if all(place.covers for place in places) else below.clone()
            grounds, drawn = self._stacked(below), self._stacked(self._drawn)
            groups = list(_numbers(grounds))
            tables = [np.concatenate([adds[group], keeps]) for group in groups]
            there, *tables_there = self._transfer.send([levels.astype(np.float32) + np.float32(0.5), *tables])
            for ground, target, group, table in zip(grounds, drawn, groups, tables_there, strict=True):
                place = places[group.start]
                target[:, *place.where].copy_(_blended(ground[:, *place.where], place, there, table, blocks))

    def _stacked(self, memory: Tensor) -> list[Tensor]:
        """View memory as stacks of planes of one shape, (planes, h, w) uint8 each."""
        return stacked(memory, self._uploaded.shapes)


def _numbers(stacks: Sequence[Tensor]) -> Iterator[slice]:
    """Yield for each stack of planes their numbers among all planes."""
    start = 0
    for planes in stacks:
        yield slice(start, start + len(planes))
        start += len(planes)


def _blended(ground: Tensor, place: Place, levels: Tensor, table: Tensor, blocks: bool) -> Tensor:
    """Blend the colours of a map over a part of planes of one shape.

    Args:
        ground: That part of the planes, (planes, h, w) uint8.
        place: Where the map lies in these planes.
        levels: The map, (h', w') float32, raised by 0.5 so that cutting the fraction off rounds.
        table: (planes + 1, 256) float32: by level what is added to each of the planes, and in the last row the share
            that is kept of the ground.
        blocks: Draw each cell of the map as a block.

    Returns:
        (planes, h, w) float32, raised by 0.5 as well.
    """
    options = {"mode": "nearest-exact"} if blocks else {"mode": "bilinear", "align_corners": False}
    stretched = functional.interpolate(levels[None, None], (place.height, place.width), **options)[0, 0]
    colors = table[:, stretched[place.inside].long()]
    return torch.addcmul(colors[:-1], colors[-1], ground)
