"""Generated clips with known content: each frame carries its number in its pixels."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from livecam.system.cores import leave_real_time

NUMBER_BITS = 8


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a gradient, and along the bottom eight black or white blocks that spell the number."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = np.stack([x, y, np.full_like(x, (number * 7) % 256)], axis=2).astype(np.uint8)
    for bit in range(NUMBER_BITS):
        left, right = bit * width // NUMBER_BITS, (bit + 1) * width // NUMBER_BITS
        picture[-height // 4 :, left:right] = 255 * (number >> bit & 1)
    return picture


def number_in(picture: np.ndarray) -> int:
    """What `numbered_picture` wrote, also after encoding and under a heatmap of moderate opacity."""
    height, width = picture.shape[:2]
    blocks = picture[-height // 8 :, :, :].mean(axis=(0, 2))
    centres = [(2 * bit + 1) * width // (2 * NUMBER_BITS) for bit in range(NUMBER_BITS)]
    return sum(int(blocks[centre] > 127) << bit for bit, centre in enumerate(centres))


_made = tempfile.TemporaryDirectory()
"""A copy of each clip that was made, named by a number."""
_numbers: dict[str, int] = {}


def make_clip(path: Path, **facts: Any) -> Path:
    """Write a clip as `encode_clip` does; of clips with the same facts, all but the first are copies."""
    number = _numbers.setdefault(f"{path.suffix} {sorted(facts.items())}", len(_numbers))
    copy = Path(_made.name, str(number))
    if copy.exists():
        shutil.copyfile(copy, path)
    else:
        shutil.copyfile(encode_clip(path, **facts), copy)
    return path


def encode_clip(
    path: Path,
    *,
    frames: int = 12,
    size: tuple[int, int] = (160, 90),
    rate: Fraction | int = 25,
    time_base: Fraction | None = None,
    pts: Sequence[int] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    b_frames: int = 0,
    key_every: int | None = None,
    color: tuple[int, int, int, int] | None = None,
    aspect: Fraction | None = None,
    rotation: int | None = None,
    audio: Sequence[str] = (),
    subtitles: bool = False,
    metadata: dict[str, str] | None = None,
    chapters: list[dict[str, Any]] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a clip: `pts` in `time_base`, `color` as (range, space, primaries, transfer), encoders for `audio`.

    `options` are those of the video's encoder, `container_options` those of the muxer.
    """
    time_base = time_base or 1 / Fraction(rate)
    width, height = size
    with av.open(
        str(path), "w", container_options={"avoid_negative_ts": "disabled", **(container_options or {})}
    ) as container:
        container.metadata.update(metadata or {})
        container.set_chapters(chapters or [])
        video = container.add_stream(codec, rate=Fraction(rate))
        context = video.codec_context
        context.width, context.height, context.pix_fmt = width, height, pixel_format
        context.time_base = time_base
        if key_every:
            context.gop_size = key_every
        if codec == "libx264":
            context.options = {"preset": "ultrafast", "bf": str(b_frames), "crf": "10"}
        elif b_frames:
            context.max_b_frames = b_frames
        if codec == "libx265":
            context.options = {"preset": "ultrafast", "x265-params": f"log-level=none:keyint=12:bframes={b_frames}"}
        if codec in ("libvpx", "libvpx-vp9"):
            context.options = {"deadline": "realtime", "cpu-used": "8"}
        context.options |= options or {}
        if color:
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = color
        if aspect:
            context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        tracks = [container.add_stream(name, rate=48000) for name in audio]
        source = _subtitle_source(path) if subtitles else None
        copy = container.add_stream_from_template(source.streams[0], opaque=True) if source else None
        for index in range(frames):
            image = av.VideoFrame.from_ndarray(numbered_picture(index, width, height), format="rgb24")
            picture = image.reformat(
                format=pixel_format,
                dst_colorspace=5 if color is None or color[1] != 1 else 1,
                dst_color_range=2 if color and color[0] == 2 else 1,
            )
            picture.pts, picture.time_base = (pts[index] if pts else index), time_base
            container.mux(video.encode(picture))
            if codec == "libsvtav1":
                leave_real_time()
        container.mux(video.encode(None))
        duration_seconds = float(frames / Fraction(rate))
        for number, track in enumerate(tracks):
            container.mux(tone_packets(track, 440 * (number + 1), duration_seconds))
        if source and copy:
            for packet in source.demux():
                if packet.size:
                    packet.stream = copy
                    container.mux(packet)
            source.close()
    return path


