"""Where a stream goes: what names it, with which muxer of FFmpeg it is sent, and what of its name may be shown."""

from __future__ import annotations

import re
import stat
import struct
import types
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from livecam.errors import OutputError
from livecam.names import PICTURE_ENDINGS, VIDEO_ENDINGS
from livecam.sinks.certificate import check_can_certify
from livecam.system.machine import has_protocol
from livecam.text import redacted, with_urls_redacted

try:
    import fcntl as _fcntl
except ImportError:  # Windows, which has no Video4Linux
    fcntl: types.ModuleType | None = None
else:
    fcntl = _fcntl

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "tcp", "http", "https")
"""The protocols of the URLs that streams are sent to."""
DEVICE = "v4l2:"
"""What the name of a virtual camera begins with, before its path."""
PLAYLIST = ".m3u8"
_SEGMENT_SECONDS = 2
_LIVE_SEGMENTS = 10
_KEPT = "***"
_TS_IN_UDP = 7 * 188
"""The bytes of a datagram that holds whole packets of MPEG-TS."""
_SEND_BUFFER = 1 << 18
"""The bytes that TCP may hold back: the system's own choice is seconds of video, by which a slow receiver lags."""
_BASELINE = {"profile": "baseline"}
"""The options of libx264 for what all browsers must be able to decode."""
_QUERYCAP, _CAPABILITIES, _DEVICE_CAPABILITIES = 0x80685600, 84, 88
_VIDEO_OUTPUT, _HAS_DEVICE_CAPABILITIES = 0x2, 0x80000000


@dataclass(frozen=True)
class Destination:
    """Where a stream goes.

    Attributes:
        url: The URL or path that FFmpeg opens.
        name: What it is called in messages, without credentials.
        format: FFmpeg's name of the muxer.
        options: The options of the muxer.
        codec: FFmpeg's name of the encoder, unless the user names one.
        codec_options: The options of that encoder.
        secrets: Parts of the URL that may not be shown, wherever they are.
    """

    url: str
    name: str
    format: str
    options: dict[str, str] = field(default_factory=dict)
    codec: str = "libx264"
    codec_options: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @property
    def is_raw(self) -> bool:
        """True for a virtual camera, which gets pictures that are not encoded."""
        return self.codec == "rawvideo"

    @property
    def advice(self) -> str:
        """What to do if nothing can be sent there."""
        return "start the receiver first, and check the address" if "://" in self.url else "name another output"

    @property
    def is_uploaded(self) -> bool:
        """True for a playlist and its segments that a web server gets as files."""
        return self.format == "hls" and "://" in self.url

    @property
    def is_on_disk(self) -> bool:
        """True for a playlist and its segments on this machine, which need not be written at the speed of the video."""
        return self.format == "hls" and "://" not in self.url

    def without_secrets(self, text: str) -> str:
        """Return a text of FFmpeg without what may not be shown."""
        for secret in (self.url, *self.secrets):
            text = text.replace(secret, self.name if secret is self.url else _KEPT)
        return with_urls_redacted(text)


def scheme_of(output: str) -> str:
    """Return the scheme of a URL in small letters; empty for a file."""
    return output.partition("://")[0].lower() if "://" in output else ""


def is_stream(output: str) -> bool:
    """Return True if an output is a stream: a URL, a playlist or a virtual camera."""
    scheme = scheme_of(output)
    if scheme in ("http", "https"):
        return not urlsplit(output).path.lower().endswith((*VIDEO_ENDINGS, *PICTURE_ENDINGS))
    return scheme in SCHEMES or output.startswith(DEVICE) or (not scheme and output.lower().endswith(PLAYLIST))


def destination_of(output: str, *, keeps_all: bool) -> Destination:
    """Return where a stream with this name goes. With `keeps_all`, a playlist keeps its segments; else the last 20 s.

    Raises OutputError.
    """
    if output.startswith(DEVICE):
        return Destination(output.removeprefix(DEVICE), output, "v4l2", codec="rawvideo")
    scheme, name = scheme_of(output), redacted(output)
    path = urlsplit(output).path if scheme else output
    if path.lower().endswith(PLAYLIST):
        put = {"method": "PUT"} if scheme else {}
        return Destination(output if scheme else str(Path(output).absolute()), name, "hls", _hls(keeps_all) | put)
    match scheme:
        case "rtsp" | "rtsps":
            return Destination(output, name, "rtsp", {"rtsp_transport": "tcp"})
        case "rtmp" | "rtmps":  # the last part of the path is the key of the stream
            folder, _, key = path.rpartition("/")
            secrets = (key,) if len(key) > 2 else ()
            options = {"flvflags": "no_duration_filesize"}
            return Destination(output, f"{_host(output)}{folder}/{_KEPT}", "flv", options, secrets=secrets)
        case "http" | "https":  # WHIP, where the whole path may be a secret
            secrets = (path,) if len(path) > 2 else ()
            name = f"{_host(output)}/{_KEPT}"
            return Destination(output, name, "whip", codec_options=_BASELINE, secrets=secrets)
        case "udp":
            return Destination(_with_option(output, f"pkt_size={_TS_IN_UDP}"), name, "mpegts", _PROMPT)
        case "tcp":
            url = _with_option(_with_option(output, f"send_buffer_size={_SEND_BUFFER}"), "tcp_nodelay=1")
            return Destination(url, name, "mpegts", _PROMPT)
    return Destination(output, name, "mpegts", _PROMPT)


