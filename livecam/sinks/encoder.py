"""The choice of the video encoder, its options and its pixel format."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.codec.context import Flags
from av.container import OutputContainer

from livecam.errors import OutputError
from livecam.picture.media import Media
from livecam.picture.planes import padded_size, planar_format
from livecam.picture.projection import project
from livecam.sinks.refusal import refusal
from livecam.system import cores

# For each wanted pixel format, those that livecam can draw on, the most similar first.
_NEAREST = {
    "yuv420p": ("yuv420p", "yuv422p", "yuv444p"),
    "yuv422p": ("yuv422p", "yuv444p", "yuv420p"),
    "yuv444p": ("yuv444p", "yuv422p", "yuv420p"),
}
_DEFAULTS = {
    "libx264": {"preset": "veryfast", "crf": "23"},
    "libx265": {"preset": "veryfast", "crf": "28", "x265-params": "log-level=error"},
    "libvpx-vp9": {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "5", "row-mt": "1"},
}
_SUBSAMPLING = {"yuv420p": "4:2:0", "yuv422p": "4:2:2", "yuv444p": "4:4:4"}
_PLAYED_AS_420 = ("h264", "hevc")
"""The codecs whose 4:2:2 and 4:4:4 are of profiles that most players lack."""
_FINEST_OF_MPEG4, _COARSEST = 65535, 20000
"""The range of units of time, in parts of a second, among which one is chosen for MPEG-4 Part 2."""


@dataclass(frozen=True)
class EncoderOptions:
    """The user's options for the video encoder; None for the default of livecam or of the encoder.

    Attributes:
        codec: FFmpeg's name of the encoder. By default libx264, and libvpx-vp9 for .webm.
        preset: The encoder's name of a speed. By default veryfast for libx264 and libx265.
        crf: Its quality, lower is better. By default 23 for libx264, 28 for libx265, 32 for libvpx-vp9.
    """

    codec: str | None = None
    preset: str | None = None
    crf: float | None = None


def add_encoder(
    container: OutputContainer, media: Media, options: EncoderOptions, default_codec: str
) -> av.VideoStream:
    """Add a video stream with an open encoder, whose pixel format is similar to that of the media.

    Raises OutputError.
    """
    name = options.codec or default_codec
    codec = _find_codec(name)
    formats = {video_format.name for video_format in codec.video_formats or ()}
    wanted_formats = _NEAREST[_wanted_format(codec, av.VideoFormat(media.pixel_format))]
    pixel_format = next((candidate for candidate in wanted_formats if candidate in formats), None)
    if pixel_format is None:
        raise OutputError(
            f"{name} takes none of the formats that livecam draws on; choose another --codec, such as libx264"
        )
    try:
        stream = cast(av.VideoStream, container.add_stream(name))
    except ValueError as exc:
        raise OutputError(
            f"{container.format.name} files cannot hold {name}; choose another --codec or ending"
        ) from exc
    if media.projection:
        project(stream, media.projection)
    context = stream.codec_context
    if codec.canonical_name == "hevc" and container.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # what Apple's players want; FFmpeg's default is hev1
    context.framerate = media.rate or Fraction(25)
    context.width, context.height = padded_size(media.width, media.height, pixel_format)
    context.pix_fmt = pixel_format
    context.time_base = stream.time_base = _time_base(codec, media)
    context.sample_aspect_ratio = media.sample_aspect_ratio or Fraction(0)
    context.color_range, context.colorspace = media.color_range, media.color_space
    context.color_primaries, context.color_trc = media.color_primaries, media.color_transfer
    context.flags |= Flags.frame_duration
    # PyAV's default, slices, costs x264 speed and size; frames in parallel only cost delay, which a file does not feel.
    context.thread_type, context.thread_count = "FRAME", cores.ENCODER
    context.options = _options(codec, context, options)
    if pixel_format == planar_format(av.VideoFormat(media.pixel_format)):
        context.options["chroma_sample_location"] = str(media.chroma_location)
    asked_options = dict(context.options)
    try:
        context.open()
    except av.FFmpegError as exc:
        asked = " ".join(f"--{key} {value:g}" if key == "crf" else f"--{key} {value}" for key, value in _asked(options))
        raise OutputError(
            f"{name} does not take {context.width}x{context.height} {pixel_format} {asked}".rstrip()
            + f" ({refusal(context, asked_options) or exc.strerror}); choose another --codec, --preset or --crf"
        ) from exc
    return stream


def notes_on(stream: av.VideoStream, media: Media) -> list[str]:
    """Return what users should know of the pictures that an encoder writes."""
    source, written, notes = av.VideoFormat(media.pixel_format), str(stream.codec_context.pix_fmt), []
    if source.components[0].bits > 8:
        notes.append(f"the output has 8 bits a channel, the input {source.name} has more")
    if planar_format(source) != written:
        notes.append(
            f"the output is {_SUBSAMPLING[written]}: colours have less resolution than in the input {source.name}"
        )
    elif written != "yuv420p" and stream.codec_context.codec.canonical_name in _PLAYED_AS_420:
        notes.append(
            f"the output is {_SUBSAMPLING[written]} like the input, which browsers, phones and other players refuse; "
            "for them convert the input to 4:2:0 first"
        )
    return notes


def _wanted_format(codec: av.Codec, source: av.VideoFormat) -> str:
    """Return the format to draw on if the encoder takes it; RGB becomes what players take where few take 4:4:4."""
    return "yuv420p" if source.is_rgb and codec.canonical_name in _PLAYED_AS_420 else planar_format(source)


def _time_base(codec: av.Codec, media: Media) -> Fraction:
    """Return the unit of the source's times, or a coarser one if the codec has no such fine one."""
    denominator = media.time_base.denominator
    if codec.canonical_name != "mpeg4" or denominator <= _FINEST_OF_MPEG4:
        return media.time_base
    divisors = (each for each in range(_FINEST_OF_MPEG4, _COARSEST, -1) if denominator % each == 0)
    return Fraction(1, next(divisors, _FINEST_OF_MPEG4))


def _asked(options: EncoderOptions) -> list[tuple[str, str | float]]:
    return [(key, value) for key, value in (("preset", options.preset), ("crf", options.crf)) if value is not None]


def _find_codec(name: str) -> av.Codec:
    try:
        codec = av.Codec(name, "w")
    except ValueError as exc:  # PyAV's UnknownCodecError
        raise OutputError(
            f"the encoder {name!r} is not available here; libx264 and libx265 usually are, and libvpx-vp9 for .webm"
        ) from exc
    if codec.type != "video":
        raise OutputError(f"{name} is not a video encoder; choose one such as libx264")
    return codec


def _options(codec: av.Codec, context: av.VideoCodecContext, asked: EncoderOptions) -> dict[str, str]:
    known = {option.name for option in context.supported_options.private}
    options = dict(_DEFAULTS.get(codec.name, {}))
    for key, value in _asked(asked):
        if key not in known:
            raise OutputError(f"{codec.name} has no --{key}; leave it out or choose another --codec")
        options[key] = str(value)
    return options
