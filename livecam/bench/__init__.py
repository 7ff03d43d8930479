"""What `livecam bench` measures: the overhead of explaining, whole files, and frames that arrive on a schedule."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from livecam.bench.overhead import TIMED, MakeExplainer, fastest, measure_overhead, variants, warm
from livecam.bench.timing import WARM_UP_ROUNDS
from livecam.explain.explainer import Explainer
from livecam.live.display import NoWindow
from livecam.live.feeds import Feeds
from livecam.live.session import Session
from livecam.run.annotation import annotate
from livecam.sources import PacedSource, open_source

ARRIVALS_FPS = (30, 60)
SEED = 1
FPS = 30


def bench(
    make: MakeExplainer,
    device: torch.device,
    *,
    engine: str,
    precision: str,
    batch: int,
    rounds: int,
    size: str,
    seconds: float,
    on_step: Callable[[str], None],
) -> dict[str, Any]:
    """Measure the overhead of explaining, then whole runs over a generated scene with the fastest variant.

    Args:
        make: Called with a variant; returns an explainer for it.
        device: Where it computes.
        engine: The engine to measure; "auto" for all.
        precision: The precision to measure; "auto" for all.
        batch: The batch size to measure, in addition to single pictures.
        rounds: How often each variant is timed.
        size: The size of the scene, such as "1280x720".
        seconds: How long the scene is, at 30 frames a second.
        on_step: Called with a line of text before each step.

    Returns:
        All figures, as plain data for JSON.

    Raises:
        LivecamError: Nothing can be measured with these arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        on_step("drawing the scene")
        make_clip(clip, size, round(seconds * FPS))
        rows: list[dict[str, Any]] = []
        for each in sorted({1, batch}):
            rows += measure_overhead(make, variants(device, engine, precision), each, rounds, on_step)
        of_files = fastest([row for row in rows if row["batch"] == batch])
        of_live = fastest([row for row in rows if row["batch"] == 1])
        on_step(f"running end to end by {of_files}")
        with warm(partial(make, of_files), batch) as explainer:
            runs = [end_to_end(clip, output, explainer, batch) for output in ("null:", Path(folder) / "x264.mp4")]
        on_step(f"running live by {of_live}")
        with warm(partial(make, of_live), 1) as explainer:
            loops = [open_loop(clip, fps, explainer) for fps in ARRIVALS_FPS]
        return {
            **_settings(explainer),
            "rounds": {"warm_up": WARM_UP_ROUNDS, "timed": rounds},
            "overhead": rows,
            "end_to_end": {"size": size, "batch": batch, **of_files._asdict(), "runs": runs},
            "open_loop": {"size": size, **of_live._asdict(), "runs": loops},
        }


def _settings(explainer: Explainer) -> dict[str, Any]:
    height, width = explainer.classifier.preprocessing.size
    return {
        "model": explainer.classifier.name,
        "input": f"{width}x{height}",
        "method": explainer.method,
        "layer": explainer.layer,
        "device": str(explainer.device),
        "timed": TIMED,
    }


def end_to_end(clip: Path, output: Path | str, explainer: Explainer, batch: int) -> dict[str, Any]:
    """Annotate a file as fast as it goes.

    Returns:
        `fps`, the frames `written` and `dropped`, and `stages_ms`, the percentiles of each stage per frame.
    """
    ledger = annotate(clip, output, explainer, batch=batch, overwrite=True)
    counts = {"written": ledger.delivered, "dropped": ledger.dropped.total()}
    return {
        "output": Path(output).name,
        "fps": round(ledger.fps, 2),
        **counts,
        "stages_ms": ledger.report()["stages_ms"],
    }


def open_loop(clip: Path, fps: int, explainer: Explainer) -> dict[str, Any]:
    """Run a live session without a window over a clip whose frames arrive at a fixed rate, ready or not.

    A closed loop, which asks for a frame when the previous one is done, has no queue: it measures how long the work
    takes, not how late a frame is shown. In an open loop, a run that is too slow for its arrivals drops frames.

    Returns:
        `fps`, the frames `shown` and `dropped`, and `latency_ms`, the percentiles from arrival to shown.
    """
    with Feeds([PacedSource(open_source(clip), fps=fps)]) as feeds:
        session = Session(feeds, lambda: explainer, NoWindow())
        session.run()
    (ledger,) = session.ledgers
    counts = {"shown": ledger.delivered, "dropped": ledger.dropped.total()}
    return {
        "arrivals_fps": fps,
        "fps": round(ledger.fps, 2),
        **counts,
        "latency_ms": ledger.latency.percentiles_ms(),
    }


def make_clip(path: Path, size: str, frames: int) -> None:
    """Write a generated scene as H.264 at 30 frames a second, with a tone in AAC.

    Args:
        path: The file, replaced if it exists.
        size: The size, such as "1280x720".
        frames: How many frames.

    Raises:
        InputError: `size` is not a valid size.
    """
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
