"""The protocols of URLs: which are common, and what the errors of FFmpeg mean."""

from __future__ import annotations

import av

from livecam.sources.certificates import HOW_TO_TRUST, distrust
from livecam.text import redacted, with_urls_redacted

PROTOCOLS = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "tcp", "udp", "rtp", "srt")
"""The protocols that streams commonly have."""
CHECK_ADDRESS = "check the address and that it is being sent"
"""The advice where an address gives no video."""


def problem_of(error: av.FFmpegError) -> str:
    """Return FFmpeg's short message of an error, without credentials."""
    if isinstance(error, av.error.ProtocolNotFoundError):
        return f"this build of FFmpeg has no {str(error.filename).partition(':')[0].upper()}"
    if _is_bare_rtp(error):
        return "RTP does not tell what it carries, a .sdp file does"
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return "it refuses the user name or the password, or wants some (401)"
    if isinstance(error, av.ExitError):
        return "no data came in time"
    words = str(error.strerror)
    return with_urls_redacted(words[:1].lower() + words[1:])


def problem_and_advice(error: av.FFmpegError) -> tuple[str, str]:
    """Return why an address cannot be opened, and what to do about it, without credentials."""
    if problem := distrust(error):
        return problem, HOW_TO_TRUST
    if _is_bare_rtp(error):
        return problem_of(error), "name that file"
    match error:
        case av.error.ProtocolNotFoundError():
            return problem_of(error), "livecam doctor lists the protocols that it has"
        case av.error.HTTPUnauthorizedError():
            return problem_of(error), "write them into the address, as in rtsp://user:password@host/path"
        case av.InvalidDataError():
            return "the address does not send a video", CHECK_ADDRESS
        case av.EOFError():
            return "the server closed the connection without sending anything", CHECK_ADDRESS
    return problem_of(error), CHECK_ADDRESS


def _is_bare_rtp(error: av.FFmpegError) -> bool:
    """Return True for the error of RTP that comes without a description."""
    return isinstance(error, av.InvalidDataError) and str(error.filename).startswith("rtp:")


def without_credentials(error: av.FFmpegError) -> av.FFmpegError:
    """Redact the URL in an error, since `raise ... from` shows it in the traceback."""
    error.args = tuple(with_urls_redacted(redacted(arg)) if isinstance(arg, str) else arg for arg in error.args)
    return error
