"""The place where FFmpeg is asked to open a file or a URL for reading, and where its video stream is chosen."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition

from livecam.errors import InputError
from livecam.names import READ_PICTURE_ENDINGS
from livecam.sources.certificates import tls_options
from livecam.sources.inputs import is_url
from livecam.sources.protocols import CHECK_ADDRESS, problem_and_advice, problem_of, without_credentials
from livecam.system.files import check_file
from livecam.text import redacted

OPEN_SECONDS = READ_SECONDS = 10.0
"""How long a recording is waited for, and its next data."""
USUAL_MEGAPIXELS = 70.0
"""The largest pictures of a video that are read unless more is asked for: 8192x8192, as of cameras for 360 degrees."""
# UDP loses packets as soon as a key frame is larger than a buffer on the way, so it is the second choice.
_ALWAYS = {"rtsp_flags": "prefer_tcp"}
TOLERANT_OF_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Tags that are not UTF-8 are no reason to refuse a file. From PyAV 19 on they are always taken, byte for byte."""
_NETWORK = (
    *("http", "https", "httpproxy", "ftp", "mmsh", "mmst", "tcp", "tls", "udp", "udplite", "dtls", "rtp", "srtp"),
    *("rtsp", "rtsps", "rtmp", "rtmps", "rtmpt", "rtmpts", "rtmpe", "rtmpte", "ffrtmphttp", "ffrtmpcrypt"),
    *("srt", "rist", "sctp", "sftp", "smb", "prompeg"),
)
"""The protocols of addresses that can be opened."""
_INSIDE = ("crypto", "data")
"""The protocols by which a playlist names encrypted parts and the keys to them."""
_REFERRING = frozenset({"concat", "hls", "dash", "imf", "sdp", "rtsp", "rtp", "sap", "image2", "lavfi"})
"""The formats that consist of references to other files and addresses."""
_FORMATS_BY_ENDING = {".m3u8": "hls", ".m3u": "hls", ".ffconcat": "concat", ".sdp": "sdp"}
_PROTOCOLS_BY_FORMAT = {
    "hls": ("file", *_INSIDE, "http", "https", "httpproxy", "tcp", "tls"),
    "concat": ("file",),
    "sdp": ("file", "rtp", "srtp", "udp", "tcp"),
}


def open_container(
    uri: str,
    *,
    open_seconds: float,
    read_seconds: float,
    options: Mapping[str, str] | None = None,
    insecure: bool = False,
) -> InputContainer:
    """Open a file or a URL.

    What an input may refer to is decided by its name: a file to no others, unless it has the ending of a playlist
    (.m3u8, .m3u, .ffconcat) or of a session description (.sdp); an address only to others on a network.

    Args:
        uri: The file or URL.
        open_seconds: How long to wait for the first data.
        read_seconds: How long to wait for the next data, whenever it is read later.
        options: FFmpeg's options, in addition to those that every input gets.
        insecure: Do not check the certificate of a server.

    Raises:
        InputError: It is neither a file nor an address on a network.
        av.FFmpegError: It cannot be opened; av.ExitError if no data comes in time.
    """
    try:
        return av.open(
            # Absolute, or FFmpeg would take the text before a colon in a file name for a protocol.
            uri if is_url(uri) else str(Path(uri).absolute()),
            options={**_ALWAYS, **_allowed(uri), **tls_options(insecure=insecure), **(options or {})},
            **TOLERANT_OF_TAGS,
            timeout=(open_seconds, read_seconds),
        )
    except av.ArgumentError as exc:
        if is_url(uri) and uri.split(":")[0].lower() not in _NETWORK:
            raise InputError(
                f"{redacted(uri)} is neither a file nor an address on a network; name one of these"
            ) from exc
        raise


def open_recording(
    uri: str, name: str, *, insecure: bool = False, options: Mapping[str, str] | None = None
) -> InputContainer:
    """Open a video to be read to its end; `name` is what it is called in messages, `options` are FFmpeg's.

    Raises InputError.
    """
    if not is_url(uri):
        check_file(Path(uri))
    asked_seconds = time.monotonic()
    try:
        container = open_container(
            uri, open_seconds=OPEN_SECONDS, read_seconds=READ_SECONDS, insecure=insecure, options=options
        )
    except av.FFmpegError as exc:
        if time.monotonic() - asked_seconds >= OPEN_SECONDS:  # RTSP calls it invalid data
            problem = f"no answer for {OPEN_SECONDS:g} s"
            raise InputError(f"cannot open {name}: {problem}; {CHECK_ADDRESS}") from without_credentials(exc)
        raise _cannot_open(uri, name, exc) from without_credentials(exc)
    if is_picture(container):
        container.close()
        raise InputError(f"{name} is a picture, not a video; {_advice_on_picture(uri, container.format.name)}")
    if container.format.name == "sdp" and not any(s.codec_context and s.width for s in container.streams.video):
        container.close()
        raise InputError(
            f"no picture of {name} arrives within {OPEN_SECONDS:g} s; check that it is sent to this machine"
        )
    return container


