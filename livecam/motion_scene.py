"""Generated scenes in which one of four shapes moves, which `demo:motion` shows and the model `motion` learns from.

Background and distractors are those of a still scene at one moment. Now and then a shape moves, grows, shrinks or turns
for half a second, and later goes back. All else stands. As in a still scene, everything is a function of the seed and
the time, and the scene knows which shape moved, how, and when.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import tau

import numpy as np
from numpy.random import default_rng

from livecam.scene import SHAPES, Pose, Scene

MOTIONS: tuple[str, ...] = (
    *("moves left", "moves right", "moves up", "moves down"),
    *("grows", "shrinks", "turns", "stands"),
)
"""The names of all classes. Nothing moves while everything `stands`."""
BACK: dict[str, str] = {
    **{"moves left": "moves right", "moves right": "moves left", "moves up": "moves down", "moves down": "moves up"},
    **{"grows": "shrinks", "shrinks": "grows", "turns": "turns", "stands": "stands"},
}
"""The class of the motion that takes back a motion of each class."""
EVENT_SECONDS = 1.6
"""The time from the beginning of one event to that of the next."""

_SHAPES = 4
_CAST = tuple(label for label in SHAPES if label != "circle")  # a circle that turns looks as if it stood
_MOVING_SECONDS = (0.35, 0.5)
_REST_SECONDS = 0.55  # from the beginning of an event to that of its motion
_RADIUS = (0.09, 0.12)
_DISTANCE = (0.09, 0.125)
_GROWTH = (1.4, 1.7)
_TURN = (0.8, 1.4)


@dataclass(frozen=True)
class Event:
    """One motion, or the same time without one.

    Attributes:
        motion: Its class, one of `MOTIONS`.
        mover: The index of the shape that moves; None if everything stands.
        start_seconds: When the motion begins.
        end_seconds: When it ends.
    """

    motion: str
    mover: int | None
    start_seconds: float
    end_seconds: float

    def progress(self, times_seconds: np.ndarray | float) -> np.ndarray:
        """Return the part of the motion that is over at each time, from 0 to 1: float64."""
        return np.asarray(np.interp(times_seconds, [self.start_seconds, self.end_seconds], [0, 1]))


@dataclass(frozen=True)
class _Change:
    """How a whole motion changes the pose of a shape."""

    x: float = 0.0
    y: float = 0.0
    growth: float = 1.0
    turn: float = 0.0

    def applied(self, pose: Pose, part: float) -> Pose:
        radius = pose.radius * self.growth**part
        return Pose(pose.x + part * self.x, pose.y + part * self.y, radius, pose.angle + part * self.turn)


@dataclass(frozen=True)
class MotionScene(Scene):
    """An endless scene of four shapes, of which one at a time moves; equal fields make equal scenes.

    The shapes are chosen by the seed, and each has a quarter of the picture to itself.
    """

    shapes: int | tuple[str, ...] = _SHAPES

    def event(self, number: int) -> Event:
        """Return the event that begins `number` times `EVENT_SECONDS` after the scene."""
        motion, mover, moving_seconds, _ = _pair(self.seed, number // 2)
        start = number * EVENT_SECONDS + _REST_SECONDS
        return Event(BACK[motion] if number % 2 else motion, mover, start, start + moving_seconds)

    def render(self, time_seconds: float) -> np.ndarray:
        """Draw the frame at a time: (height, width, 3) uint8 RGB."""
        mover = self._mover(time_seconds)
        frame = _standing(self, mover).copy()
        self._draw((thing for thing in self._cast(time_seconds) if thing[0] == mover), frame)
        return frame

    def _mover(self, time_seconds: float) -> int | None:
        return self.event(int(time_seconds // EVENT_SECONDS)).mover

    def _cast(self, time_seconds: float) -> Iterator[tuple[int, str, Pose]]:
        pair = int(time_seconds // (2 * EVENT_SECONDS))
        _, mover, _, change = _pair(self.seed, pair)
        there, back = self.event(2 * pair), self.event(2 * pair + 1)
        part = float(there.progress(time_seconds) - back.progress(time_seconds))
        for index, (label, pose) in enumerate(self._at_rest):
            yield index, label, change.applied(pose, part) if index == mover else pose

    @cached_property
    def _at_rest(self) -> list[tuple[str, Pose]]:
        rng = default_rng([self.seed, 7])
        labels = rng.permutation(_CAST)[:_SHAPES]
        return [(str(label), self._home(index)) for index, label in enumerate(labels)]

    def _home(self, index: int) -> Pose:
        """Place a shape in its quarter of the picture, so that it stays there wherever it moves."""
        rng = default_rng([self.seed, 8, index])
        radius, quarter = rng.uniform(*_RADIUS), self._extent / 4
        room = quarter - radius - max(_DISTANCE)
        x, y = quarter * (1 + 2 * np.array([index % 2, index // 2])) + room * rng.uniform(-1, 1, 2)
        return Pose(x, y, radius, rng.uniform(0, tau))


@lru_cache(maxsize=_SHAPES + 1)
def _standing(scene: MotionScene, mover: int | None) -> np.ndarray:
    """Draw a scene without the shape that moves."""
    frame = scene._backdrop(0.0)
    scene._draw((thing for thing in scene._cast(0.0) if thing[0] != mover), frame)
    return frame


@lru_cache(maxsize=64)
def _pair(seed: int, number: int) -> tuple[str, int | None, float, _Change]:
    """Draw a motion that is taken back later: its class, which shape moves, for how many seconds, and how."""
    rng = default_rng([seed, 9, number])
    motion = MOTIONS[rng.integers(len(MOTIONS))]
    mover = None if motion == "stands" else int(rng.integers(_SHAPES))
    distance, growth, turn = rng.uniform(*_DISTANCE), rng.uniform(*_GROWTH), rng.uniform(*_TURN) * rng.choice([-1, 1])
    changes = {
        "moves left": _Change(x=-distance),
        "moves right": _Change(x=distance),
        "moves up": _Change(y=-distance),
        "moves down": _Change(y=distance),
        "grows": _Change(growth=growth),
        "shrinks": _Change(growth=1 / growth),
        "turns": _Change(turn=turn),
        "stands": _Change(),
    }
    return motion, mover, rng.uniform(*_MOVING_SECONDS), changes[motion]