_PROMPT = {"flush_packets": "1"}


def _hls(keeps_all: bool) -> dict[str, str]:
    # Numbers of segments that begin with the time go on after a connection was lost, as players expect.
    old = {"hls_list_size": "0"} if keeps_all else {"hls_list_size": str(_LIVE_SEGMENTS)}
    flags = "independent_segments" + ("" if keeps_all else "+delete_segments")
    return {"hls_time": str(_SEGMENT_SECONDS), "hls_flags": flags, "hls_start_number_source": "epoch", **old}


def _host(url: str) -> str:
    """Return scheme and host of a URL, without user and password."""
    scheme, _, rest = redacted(url).partition("://")
    return f"{scheme}://{re.split('[/?#]', rest)[0]}"


def _with_option(url: str, option: str) -> str:
    """Add an option of FFmpeg to a URL, unless the user has given it another value."""
    key = option.partition("=")[0]
    return url if re.search(rf"[?&]{key}=", url) else f"{url}{'&' if '?' in url else '?'}{option}"


def check_device(output: str) -> None:
    """Check that a virtual camera takes pictures, by its name as an output. Raises OutputError."""
    _check_path(output.removeprefix(DEVICE))


def check_url(output: str) -> None:
    """Check what can be known of a URL before it is connected to. Raises OutputError."""
    scheme = scheme_of(output)
    if not has_protocol(scheme):
        raise OutputError(
            f"this build of FFmpeg has no {scheme.upper()}, so {redacted(output)} cannot be sent to; "
            "livecam doctor lists the protocols that it has"
        )
    try:
        has_host = bool(urlsplit(output).hostname) and urlsplit(output).port != 0
    except ValueError:  # a port that cannot be
        has_host = False
    if not has_host:
        raise OutputError(
            f"{redacted(output)} is no URL to send to; name one such as rtsp://host/path or tcp://host:9000"
        )
    if destination_of(output, keeps_all=True).format == "whip":
        check_can_certify()


def _check_path(path: str) -> None:
    """Check that a device takes pictures. Raises OutputError."""
    advice = "sudo modprobe v4l2loopback video_nr=9 makes /dev/video9, which you name as v4l2:/dev/video9"
    if fcntl is None:
        raise OutputError("virtual cameras need Video4Linux, which only Linux has; send to a URL instead")
    try:
        with open(path, "r+b", buffering=0) as device:  # noqa: PTH123 - as FFmpeg does
            if not stat.S_ISCHR(Path(path).stat().st_mode):
                raise OutputError(f"{path} is no device; {advice}")
            answer = bytearray(104)
            fcntl.ioctl(device, _QUERYCAP, answer)
    except PermissionError as exc:
        raise OutputError(f"no permission to open {path}; sudo usermod -aG video $USER, then log in again") from exc
    except OSError as exc:
        raise OutputError(f"{path} is no virtual camera ({exc.strerror}); {advice}") from exc
    (capabilities,) = struct.unpack_from("I", answer, _CAPABILITIES)
    if capabilities & _HAS_DEVICE_CAPABILITIES:
        (capabilities,) = struct.unpack_from("I", answer, _DEVICE_CAPABILITIES)
    if not capabilities & _VIDEO_OUTPUT:
        raise OutputError(f"{path} is a camera, which takes no pictures; {advice}")


def numbered(output: str, number: int) -> str:
    """Return the name of one of several streams: rtsp://host/live becomes rtsp://host/live-1. Raises OutputError."""
    scheme = scheme_of(output)
    parts = urlsplit(output)
    path = parts.path if scheme else output
    if output.startswith(DEVICE) or (scheme and not path.strip("/")):
        raise OutputError(
            f"{redacted(output)} takes one source; name one, or record several to files or rtsp://host/path"
        )
    stem, dot, ending = path.rpartition(".") if path.lower().endswith(PLAYLIST) else (path, "", "")
    named = f"{stem}-{number}{dot}{ending}"
    return parts._replace(path=named).geturl() if scheme else named
