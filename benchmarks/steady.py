"""How much steadier are the heatmaps of a video, and how far do they then deviate from each frame's own?

    python -m benchmarks.steady [--clip FILE]... [--models shapes,resnet50] [--seconds 6] [--json FILE]

Flicker is the mean absolute difference between a heatmap and the one before, moved along by optical flow, in
thousandths of full heat; the cosine is that of the heat shown to the frame's own, mean and minimum; changes are those
of the class shown. Size is that of the whole video, x264 veryfast, steady against bare. The lag counts the frames after
a sudden change until that cosine is 0.95 again: a cut, and evidence that jumps while the picture does not. The time is
the median of `Steadiness` alone, a frame. efficientnet_lite0 and `shapes` have real weights, other models random ones.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.every import cosine
from benchmarks.timing import print_machine, print_table, weights_of
from livecam import Explainer, annotate, open_source
from livecam.bench.timing import write_json
from livecam.explain.heat import Steadiness
from livecam.explain.motion import MotionFinder
from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.render import Style

SCENES = ("demo:?size=1280x720&fps=30&seed=1", "demo:?size=1280x720&fps=30&seed=12")
ALIKE = 0.95
CHANGE_FRAMES = 15
"""A sudden change comes after so many, and is watched for as many more."""
ENGINE: dict[str, Any] = {"engine": "eager", "precision": "fp32", "runner_up": True}
"""The same figures each time."""
EMPTY_SEEDS = range(1, 7)

Seen = list[tuple[Frame, Explanation]]


def seen_by(explainer: Explainer, clip: str, seconds: float) -> Seen:
    """Return every frame with its own explanation."""
    with open_source(clip, duration_seconds=seconds) as source, explainer:
        return [(frame, explainer(frame)) for frame in source.frames(lambda packet: None)]


def steadied(seen: Seen) -> tuple[list[Explanation], float]:
    """Return the explanations shown, and the median milliseconds per frame."""
    steady, shown, times_ms = Steadiness(), [], []
    for frame, explanation in seen:
        begin = time.perf_counter()
        shown.append(steady(frame, explanation))
        times_ms.append(1000 * (time.perf_counter() - begin))
    return shown, median(times_ms)


def flicker(frames: Sequence[Frame], shown: Sequence[Explanation]) -> float:
    """Return the flicker over all frames that show the same class as the previous frame and follow it without a cut."""
    finder, differences = MotionFinder(), []
    for (before, earlier), (now, later) in pairwise(zip(frames, shown, strict=True)):
        motion = finder.motion(before, now)
        if motion is not None and earlier.index == later.index:
            past = np.clip(motion.moved(earlier.heatmap, earlier.region), 0, 1)
            differences.append(float(np.abs(later.heatmap - past).mean()))
    return float(np.mean(differences))


def cosines(seen: Seen, shown: Sequence[Explanation]) -> list[float]:
    """Return the cosines of the heat shown to the frame's own heat for the same class."""
    return [
        cosine(steady.heatmap, next(one.heatmap for one in _explained(own) if one.index == steady.index))
        for (_, own), steady in zip(seen, shown, strict=True)
    ]


def _explained(explanation: Explanation) -> Iterator[Any]:
    yield from explanation.classes
    if explanation.runner_up is not None:
        yield explanation.runner_up


def changes(shown: Sequence[Explanation]) -> int:
    """Count how often the class differs from that of the previous frame."""
    return sum(before.index != now.index for before, now in pairwise(shown))


def measure(clip: str, explainer: Explainer, seconds: float) -> dict[str, Any]:
    """Measure one clip and one model, bare and steady."""
    seen = seen_by(explainer, clip, seconds)
    frames, bare = [frame for frame, _ in seen], [own for _, own in seen]
    shown, cost_ms = steadied(seen)
    near = cosines(seen, shown)
    result: dict[str, Any] = {"cosine_mean": float(np.mean(near)), "cosine_least": min(near), "cost_ms": cost_ms}
    for name, explanations in (("bare", bare), ("steady", shown)):
        result[name] = {
            "flicker": flicker(frames, explanations),
            "changes": changes(explanations),
            "bytes": _encoded_bytes(clip, explainer, seconds, steady=name == "steady"),
        }
    return result


