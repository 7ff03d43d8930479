"""Drawing on a torch device: what covers the picture is done there, lines and letters on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from livecam.picture.color import Color
from livecam.picture.media import Orientation, Region
from livecam.picture.transfer import DevicePlanes, stacked
from livecam.render.canvas import Canvas, Place


class DeviceCanvas(Canvas):
    """A canvas whose ground is on a device as well.

    `fill` and `blend` draw there, until it is settled, which brings the picture down to the host in one go; `write` and
    `outline` begin with that.
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
        self._drawn: Tensor | None = None  # laid out as what was uploaded; None as long as nothing is drawn

    def settle(self) -> None:
        """Bring down what was drawn; where nothing was, the host has the ground itself."""
        if self._drawn is not None and not self.is_settled:
            with self._transfer.drawing():
                self._transfer.download(self._drawn, self._planes)
            self._ground = self._planes
        super().settle()

    def fill(self, rgb: tuple[int, int, int]) -> None:
        if self.is_settled:
            super().fill(rgb)
            return
        with self._transfer.drawing():
            self._drawn = torch.empty_like(self._uploaded.here())
            planes = [plane for alike in self._stacked(self._drawn) for plane in alike.unbind()]
            for plane, value in zip(planes, self._values_of(rgb), strict=True):
                plane.fill_(value)

    def blend(
        self, levels: np.ndarray, region: Region, palette: np.ndarray, opacity: float | np.ndarray, blocks: bool = False
    ) -> None:
        if self.is_settled:
            super().blend(levels, region, palette, opacity, blocks)
            return
        levels, places = self._laid_out(levels, region)
        adds = self._values(palette) * np.float32(opacity) + np.float32(0.5)  # cut off later, so that it is rounded
        keeps = np.broadcast_to(1 - np.float32(opacity), (1, len(palette)))
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
        """Planes of one shape together, each (planes, h, w) uint8."""
        return stacked(memory, self._uploaded.shapes)


def _numbers(stacks: Sequence[Tensor]) -> Iterator[slice]:
    """For each stack of planes their numbers among all."""
    start = 0
    for planes in stacks:
        yield slice(start, start + len(planes))
        start += len(planes)


def _blended(ground: Tensor, place: Place, levels: Tensor, table: Tensor, blocks: bool) -> Tensor:
    """Colour what lies at a place of alike planes, (planes, h, w) uint8; the result is float32, to be cut off.

    `levels` are (h', w') float32, a half too high, `table` (planes + 1, 256) float32: by level what is added to each of
    the planes, and at the end the share that is kept of what lies below.
    """
    options = {"mode": "nearest-exact"} if blocks else {"mode": "bilinear", "align_corners": False}
    stretched = functional.interpolate(levels[None, None], (place.height, place.width), **options)[0, 0]
    looked_up = table[:, stretched[place.inside].long()]
    return torch.addcmul(looked_up[:-1], looked_up[-1], ground)
