"""Conditioning: pictures of every kind that is decoded become those that everything after the source expects."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av

from livecam.picture.color import BT2020, Color
from livecam.picture.media import Media
from livecam.picture.planes import planar_format
from livecam.sources.filters import Filters
from livecam.sources.tone_mapping import HDR, tone_map

log = logging.getLogger("livecam")

_LEAST_SIDE = 16
"""The pixels that bwdif needs, even where the chroma has a quarter of them."""
_CLOSE = 0.99
"""Pictures are stretched instead of framed if the frame would take less than the rest of this share of a side."""


def conditioned(media: Media) -> Media:
    """Return the facts of the pictures that a Conditioner makes, from those of the decoded ones."""
    pixel_format = av.VideoFormat(media.pixel_format)
    if media.color_transfer in HDR:
        return dataclasses.replace(media, pixel_format=planar_format(pixel_format)).in_bt709()
    if _can_be_transparent(pixel_format):
        return dataclasses.replace(media, pixel_format=_opaque(pixel_format))
    return media


class Form(NamedTuple):
    """What a decoded picture is like; all but its content and its times."""

    width: int
    height: int
    pixel_format: str
    color_range: int
    color_space: int
    color_transfer: int
    rotation: int
    sample_aspect_ratio: Fraction | None

    @property
    def coding(self) -> tuple[str, int, int, int]:
        """What the numbers in the planes mean, as far as it is tagged."""
        return self.pixel_format, self.color_range, self.color_space, self.color_transfer

    @property
    def shown_size(self) -> tuple[float, int]:
        """(width, height) in square pixels."""
        return float(self.width * (self.sample_aspect_ratio or 1)), self.height


class Conditioner:
    """Makes progressive, opaque SDR pictures of one size, format and colour space of whatever is decoded.

    Pictures that are that already are passed on untouched. The others go through filters: they are deinterlaced, which
    holds each back until the next one arrives; laid on white; tone-mapped; and converted to the size, format and
    colours of the first picture, which the encoder was told. Every picture comes out once, in order, with its own time.
    What is done is logged once.

    Args:
        name: What the source is called.
        media: The facts that the pictures shall have, from `conditioned`.
        sample_aspect_ratio: Returns that of the latest packet, None if unknown.
        told: Collects what has been logged, for a source that is read several times.
    """

    def __init__(
        self,
        name: str,
        media: Media,
        sample_aspect_ratio: Callable[[], Fraction | None] = lambda: None,
        told: set[str] | None = None,
    ) -> None:
        self._name, self._media = name, media
        self._color = Color.tagged(media.color_space, media.color_range, media.width, media.height)
        self._sample_aspect_ratio, self._latest_aspect_ratio = sample_aspect_ratio, sample_aspect_ratio()
        self._first: Form | None = None
        self._form: Form | None = None
        self._deinterlaces = False
        self._filters: Filters | None = None
        self._told: set[str] = set() if told is None else told

    def events(self, decoded: Iterable[av.VideoFrame | av.Packet]) -> Iterator[av.VideoFrame | av.Packet]:
        """Condition the pictures among what a source reads, and pass on its packets."""
        for event in decoded:
            if isinstance(event, av.Packet):
                yield event
            else:
                yield from self._conditioned(event)
        yield from self._held_back()

    def pictures(self, decoded: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Condition all pictures of a source."""
        for picture in decoded:
            yield from self._conditioned(picture)
        yield from self._held_back()

    def _conditioned(self, picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        form = self._form_of(picture)
        if form != self._form or (picture.interlaced_frame and not self._deinterlaces):
            yield from self._held_back()
            self._filters = self._filters_for(picture, form)
        if self._filters is None:
            yield picture
        else:
            yield from self._filters.put(picture)

    def _held_back(self) -> Iterator[av.VideoFrame]:
        """Yield the picture that still waits for the next one to be deinterlaced."""
        if self._filters is not None:
            yield from self._filters.put(None)

    def _form_of(self, picture: av.VideoFrame) -> Form:
        # The decoder knows it of the latest packet, while pictures before that one are still to come.
        if picture.key_frame:
            self._latest_aspect_ratio = self._sample_aspect_ratio()
        return Form(
            picture.width,
            picture.height,
            picture.format.name,
            picture.color_range,
            picture.colorspace,
            picture.color_trc,
            picture.rotation,
            self._latest_aspect_ratio,
        )

    def _filters_for(self, picture: av.VideoFrame, form: Form) -> Filters | None:
        """Return filters for pictures of this form, None if they need none."""
        self._first, self._form = self._first or form, form
        self._deinterlaces = self._deinterlaces or picture.interlaced_frame
        has_fields = self._deinterlaces and min(form.width, form.height) >= _LEAST_SIDE
        if form.rotation != self._first.rotation:
            self._tell("%s is rotated differently later: all of it is shown like its first picture")
        is_transparent, is_hdr = _can_be_transparent(picture.format), form.color_transfer in HDR
        size, color = self._size_within_first(form), Color.of(picture)
        if not (has_fields or is_transparent or is_hdr or self._differs(form, size, color)):
            return None
        self._tell_changes(form, size)
        filters = Filters(picture, color._replace(space=BT2020) if is_hdr else color)
        if has_fields:
            self._tell("%s is interlaced: it is deinterlaced")
            filters.deinterlace()
        if is_transparent:
            self._tell("%s can be transparent (%s): it is laid on white, in 8 bits a channel", form.pixel_format)
            filters.lay_on_white()
        if is_hdr:
            self._tell("%s is HDR (%s): it is tone-mapped to SDR, BT.709 in 8 bits a channel", HDR[form.color_transfer])
            filters.tone_map(tone_map(picture))
        filters.fit(self._media, self._color, *size)
        filters.finish()
        return filters

    def _size_within_first(self, form: Form) -> tuple[int, int]:
        """Return the (width, height) that pictures of a form fill in the first one, without being distorted."""
        assert self._first is not None
        media = self._media
        wider = (form.sample_aspect_ratio or 1) / Fraction(self._first.sample_aspect_ratio or 1)
        scale = min(media.width / (form.width * wider), Fraction(media.height, form.height))
        width, height = float(form.width * wider * scale), float(form.height * scale)
        if min(width / media.width, height / media.height) > _CLOSE:
            return media.width, media.height
        return _even(width, media.width), _even(height, media.height)

    def _differs(self, form: Form, size: tuple[int, int], color: Color) -> bool:
        """Return True if pictures of a form do not look like the media say, if they are passed on as they are."""
        media = self._media
        has_size = (form.width, form.height) == size == (media.width, media.height)
        has_colors = (color.swscale_space, color.full_range) == (self._color.swscale_space, self._color.full_range)
        return not (has_size and has_colors and form.pixel_format == media.pixel_format)

    def _tell_changes(self, form: Form, size: tuple[int, int]) -> None:
        assert self._first is not None
        if not (form.width, form.height) == size == (self._media.width, self._media.height):
            borders = "" if size == (self._media.width, self._media.height) else ", with black borders"
            self._tell(
                "%s changes from %dx%d to %dx%d: scaled to the first size%s",
                *(*self._first.shown_size, *form.shown_size, borders),
            )
        if form.coding != self._first.coding:
            self._tell("%s changes its pixel format or colour space: converted to those of the first picture")

    def _tell(self, note: str, *facts: object) -> None:
        if note not in self._told:
            self._told.add(note)
            log.warning(note, self._name, *facts)


def _even(length: float, longest: int) -> int:
    """Round a side to whole pixels of the chroma, up to a limit."""
    return min(max(round(length / 2) * 2, 2), longest)


def _can_be_transparent(pixel_format: av.VideoFormat) -> bool:
    return pixel_format.has_palette or any(component.is_alpha for component in pixel_format.components)


def _opaque(pixel_format: av.VideoFormat) -> str:
    """Return the 8-bit format that is the most similar to a transparent one."""
    return "rgb24" if pixel_format.is_rgb or pixel_format.has_palette else planar_format(pixel_format)
