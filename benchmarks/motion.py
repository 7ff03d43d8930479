"""Does the heatmap point at what moved, and when? ``python -m benchmarks.motion --scenes 500 --seed 0 --json FILE``.

In each scene one of four shapes moves, in a known half of the clip. The clip is explained by the model `motion`, for
the class of that motion. The peak is the centre of the highest cell of the map, seen from the whole picture; the shape
has to be there, in its box or with its own pixels, and to move in a frame of that cell.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator, default_rng

from benchmarks.pointing import UNSEEN, points_at, report
from livecam import Explainer
from livecam.models.motion import FRAMES, FRAMES_PER_SECOND
from livecam.motion_scene import Event, MotionScene

MEASURED = ("best class right", "peak in the box of what moves", "peak on what moves itself", "peak while it moves")
EVENTS = 200
FRAME_SECONDS = 1 / FRAMES_PER_SECOND
HALF_SECONDS = FRAMES / 2 * FRAME_SECONDS


def draw(rng: Generator, frame_size: tuple[int, int]) -> tuple[MotionScene, Event, np.ndarray]:
    """Draw a random scene, an event in which a shape moves, and the times of a clip in seconds, (T,).

    All frames in which the shape moves are in one half of the clip.
    """
    width, height = frame_size
    scene = MotionScene(int(rng.integers(UNSEEN, 2 * UNSEEN)), width=width, height=height)
    events = (scene.event(int(rng.integers(EVENTS))) for _ in range(EVENTS))
    event = next(event for event in events if event.mover is not None)
    room_seconds = HALF_SECONDS - (event.end_seconds - event.start_seconds)
    before = rng.uniform(0, room_seconds) + rng.choice([0, HALF_SECONDS - FRAME_SECONDS])
    return scene, event, event.start_seconds - before + FRAME_SECONDS * np.arange(FRAMES)


def look(explainer: Explainer, scene: MotionScene, event: Event, times: np.ndarray) -> tuple[bool, bool, bool, bool]:
    """Return what is right, as in `MEASURED`: the best class, and place and time of the peak of the event's class."""
    explanation = explainer([scene.render(time) for time in times], target=event.motion)
    number = int(explanation.cam.max((1, 2)).argmax())
    covered = np.split(times, len(explanation.cells))[number]
    moves = (covered >= event.start_seconds) & (covered <= event.end_seconds)
    peak, mask = explanation.cells[number].peak, scene.masks(covered.mean())[event.mover]
    box = np.outer(mask.any(1), mask.any(0))
    is_right = explanation.predictions[0].label == event.motion
    return is_right, points_at(peak, box), points_at(peak, mask), bool(moves.any())


def measure(explainer: Explainer, frame_size: tuple[int, int], scenes: int, seed: int) -> dict[str, float]:
    """Return the shares in [0, 1] for frames of a size, width and height in pixels."""
    rng = default_rng(seed)
    found = [look(explainer, *draw(rng, frame_size)) for _ in range(scenes)]
    return dict(zip(MEASURED, np.mean(found, 0).tolist(), strict=True))


def main() -> None:
    """Print the shares as a table, and write them as JSON if asked to."""
    report("motion", __doc__, measure, scenes=500)


if __name__ == "__main__":
    main()
