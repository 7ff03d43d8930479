"""The choice of the video encoder, its options and its pixel format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import cast

import av
from av.codec.context import Flags
from av.container import OutputContainer

from livecam.errors import EncoderError, OutputError
from livecam.picture.media import Media
from livecam.picture.planes import padded_size, planar_format
from livecam.picture.projection import project
from livecam.sinks.refusal import refusal
from livecam.sinks.remux import MP4_FORMATS
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
_COARSEST_CRF = {"libx264": 51.0, "libx264rgb": 51.0, "libx265": 51.0}
"""The largest CRF of the encoders that do not tell FFmpeg theirs, at 8 bits a channel."""
_SPEEDS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_PRESETS = dict.fromkeys(("libx264", "libx264rgb", "libx265"), _SPEEDS)
"""The presets of the encoders that do not tell FFmpeg theirs. They also take their numbers."""
_SUBSAMPLING = {"yuv420p": "4:2:0", "yuv422p": "4:2:2", "yuv444p": "4:4:4"}
_PLAYED_AS_420 = ("h264", "hevc")
"""The codecs whose 4:2:2 and 4:4:4 are of profiles that most players lack."""
_MOST_USUAL_LEVEL = 52
_PLACE_OF_LEVEL = 7
"""The place of the level in what an encoder of H.264 writes in front: a start code, a kind, the profile, its limits."""
_LONGEST_GROUP_SECONDS = 10
"""The longest time between key frames of a stream, whose sender asks for more of them."""
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


@cache  # of thousands of videos all ask the same
def check_encoder(options: EncoderOptions, default_codec: str) -> None:
    """Check that an encoder exists, has the options and takes the CRF and the preset. Raises EncoderError."""
    codec = _find_codec(options.codec or default_codec).name
    known = {option.name: option for option in av.CodecContext.create(codec, "w").supported_options.private}
    for key, _ in _asked(options):
        if key not in known:
            raise EncoderError(f"{codec} has no --{key}; leave it out or choose another --codec")
    preset, presets = options.preset, _PRESETS.get(codec)
    if preset is not None and presets and preset not in presets and not preset.isdecimal():  # x264 prints it itself
        raise EncoderError(f"{codec} has no --preset {preset}; it has {', '.join(presets)}")
    if options.crf is not None:
        finest, coarsest = max(known["crf"].min, 0), _COARSEST_CRF.get(codec, known["crf"].max)
        if not finest <= options.crf <= coarsest:  # NaN is not
            raise EncoderError(f"{codec} does not take --crf {options.crf:g}; it takes {finest:g} to {coarsest:g}")


def add_encoder(
    container: OutputContainer,
    media: Media,
    options: EncoderOptions,
    default_codec: str,
    *,
    at_once: Mapping[str, str] | None = None,
) -> av.VideoStream:
    """Add a video stream with an open encoder, whose pixel format is similar to that of the media.

    With `at_once` each picture is encoded without waiting for others; it holds the options for that, by their names, of
    which the encoder gets those that it knows. Raises OutputError.
    """
    check_encoder(options, default_codec)
    codec = _find_codec(options.codec or default_codec)
    pixel_format = _pixel_format(codec, av.VideoFormat(media.pixel_format))
    try:
        stream = cast(av.VideoStream, container.add_stream(codec.name))
    except ValueError as exc:
        raise OutputError(
            f"{container.format.name} files cannot hold {codec.name}; choose another --codec or ending"
        ) from exc
    context = stream.codec_context
    if media.projection:
        project(stream, media.projection)
    if codec.canonical_name == "hevc" and container.format.name in MP4_FORMATS:
        context.codec_tag = "hvc1"  # what Apple's players want; FFmpeg's default is hev1
    _describe(context, media, pixel_format)
    context.time_base = stream.time_base = _time_base(codec, media)
    # PyAV's default, slices, costs x264 speed and size; frames in parallel only cost delay, which a file does not feel.
    context.thread_type, context.thread_count = "FRAME", cores.ENCODER
    context.options = _options(codec, context, options, media)
    if at_once is not None:
        _hurry(context, at_once)
    _open(context, options)
    return stream


def notes_on(stream: av.VideoStream, media: Media) -> list[str]:
    """Return what users should know of the pictures that an encoder writes."""
    source, written, notes = av.VideoFormat(media.pixel_format), str(stream.codec_context.pix_fmt), []
    if media.projection and stream.container.format.name == "mov":
        notes.append(
            "a .mov tells of 360 degrees only Apple's players, and not of cubes and stereo 3D; .mp4 and .mkv do"
        )
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
    if (level := _h264_level(stream.codec_context)) > _MOST_USUAL_LEVEL:
        notes.append(
            f"the output has H.264 level {level / 10}, because of its size and rate, which most players refuse; "
            "--codec libx265 suits such videos"
        )
    return notes


def _h264_level(context: av.VideoCodecContext) -> int:
    """Return ten times the level that an encoder of H.264 wrote into its parameters; 0 for other codecs."""
    parameters = context.extradata if context.codec.canonical_name == "h264" else None
    return parameters[_PLACE_OF_LEVEL] if parameters else 0


def _pixel_format(codec: av.Codec, source: av.VideoFormat) -> str:
    """Return the format to draw on: the most similar to the source's, but RGB becomes what most players take."""
    is_for_players = source.is_rgb and codec.canonical_name in _PLAYED_AS_420
    wanted = "yuv420p" if is_for_players else planar_format(source)
    taken = {video_format.name for video_format in codec.video_formats or ()}
    for candidate in _NEAREST[wanted]:
        if candidate in taken:
            return candidate
    raise OutputError(
        f"{codec.name} takes none of the formats that livecam draws on; choose another --codec, such as libx264"
    )


