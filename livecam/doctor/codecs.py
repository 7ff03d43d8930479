"""Checks of encoders and decoders, each by processing a few frames: FFmpeg also lists some that fail here."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import av
import av.logging

from livecam.doctor import Check
from livecam.errors import LivecamError, OutputError
from livecam.sinks.encoder import EncoderOptions, add_encoder
from livecam.sources import open_source
from livecam.system.machine import nvidia_gpus

ENCODERS = ("libx264", "libx265", "libvpx-vp9", "h264_nvenc", "hevc_nvenc")
DECODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
"""Formats, each with the encoder that makes the frames to decode."""
GPU_DECODERS = {"h264_cuvid": "libx264", "hevc_cuvid": "libx265"}
_SCENE, _FRAMES = "demo:?size=320x240&fps=25&seconds=0.2", 5


def encoders() -> Iterator[Check]:
    """Check the common file encoders, and those of NVIDIA GPUs."""
    for name in ENCODERS:
        yield _check(name, partial(_encode, name))


def decoders() -> Iterator[Check]:
    """Check the decoders of common formats, and those of NVIDIA GPUs."""
    for name, encoder in DECODERS.items():
        yield _check(name, partial(_decode, encoder))
    for name, encoder in GPU_DECODERS.items():
        yield _check(name, partial(_decode, encoder, name))


def _check(name: str, work: Callable[[], str]) -> Check:
    try:
        with _messages():
            return Check.ok(name, work())
    except (LivecamError, av.FFmpegError, ValueError) as exc:  # PyAV's UnknownCodecError is a ValueError
        reason = _reason(exc)
    if name.endswith(("_nvenc", "_cuvid")):
        return _without_nvidia(name, reason)
    advice = "pip install --force-reinstall --only-binary av av, which brings a complete FFmpeg"
    return Check.problem(name, f"does not work ({reason})", advice)


@contextmanager
def _messages() -> Iterator[None]:
    """Let exceptions carry FFmpeg's message inside of the block.

    No longer than that: a message from one of FFmpeg's threads waits for the interpreter, which may be closing the very
    decoder and waiting for that thread.
    """
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        yield
    finally:
        av.logging.set_level(before)


def _without_nvidia(name: str, reason: str) -> Check:
    if not nvidia_gpus():
        return Check.absent(name, "no NVIDIA GPU")
    advice = (
        "update the NVIDIA driver, or in a container set NVIDIA_DRIVER_CAPABILITIES=all (A100 and H100 have no encoder)"
    )
    return Check.problem(name, f"does not work ({reason})", advice)


def _encode(name: str) -> str:
    _sample(name)
    return f"{av.Codec(name, 'w').canonical_name}, {_FRAMES} frames encoded"


def _decode(encoder: str, decoder: str | None = None) -> str:
    """Decode the sample of an encoder, with FFmpeg's own choice of decoder unless one is named."""
    with av.open(io.BytesIO(_sample(encoder)), "r") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if decoder is not None:
            context = cast(av.VideoCodecContext, av.CodecContext.create(decoder, "r"))
            context.extradata = stream.codec_context.extradata
        frames = sum(len(context.decode(packet)) for packet in container.demux(stream))
    if frames != _FRAMES:
        raise LivecamError(f"returns only {frames} of {_FRAMES} frames")
    return f"{context.codec.name}, {frames} frames decoded"


@functools.cache
def _sample(encoder: str) -> bytes:
    """Encode a few frames with livecam's settings into a Matroska file. Raises OutputError, FFmpegError."""
    file = io.BytesIO()
    with open_source(_SCENE) as source, av.open(file, "w", format="matroska") as container:
        stream = add_encoder(container, source.media, EncoderOptions(encoder), encoder)
        for frame in source.frames(on_packet=lambda packet: None):
            container.mux(stream.encode(frame.picture))
        container.mux(stream.encode(None))
    return file.getvalue()


def _reason(exc: Exception) -> str:
    """Return FFmpeg's own message if there is one."""
    cause = exc.__cause__ if isinstance(exc, OutputError) and exc.__cause__ else exc
    if isinstance(cause, av.FFmpegError) and cause.log:
        return str(cause.log[-1]).strip()
    return str(exc).partition(";")[0]
