"""Remuxing, with metadata: from a fragmented MP4, which survives a crash, to a plain one, which always plays."""

from __future__ import annotations

import math
import os
from collections.abc import Container, Mapping
from fractions import Fraction
from pathlib import Path

import av
from av.stream import Disposition

from livecam.picture.media import Media

# Tags that the muxer writes itself, or that describe the bytes of the input.
_NOT_KEPT = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
_NOT_KEPT_PREFIXES = ("_statistics", "bps", "number_of")


def kept_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that still apply to the copy."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _NOT_KEPT and not key.lower().startswith(_NOT_KEPT_PREFIXES)
    }


def describe_stream(stream: av.stream.Stream, metadata: Mapping[str, str], disposition: int) -> None:
    """Give a new stream the tags and the disposition of the one that it is a copy of."""
    stream.metadata.update(kept_metadata(metadata))
    stream.disposition = Disposition(disposition)


def edit_list_options(media: Media) -> dict[str, str]:
    """Return muxer options that keep a first timestamp after 0 exact; by default MP4 rounds it to milliseconds."""
    denominator = media.time_base.denominator
    return {"movie_timescale": str(denominator * math.ceil(90000 / denominator))}


def remux(source: Path, target: Path, container_format: str, media: Media, left_out: Container[int]) -> None:
    """Copy all packets of a fragmented MP4 into a plain one, its index in front, as players on the web want it.

    The streams whose indices are in `left_out` are not copied.
    """
    options = {"movflags": "faststart", **edit_list_options(media)}
    with (
        av.open(str(source.absolute())) as fragmented,
        av.open(str(target.absolute()), "w", format=container_format, container_options=options) as plain,
    ):
        plain.metadata.update(kept_metadata(fragmented.metadata))
        plain.set_chapters(media.chapters)
        streams = {}
        for stream in fragmented.streams:
            if stream.type == "data" or stream.index in left_out:
                continue  # the muxer makes a time code track, the only one of data, again from the metadata
            copy = streams[stream.index] = plain.add_stream_from_template(stream, opaque=True)
            describe_stream(copy, stream.metadata, int(stream.disposition))
            if isinstance(copy, av.VideoStream):
                # Missing in the template; the muxer needs it for the rate of a time code track.
                copy.codec_context.framerate = media.rate or Fraction(0)
        for packet in fragmented.demux(*(fragmented.streams[index] for index in streams)):
            if packet.size:
                packet.stream = streams[packet.stream_index]
                plain.mux(packet)


def sync_to_disk(path: Path) -> None:
    """Flush a file from the system's cache to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