def _cannot_open(uri: str, name: str, error: av.FFmpegError) -> InputError:
    if is_url(uri):
        problem, advice = problem_and_advice(error)
        return InputError(f"cannot open {name}: {problem}; {advice}")
    if Path(uri).suffix.lower() in _FORMATS_BY_ENDING:
        return InputError(f"what {name} refers to cannot be read ({problem_of(error)}); check the names in it")
    if Path(uri).is_file() and _refers_to_others(Path(uri)):
        endings = ", ".join(_FORMATS_BY_ENDING)
        return InputError(f"{name} is no video, it refers to others; to have these read, end its name in {endings}")
    if isinstance(error, av.InvalidDataError):
        problem = "is not a video that can be read (damaged, cut short, or something else)"
        return InputError(f"{name} {problem}; convert or leave it out")
    return InputError(f"cannot open {name}: {problem_of(error)}")


def is_picture(container: InputContainer) -> bool:
    """Return True if a container is a picture file, such as a JPEG, rather than a video."""
    return container.format.name == "image2" or container.format.name.endswith("_pipe")


def _advice_on_picture(uri: str, format_name: str) -> str:
    ending = f".{format_name.removesuffix('_pipe')}"
    if is_url(uri):
        return "download it, and name the file"
    return f"end its name in {ending}" if ending in READ_PICTURE_ENDINGS else "convert it to PNG"


def _allowed(uri: str) -> dict[str, str]:
    """Return FFmpeg's options for the protocols and formats that an input may use."""
    if is_url(uri):
        return whitelists((*_NETWORK, *_INSIDE), _REFERRING - {"concat", "lavfi"})
    named = _FORMATS_BY_ENDING.get(Path(uri).suffix.lower())
    return whitelists(_PROTOCOLS_BY_FORMAT.get(named or "", ("file",)), frozenset({named} if named else ()))


@functools.cache
def whitelists(protocols: tuple[str, ...], referring: frozenset[str]) -> dict[str, str]:
    """Return FFmpeg's options that permit these protocols, and of the formats that refer to others only these."""
    formats = (av.formats_available - _REFERRING) | referring
    return {"protocol_whitelist": ",".join(protocols), "format_whitelist": ",".join(sorted(formats))}


def _refers_to_others(path: Path) -> bool:
    """Return True for the text of a playlist or a session description."""
    with path.open("rb") as file:
        return re.match(rb"\s*(#EXTM3U|ffconcat version|v=0\s|<\?xml.*<MPD)", file.read(1000), re.DOTALL) is not None


def video_stream(
    container: InputContainer, name: str, number: int | None = None, max_megapixels: float = USUAL_MEGAPIXELS
) -> av.VideoStream:
    """Return a video stream: the one with this `number` in FFmpeg's count of all streams, or the one that players show.

    That is the first that is marked as the default, else the first. Cover pictures do not count. Pictures of more than
    `max_megapixels` are not decoded. Raises InputError.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = {kind_of_stream(stream) for stream in container.streams}
        raise InputError(f"{name} has no video stream (it holds {', '.join(sorted(kinds)) or 'nothing'}); name a video")
    if number is None:
        chosen = max(streams, key=lambda stream: bool(stream.disposition & Disposition.default))
    elif number in (numbers := [stream.index for stream in streams]):
        chosen = streams[numbers.index(number)]
    else:
        raise InputError(f"stream {number} of {name} is no video; choose from {', '.join(map(_facts, streams))}")
    if chosen.codec_context is None:
        raise InputError(f"{name} holds a video in a codec that cannot be decoded here; convert it first")
    check_size(name, chosen.width, chosen.height, max_megapixels)
    chosen.codec_context.options = {"max_pixels": str(round(max_megapixels * 1e6))}  # for pictures that grow later
    return chosen


def kind_of_stream(stream: av.stream.Stream) -> str:
    """Return the kind of a stream: video, audio, subtitle, data, attachment, or cover picture."""
    is_cover = stream.type == "video" and stream.disposition & Disposition.attached_pic
    return "cover picture" if is_cover else stream.type


def check_size(name: str, width: int, height: int, max_megapixels: float) -> None:
    """Check that pictures are not so large that they would exhaust the memory. Raises InputError."""
    if width * height > max_megapixels * 1e6:
        raise InputError(
            f"the pictures of {name} have {width}x{height} pixels, more than {max_megapixels:g} megapixels; "
            "if there is memory for that, allow more with --max-megapixels"
        )


def _facts(stream: av.VideoStream) -> str:
    """Return a stream's number, codec and size: 1 (h264, 1280x720)."""
    if stream.codec_context is None:
        return f"{stream.index} (unknown codec)"
    return f"{stream.index} ({stream.codec_context.name}, {stream.width}x{stream.height})"
