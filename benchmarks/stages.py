"""What does each stage of a file cost? `python -m benchmarks.stages [--clip FILE] --json FILE`.

Processor time of all threads, in milliseconds a frame, medians of some rounds. The stages run one after the other over
all frames of the file, or of the generated scene: decoding, explaining in batches, making the heatmaps steady, drawing,
and encoding by x264 veryfast, once the original pictures and once the drawn ones. The difference of the
last two is what the overlay costs the encoder. efficientnet_lite0 and `shapes` have real weights, other models random
ones.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import av

from benchmarks.timing import cpu_seconds, print_machine, print_table, weights_of
from livecam import Explainer, open_source
from livecam.bench import FPS, make_clip
from livecam.bench.overhead import warm
from livecam.bench.timing import write_json
from livecam.explain.device import find_device, usual_batch
from livecam.explain.heat import Steadiness
from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.render import Renderer, Style


class Clock:
    """Measures processor time by stage, of calls that return a list with an entry for each frame."""

    def __init__(self) -> None:
        self.times_ms: dict[str, list[float]] = {}

    def __call__(self, stage: str, work: Callable[..., Iterable[Any]], *arguments: Any) -> list[Any]:
        """Do the work of a stage and return what it yields, as a list."""
        begin = cpu_seconds()
        done = list(work(*arguments))
        self.times_ms.setdefault(stage, []).append(1000 * (cpu_seconds() - begin) / len(done))
        return done


def measure(clip: Path, model: str, rounds: int) -> dict[str, float]:
    """Return the milliseconds of processor time a frame, by stage."""
    batch = usual_batch(find_device("auto", model))
    make = partial(Explainer, model, weights=weights_of(model), engine="compiled", runner_up=True)
    explainer, clock = warm(make, batch), Clock()
    for _ in range(rounds):
        with open_source(clip) as source, explainer:
            frames = clock("decode", source.frames, lambda packet: None)
            told = clock("explain", _explained, explainer, frames, batch)
        shown = clock("steady", map, Steadiness(explainer.heat_options), frames, told)
        drawn = clock("draw", map, Renderer("yuv420p", Style()), frames, shown)
        clock("encode as it came", _encoded, [frame.picture for frame in frames])
        clock("encode drawn", _encoded, drawn)
    return {stage: median(times) for stage, times in clock.times_ms.items()}


def _explained(explainer: Explainer, frames: Sequence[Frame], batch: int) -> list[Explanation]:
    parts = (frames[begin : begin + batch] for begin in range(0, len(frames), batch))
    return [each for part in parts for each in explainer.explain(part, heat=False)]


def _encoded(pictures: Sequence[av.VideoFrame]) -> Sequence[av.VideoFrame]:
    """Encode pictures without writing a file, then return them."""
    with av.open(os.devnull, "w", format="null") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        video.thread_type = "FRAME"
        for number, picture in enumerate(pictures):
            picture.pict_type, picture.pts, picture.time_base = 0, number, Fraction(1, FPS)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
    return pictures


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video instead of the generated scene")
    parser.add_argument("--models", default="efficientnet_lite0,resnet50", help="comma-separated")
    parser.add_argument("--size", default="1920x1080", help="of the generated scene")
    parser.add_argument("--frames", type=int, default=90, help="of the generated scene")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or Path(folder) / "scene.mp4"
        if options.clip is None:
            make_clip(clip, options.size, options.frames)
        stages = {model: measure(clip, model, options.rounds) for model in options.models.split(",")}
    print_machine()
    name = clip.name if options.clip else f"generated scene, {options.size}, {options.frames} frames"
    print(f"{name}, {options.rounds} rounds, medians; milliseconds of processor time a frame\n")
    header = list(next(iter(stages.values())))
    print_table(["", *header], [[model, *(f"{of[stage]:.1f}" for stage in header)] for model, of in stages.items()])
    if options.json:
        write_json(options.json, {"settings": {"clip": name, "rounds": options.rounds}, "stages_cpu_ms": stages})


if __name__ == "__main__":
    main()
