"""Clips whose white flashes and beeps coincide, and the measurement of both in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = 25
SAMPLES_HZ = 48_000
FLASHES = (6, 22, 43, 59, 85, 97, 120)
"""The frames with a flash; all distances differ, so that no flash can be taken for another."""
FRAMES = 130
_FLASH_FRAMES = 2
_BEEP_SECONDS = 0.06
_SILENCE_SECONDS = 0.1

Change = Callable[[av.Packet], av.Packet | None]


def make_flash_clip(
    path: Path,
    *,
    codec: str = "libx264",
    audio: str = "mp2",
    start_seconds: int = 0,
    key_frames: int = 12,
    b_frames: int = 0,
    change: Change = lambda packet: packet,
) -> Path:
    """Write a clip of 130 frames with sound.

    Args:
        path: The file.
        codec: The encoder of the picture.
        audio: The encoder of the sound.
        start_seconds: The time of the first frame and sample.
        key_frames: The distance of the key frames.
        b_frames: The number of B-frames in a row.
        change: Called with each packet before it is written, to change it; None leaves it out.
    """
    options = {} if path.suffix == ".flv" else {"avoid_negative_ts": "disabled"}  # FLV counts from 0
    with av.open(str(path), "w", container_options=options) as container:
        video = container.add_stream(codec, rate=FPS)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.gop_size = key_frames
        if codec == "libx264":
            video.codec_context.options = {"preset": "ultrafast", "bf": str(b_frames), "sc_threshold": "0"}
        sound = container.add_stream(audio, rate=SAMPLES_HZ)
        packets = [*_video_packets(video, start_seconds * FPS), *_sound_packets(sound, start_seconds * SAMPLES_HZ)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            if (changed := change(packet)) is not None:
                container.mux(changed)
    return path


def _video_packets(stream: av.VideoStream, start: int) -> Iterator[av.Packet]:
    for number in range(FRAMES):
        is_white = any(0 <= number - flash < _FLASH_FRAMES for flash in FLASHES)
        image = np.full((64, 96, 3), 255 if is_white else 30, np.uint8)
        image[:, : number * 96 // FRAMES] //= 2  # something moves, so that no picture is empty
        picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        picture.pts, picture.time_base = start + number, Fraction(1, FPS)
        yield from stream.encode(picture)
    yield from stream.encode(None)


def _sound_packets(stream: av.AudioStream, start: int) -> Iterator[av.Packet]:
    seconds = np.arange(FRAMES * SAMPLES_HZ // FPS) / SAMPLES_HZ
    beeps = [(flash / FPS <= seconds) & (seconds < flash / FPS + _BEEP_SECONDS) for flash in FLASHES]
    wave = (np.any(beeps, axis=0) * np.sin(2 * np.pi * 1000 * seconds) * 20_000).astype(np.int16)
    samples = stream.codec_context.frame_size or 1024
    for begin in range(0, len(wave) - samples + 1, samples):
        block = np.ascontiguousarray(wave[begin : begin + samples].repeat(2)[None])
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLES_HZ, start + begin, Fraction(1, SAMPLES_HZ)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def flash_times(path: Path) -> list[float]:
    """Return when the flashes of a file begin, in seconds."""
    times, was_white = [], False
    with av.open(str(path)) as container:
        for picture in _decoded(container, "video"):
            is_white = picture.to_ndarray(format="gray")[:, -40:].mean() > 128
            if is_white and not was_white:
                times.append(picture.time)
            was_white = is_white
    return times


def beep_times(path: Path) -> list[float]:
    """Return when the beeps of a file begin, in seconds."""
    times: list[float] = []
    last_loud_seconds = -1.0
    with av.open(str(path)) as container:
        for frame in _decoded(container, "audio"):
            samples = frame.to_ndarray().astype(np.float64)
            samples = samples.reshape(-1, frame.layout.nb_channels)[:, 0] if samples.shape[0] == 1 else samples[0]
            full = 1.0 if "flt" in frame.format.name else 32768.0
            for place in np.flatnonzero(np.abs(samples) > 0.15 * full):
                seconds = frame.time + place / frame.sample_rate
                if seconds - last_loud_seconds > _SILENCE_SECONDS:
                    times.append(seconds)
                last_loud_seconds = seconds
    return times


def offsets_of_beeps(path: Path) -> list[float]:
    """Return how many seconds after its flash each beep comes; a beep without a flash nearby is left out."""
    flashes = np.array(flash_times(path))
    nearest = [beep - flashes[np.abs(flashes - beep).argmin()] for beep in beep_times(path)]
    return [offset for offset in nearest if abs(offset) < 0.2]


def _decoded(container: av.container.InputContainer, kind: str) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decode the first stream of a kind as far as it goes."""
    stream = getattr(container.streams, kind)[0]
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue
    except av.FFmpegError:
        return
