"""Remuxing, with metadata: from a fragmented MP4, which survives a crash, to a plain one, which always plays."""

from __future__ import annotations

import math
import os
from collections.abc import Container, Iterable, Mapping
from itertools import chain
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Disposition

from livecam.picture.media import Media

# Tags that the muxer writes itself, or that describe the bytes of the input.
_NOT_KEPT = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "alpha_mode")
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


MP4_FORMATS = ("mp4", "mov")
"""FFmpeg's names of the muxers of MP4 and MOV."""


def mp4_options(media: Media, flags: str) -> dict[str, str]:
    """Return the options of the muxer of MP4 and MOV for a video, with movflags.

    They keep a first timestamp after 0 exact, which it would round to milliseconds, 360 degrees and stereo 3D, and the
    tags of phones, such as com.android.version. Those have names of their own and need another form of tags, which
    fewer programs read, so others are written in the usual form.
    """
    denominator = media.time_base.denominator
    has_named_tags = any("." in key for key in media.metadata)
    return {
        "movflags": flags + "+use_metadata_tags" * has_named_tags,
        "movie_timescale": str(denominator * math.ceil(90000 / denominator)),
        "strict": "unofficial",
    }


def remux(
    container: OutputContainer,
    target: Path,
    media: Media,
    left_out: Container[int],
    texts: Mapping[av.stream.Stream, Iterable[av.Packet]],
) -> None:
    """Close a fragmented MP4, and copy its packets into a plain one, its index in front, as players on the web want it.

    The video is described as in `container`, since not all that an MP4 says is read back from it.

    Args:
        container: The fragmented MP4, to which everything has been written.
        target: The plain one.
        media: The facts of the input.
        left_out: The indices of the streams that are not copied.
        texts: Streams that are added, with the packets of each.
    """
    options, source, template = mp4_options(media, "faststart"), container.name, container.streams.video[0]
    with av.open(str(target.absolute()), "w", format=container.format.name, container_options=options) as plain:
        video = plain.add_stream_from_template(template, opaque=True)  # while there is one: until its container closes
        video.codec_context.codec_tag = template.codec_context.codec_tag  # no part of the template
        container.close()
        with av.open(source) as fragmented:
            plain.metadata.update(kept_metadata(fragmented.metadata))
            plain.set_chapters(media.chapters)
            # The muxer makes a time code track, the only one of data, again from the metadata.
            copied = [each for each in fragmented.streams if each.type != "data" and each.index not in left_out]
            copies = {stream: _copy_of(stream, plain, video) for stream in chain(copied, texts)}
            for packet in chain(*texts.values(), fragmented.demux(copied)):
                if packet.size:
                    packet.stream = copies[packet.stream]
                    plain.mux(packet)


def _copy_of(stream: av.stream.Stream, plain: OutputContainer, video: av.VideoStream) -> av.stream.Stream:
    """Return the stream of a container that takes the packets of another: `video` for pictures, else a new one."""
    if isinstance(stream, av.VideoStream):
        video.codec_context.extradata = stream.codec_context.extradata  # in the form of the file's packets
        copy: av.stream.Stream = video
    else:
        copy = plain.add_stream_from_template(stream, opaque=True)
    describe_stream(copy, stream.metadata, int(stream.disposition))
    return copy


def sync_to_disk(path: Path) -> None:
    """Flush a file from the system's cache to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