def _encoded_bytes(clip: str, explainer: Explainer, seconds: float, *, steady: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "explained.mkv"
        annotate(clip, path, explainer, steady=steady, duration_seconds=seconds, style=Style(caption=False))
        return path.stat().st_size


def measure_lag(explainer: Explainer) -> dict[str, int]:
    """Count the frames until the heat shown has followed a change, by kind of change."""
    seconds = 2 * CHANGE_FRAMES / 30
    before, after = (seen_by(explainer, clip, seconds) for clip in SCENES)
    jump = [(frame, own) for (frame, _), (_, own) in zip(before, after, strict=True)]
    return {
        name: _lag(before[:CHANGE_FRAMES] + later[CHANGE_FRAMES:]) for name, later in (("cut", after), ("jump", jump))
    }


def _lag(seen: Seen) -> int:
    near = cosines(seen, steadied(seen)[0])[CHANGE_FRAMES:]
    return next((frames for frames, value in enumerate(near) if value >= ALIKE), len(near))


def measure_empty(explainer: Explainer, seconds: float) -> dict[str, dict[str, float]]:
    """Return the mean and the maximum heat of scenes without a shape, bare and steady."""
    heats: dict[str, list[np.ndarray]] = {"bare": [], "steady": []}
    for seed in EMPTY_SEEDS:
        seen = seen_by(explainer, f"demo:?size=320x180&fps=30&shapes=0&seed={seed}", seconds)
        heats["bare"] += [own.heatmap for _, own in seen]
        heats["steady"] += [shown.heatmap for shown in steadied(seen)[0]]
    return {
        name: {"mean": float(np.mean(maps)), "mean_peak": float(np.mean([one.max() for one in maps]))}
        for name, maps in heats.items()
    }


def main() -> None:
    """Print the tables, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", action="append", default=[], help="another video to measure")
    parser.add_argument("--models", default="shapes,efficientnet_lite0")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    explainers = {model: Explainer(model, weights=weights_of(model), **ENGINE) for model in options.models.split(",")}
    print_machine()
    clips = [
        {"clip": clip, "model": model, **measure(clip, explainer, options.seconds)}
        for clip in (*SCENES, *options.clip)
        for model, explainer in explainers.items()
    ]
    _print_clips(clips)
    lags = {model: measure_lag(explainer) for model, explainer in explainers.items()}
    print("\nframes of lag after a sudden change\n")
    print_table(["", *lags], [[kind, *(lag[kind] for lag in lags.values())] for kind in ("cut", "jump")])
    empty = measure_empty(Explainer(**ENGINE), options.seconds)
    print("\nshapes on scenes without a shape, per cent of full heat\n")
    print_table(
        ["", "mean", "highest of a frame, mean"],
        [[name, *(f"{100 * heat[key]:.3f}" for key in ("mean", "mean_peak"))] for name, heat in empty.items()],
    )
    if options.json:
        write_json(options.json, {"seconds": options.seconds, "clips": clips, "lag_frames": lags, "empty": empty})


def _print_clips(results: Sequence[dict[str, Any]]) -> None:
    header = ["clip", "model", "flicker", "steady", "ratio", "cosine", "least", "changes", "size", "ms a frame"]
    rows = []
    for result in results:
        bare, steady = result["bare"], result["steady"]
        rows.append(
            [
                Path(result["clip"]).name,
                result["model"],
                *(f"{1000 * each['flicker']:.2f}" for each in (bare, steady)),
                f"{steady['flicker'] / bare['flicker']:.2f}" if bare["flicker"] else "-",
                f"{result['cosine_mean']:.3f}",
                f"{result['cosine_least']:.3f}",
                f"{bare['changes']} to {steady['changes']}",
                f"{steady['bytes'] / bare['bytes']:.2f}",
                f"{result['cost_ms']:.2f}",
            ]
        )
    print_table(header, rows)


if __name__ == "__main__":
    main()
