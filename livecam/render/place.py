"""Where a map lies in a plane."""

from __future__ import annotations

from typing import NamedTuple

from livecam.media import Region


class Place(NamedTuple):
    """A map stretched to `width` x `height` pixels of a plane, of which the part beyond the picture is cut off.

    `where` are the rows and columns of the plane that it lies on, `inside` those of the stretched map that remain.
    """

    width: int
    height: int
    where: tuple[slice, slice]
    inside: tuple[slice, slice]
    covers: bool
    """Whether nothing of the plane is left free."""

    @classmethod
    def of(cls, region: Region, plane_height: int, plane_width: int) -> Place:
        """That of a map of a region of the coded picture."""
        left, top = round(region.left * plane_width), round(region.top * plane_height)
        width = max(round(region.right * plane_width) - left, 1)
        height = max(round(region.bottom * plane_height) - top, 1)
        x, y = max(left, 0), max(top, 0)
        x_end, y_end = min(left + width, plane_width), min(top + height, plane_height)
        return cls(
            width,
            height,
            (slice(y, y_end), slice(x, x_end)),
            (slice(y - top, y_end - top), slice(x - left, x_end - left)),
            (x, y, x_end, y_end) == (0, 0, plane_width, plane_height),
        )
