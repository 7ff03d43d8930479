"""The generated scene as a file, to be read as any video is."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from livecam.sources import open_source

SEED = 1
FPS = 30


def make_clip(path: Path, size: str, frames: int) -> None:
    """H.264 at 30 frames a second, `size` as "1280x720", with a tone in AAC. Raises InputError for a size."""
    with (
        open_source(f"demo:?size={size}&fps={FPS}&seconds={frames / FPS}&seed={SEED}") as source,
        av.open(str(path), "w") as out,
    ):
        video = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "18"})
        video.width, video.height, video.pix_fmt = source.media.width, source.media.height, "yuv420p"
        audio = out.add_stream("aac", rate=48000)
        for frame in source.frames(lambda packet: None):
            out.mux(video.encode(frame.picture))
        out.mux(video.encode(None))
        for begin in range(0, int(48000 * frames / FPS), 1024):
            wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(begin, begin + 1024) / 48000)).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(wave.repeat(2)[None], format="s16", layout="stereo")
            sound.sample_rate, sound.pts = 48000, begin
            out.mux(audio.encode(sound))
        out.mux(audio.encode(None))
