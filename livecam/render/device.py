"""Drawing on a torch device: what covers the picture is done there, lines and letters on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from livecam.color import Color
from livecam.media import Orientation, Region
from livecam.render.canvas import Canvas
from livecam.render.place import Place
from livecam.transfer import DevicePlanes


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
        self._transfer = uploaded.transfer
        with self._transfer.drawing():
            self._above = uploaded.here()
        self._is_drawn_on = False

    def settle(self) -> None:
        """Bring down what was drawn; where nothing was, the host has the ground itself."""
        if self._is_drawn_on and not self.is_settled:
            with self._transfer.drawing():
                self._transfer.download(self._above, self._planes)
            self._ground = self._planes
        super().settle()

    def fill(self, rgb: tuple[int, int, int]) -> None:
        if self.is_settled:
            super().fill(rgb)
            return
        with self._transfer.drawing():
            self._above = [
                torch.full_like(plane, value) for plane, value in zip(self._above, self._values_of(rgb), strict=True)
            ]
        self._is_drawn_on = True

    def blend(
        self, levels: np.ndarray, region: Region, palette: np.ndarray, opacity: float | np.ndarray, blocks: bool = False
    ) -> None:
        if self.is_settled:
            super().blend(levels, region, palette, opacity, blocks)
            return
        levels, places = self._laid_out(levels, region)
        with self._transfer.drawing():
            tables = self._sent(self._values(palette)).float()
            weights = self._sent(opacity.astype(np.float32)) if isinstance(opacity, np.ndarray) else opacity
            spread = _spread(self._sent(levels), places, blocks)
            self._above = [
                _blended(plane, place, there, table, weights)
                for plane, place, there, table in zip(self._above, places, spread, tables, strict=True)
            ]
        self._is_drawn_on = True

    def _sent(self, small: np.ndarray) -> Tensor:
        return torch.from_numpy(small).to(self._transfer.device, non_blocking=True)


def _spread(levels: Tensor, places: Sequence[Place], blocks: bool) -> Iterator[Tensor]:
    """For each plane the levels, (h, w) int32, where they lie; the planes of the chroma share theirs."""
    last_place, there = None, levels
    for place in places:
        if place != last_place:
            options = {"mode": "nearest-exact"} if blocks else {"mode": "bilinear", "align_corners": False}
            size = (place.height, place.width)
            stretched = functional.interpolate(levels[None, None].float(), size, **options)[0, 0]
            last_place, there = place, stretched[place.inside].round().int()
        yield there


def _blended(plane: Tensor, place: Place, there: Tensor, table: Tensor, opacity: float | Tensor) -> Tensor:
    """A new plane, (h, w) uint8; what was uploaded is the frame's, and stays as it is."""
    weight = opacity[there] if isinstance(opacity, Tensor) else opacity
    mixed = torch.lerp(plane[place.where].float(), table[there], weight).round().byte()
    if place.covers:
        return mixed
    blended = plane.clone()
    blended[place.where] = mixed
    return blended