def tone_packets(track: Any, frequency_hz: float, duration_seconds: float) -> list[av.Packet]:
    packets = []
    samples = track.codec_context.frame_size or 1024
    for begin in range(0, int(48000 * duration_seconds), samples):
        wave = 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(begin, begin + samples) / 48000)
        frame = av.AudioFrame.from_ndarray(
            (wave * 32767).astype(np.int16).repeat(2)[None], format="s16", layout="stereo"
        )
        frame.sample_rate, frame.pts = 48000, begin
        packets += track.encode(frame)
    return packets + track.encode(None)


def _subtitle_source(path: Path) -> Any:
    """Two lines of text, as a container to copy from: the kind that suits the ending of `path`."""
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,000 --> 00:00:00,200\nfirst\n\n2\n00:00:00,240 --> 00:00:00,400\nsecond\n")
    return av.open(str(text))


def make_clip_of(path: Path, *clips: Path, default: int | None = None) -> Path:
    """Copy the video streams of clips into one file, in this order; `default` is the one marked as such."""
    with ExitStack() as stack:
        container = stack.enter_context(av.open(str(path), "w"))
        packets = []
        for number, clip in enumerate(clips):
            source = stack.enter_context(av.open(str(clip)))
            copy = container.add_stream_from_template(source.streams.video[0], opaque=True)
            copy.disposition = Disposition.default if number == default else Disposition(0)
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    packets.append(packet)
        container.mux(packets)
    return path


@dataclass
class Facts:
    """What a player would learn of a file, decoded whole."""

    times: list[Fraction] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    rotation: int = 0
    color: tuple[int, int, int, int] = (0, 0, 0, 0)
    aspect: Fraction | None = None
    size: tuple[int, int] = (0, 0)
    pixel_format: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    chapters: list[tuple[float, float, str]] = field(default_factory=list)
    copied: list[tuple[str, list[tuple[Fraction, bytes]]]] = field(default_factory=list)


def playable(path: Path) -> int:
    """Decode a video whose end may be missing, and return how many pictures it has."""
    with av.open(str(path)) as container:
        whole = (packet for packet in container.demux(video=0) if not packet.is_corrupt)
        return sum(len(packet.decode()) for packet in whole)


def facts_of(path: Path) -> Facts:
    """Read everything that annotating must keep."""
    facts = Facts()
    with av.open(str(path)) as container:
        facts.metadata = dict(container.metadata)
        facts.chapters = [
            (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"].get("title", ""))
            for c in container.chapters()
        ]
        stream = container.streams.video[0]
        facts.aspect = stream.sample_aspect_ratio
        for frame in container.decode(stream):
            facts.times.append(frame.pts * frame.time_base)
            facts.pictures.append(frame.to_ndarray(format="rgb24"))
            facts.rotation, facts.size, facts.pixel_format = (
                frame.rotation,
                (frame.width, frame.height),
                frame.format.name,
            )
            facts.color = (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc)
    with av.open(str(path)) as container:
        kept = {s.index: (s.codec_context.name, []) for s in container.streams if s.type in ("audio", "subtitle")}
        for packet in container.demux():
            if packet.size and packet.stream_index in kept:
                kept[packet.stream_index][1].append((packet.pts * packet.time_base, bytes(packet)))
        facts.copied = [kept[index] for index in sorted(kept)]
    return facts