def _hurry(context: av.VideoCodecContext, options: Mapping[str, str]) -> None:
    """Make an encoder return each picture at once."""
    context.thread_type = "SLICE"
    context.max_b_frames = 0
    context.gop_size = int(_LONGEST_GROUP_SECONDS * context.framerate)
    known = {option.name for option in context.supported_options.private}
    context.options |= {key: value for key, value in options.items() if key in known}


def _describe(context: av.VideoCodecContext, media: Media, pixel_format: str) -> None:
    """Tell an encoder of the pictures that it will get."""
    context.framerate = media.rate or Fraction(25)
    context.width, context.height = padded_size(media.width, media.height, pixel_format)
    context.pix_fmt = pixel_format
    context.sample_aspect_ratio = media.sample_aspect_ratio or Fraction(0)
    context.color_range, context.colorspace = media.color_range, media.color_space
    context.color_primaries, context.color_trc = media.color_primaries, media.color_transfer
    context.flags |= Flags.frame_duration


def _time_base(codec: av.Codec, media: Media) -> Fraction:
    """Return the unit of the source's times, or a coarser one if the codec has no such fine one."""
    denominator = media.time_base.denominator
    if codec.canonical_name != "mpeg4" or denominator <= _FINEST_OF_MPEG4:
        return media.time_base
    divisors = (each for each in range(_FINEST_OF_MPEG4, _COARSEST, -1) if denominator % each == 0)
    return Fraction(1, next(divisors, _FINEST_OF_MPEG4))


def _open(context: av.VideoCodecContext, asked: EncoderOptions) -> None:
    codec, options = context.codec.name, dict(context.options)  # opening removes those that are known, or the codec
    os.environ.setdefault("SVT_LOG", "1")  # libsvtav1 then prints only errors
    try:
        context.open()
    except av.FFmpegError as exc:
        words = [f"--{key} {value:g}" if key == "crf" else f"--{key} {value}" for key, value in _asked(asked)]
        what = " ".join([f"{context.width}x{context.height}", str(context.pix_fmt), *words])
        raise OutputError(
            f"{codec} does not take {what} ({refusal(codec, context, options) or exc.strerror}); "
            "choose another --codec, --preset or --crf"
        ) from exc
    finally:
        cores.leave_real_time()


def _asked(options: EncoderOptions) -> list[tuple[str, str | float]]:
    return [(key, value) for key, value in (("preset", options.preset), ("crf", options.crf)) if value is not None]


def _find_codec(name: str) -> av.Codec:
    try:
        codec = av.Codec(name, "w")
    except ValueError as exc:  # PyAV's UnknownCodecError
        raise EncoderError(
            f"the encoder {name!r} is not available here; libx264 and libx265 usually are, and libvpx-vp9 for .webm"
        ) from exc
    if codec.type != "video":
        raise EncoderError(f"{name} is not a video encoder; choose one such as libx264")
    return codec


def _options(codec: av.Codec, context: av.VideoCodecContext, asked: EncoderOptions, media: Media) -> dict[str, str]:
    options = _DEFAULTS.get(codec.name, {}) | {key: str(value) for key, value in _asked(asked)}
    if codec.name == "libx265" and media.expected_frames in (1, 2):
        options["x265-params"] += ":bframes=0"  # with them, x265 gives so few pictures random times of decoding
    if context.pix_fmt == planar_format(av.VideoFormat(media.pixel_format)):
        options["chroma_sample_location"] = str(media.chroma_location)
    return options
