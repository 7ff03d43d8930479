"""Whole runs: as fast as they go, and with frames that arrive on a schedule of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from livecam.explain.explainer import Explainer
from livecam.ledger import Ledger
from livecam.render import Renderer, Style
from livecam.run.annotation import annotate
from livecam.run.pipeline import Pipeline
from livecam.run.workers import Policy
from livecam.sinks import NullSink
from livecam.sources import PacedSource, open_source


def end_to_end(clip: Path, output: Path | str, explainer: Explainer, batch: int) -> dict[str, Any]:
    """Annotate a file as fast as it goes: `fps`, and `stages_ms`, each stage's percentiles a frame."""
    ledger = annotate(clip, output, explainer, batch=batch, overwrite=True)
    return {"output": Path(output).name, **_account(ledger), "stages_ms": ledger.report()["stages_ms"]}


def open_loop(clip: Path, fps: int, explainer: Explainer) -> dict[str, Any]:
    """Frames arrive so many a second, whether or not the one before is done; the latest is explained, as live.

    `latency_ms` is from arrival to written, queueing included, for those that were written. A closed loop, which asks
    for a frame when the one before is done, has no queue: it measures how long the work takes, and not how late it
    comes. What is too slow for its arrivals shows here as drops.
    """
    with PacedSource(open_source(clip), fps=fps) as source:
        sink = NullSink()
        ledger = Pipeline(source, explainer, Renderer(sink.pixel_format, Style()), sink, policy=Policy.LATEST).run()
    return {"arrivals_fps": fps, **_account(ledger), "latency_ms": ledger.latency.percentiles_ms()}


def _account(ledger: Ledger) -> dict[str, Any]:
    return {"fps": round(ledger.fps, 2), "written": ledger.written, "dropped": ledger.dropped}


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
