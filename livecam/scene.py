"""Generated moving scenes with known content, which the source `demo:` shows and the classifier `shapes` learns from.

A scene has a busy drifting background, distractors that resemble no shape, and the shapes themselves, which orbit,
rotate and change size. All of it is a function of the seed and the time, so that any moment can be drawn on its own and
the scene knows where every shape is.

Lengths are in scene units: the shorter side of the picture is 1. Each axis has its own scale to pixels, so that a scene
can also be drawn as if its picture had been squeezed to another size.
"""

from collections.abc import Iterable, Iterator
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import cos, floor, pi, sin, sqrt, tau

import cv2
import numpy as np
from numpy.random import Generator, default_rng

ACT_SECONDS = 7.0
"""The time that a shape stays before it comes back as another class."""
ENTRY_SECONDS = 0.7
"""The time that a shape takes to grow in, and to shrink away."""

_DISTRACTORS = 10
_LARGEST_RADIUS = 0.22
_PAN = 0.08  # how far the background drifts to each side
_MATERIAL_PIXELS = 64
_SUBPIXEL_BITS = 4
_SHADOW_SHIFT, _SHADOW_SOFTNESS, _SHADOW_STRENGTH = 0.012, 0.03, 0.4


def _ring(points: int) -> np.ndarray:
    angles = np.arange(points) * tau / points
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _star() -> np.ndarray:
    outline = _ring(10)
    outline[1::2] *= 0.46
    return outline


def _cross() -> np.ndarray:
    arm = np.array([[0.95, -0.3], [0.95, 0.3], [0.3, 0.3]])
    quarter_turn = np.array([[0, 1], [-1, 0]])
    return np.concatenate([arm @ np.linalg.matrix_power(quarter_turn, turns) for turns in range(4)])


def _heart() -> np.ndarray:
    t = np.linspace(0, tau, 56, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -2.5 - y], 1) / 18.2


def _moon() -> np.ndarray:
    """Return the outline of a fat crescent: the unit disc less a smaller disc, the bay."""
    bay_x, bay_radius = 0.6, 0.75
    horn_x = (1 - bay_radius**2 + bay_x**2) / (2 * bay_x)
    horn_y = sqrt(1 - horn_x**2)
    rim_start, bay_start = np.arctan2(horn_y, horn_x), np.arctan2(horn_y, horn_x - bay_x)
    rim = np.linspace(rim_start, tau - rim_start, 40)
    bay = np.linspace(tau - bay_start, bay_start, 26)[1:-1]
    rim_points = np.stack([np.cos(rim), np.sin(rim)], 1)
    bay_points = np.stack([bay_x + bay_radius * np.cos(bay), bay_radius * np.sin(bay)], 1)
    return np.concatenate([rim_points, bay_points])


def _arrow() -> np.ndarray:
    half = np.array([[1, 0], [0.05, 0.85], [0.05, 0.33], [-0.93, 0.33]])
    return np.concatenate([half, half[:0:-1] * [1, -1]])


OUTLINES: dict[str, np.ndarray] = {
    "circle": 0.88 * _ring(48),
    "triangle": _ring(3),
    "square": _ring(4),
    "star": _star(),
    "cross": _cross(),
    "heart": _heart(),
    "moon": _moon(),
    "arrow": _arrow(),
}
"""The closed outline of each class, (n, 2) float64 in the unit circle. No two match, even if rotated or stretched."""

SHAPES: tuple[str, ...] = tuple(OUTLINES)
"""The names of all classes."""


@dataclass(frozen=True)
class Shape:
    """A shape at one moment: its class name and its closed outline, (n, 2) float64 x, y in pixels."""

    label: str
    outline: np.ndarray


@dataclass(frozen=True)
class Pose:
    """Where an outline is, in scene units, how large its unit circle is there, and how far it is turned, in radians."""

    x: float
    y: float
    radius: float
    angle: float

    def matrix(self, scale: np.ndarray) -> np.ndarray:
        """Return the affine matrix, (2, 3), from the unit circle to pixels; the first pixel's centre is at 0."""
        across, along = self.radius * cos(self.angle), self.radius * sin(self.angle)
        return scale[:, None] * [[across, -along, self.x], [along, across, self.y]] - [[0, 0, 0.5], [0, 0, 0.5]]

    def place(self, outline: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Convert an outline, (n, 2), from the unit circle to pixels."""
        matrix = self.matrix(scale)
        return outline @ matrix[:, :2].T + matrix[:, 2]


@dataclass(frozen=True)
class _Drift:
    """A slow, endless path that visits the whole picture."""

    centre: np.ndarray
    speed: np.ndarray
    phase: np.ndarray
    radius: float
    spin: float

    @classmethod
    def random(cls, rng: Generator, extent: np.ndarray) -> "_Drift":
        speed, phase = rng.uniform(0.05, 0.2, 2), rng.uniform(0, tau, 2)
        return cls(extent / 2, speed, phase, rng.uniform(0.06, 0.17), rng.uniform(-0.5, 0.5))

    def pose(self, time_seconds: float) -> Pose:
        x, y = self.centre * (1 + 0.85 * np.sin(self.phase + self.speed * time_seconds))
        return Pose(x, y, self.radius, self.phase[0] + self.spin * time_seconds)


@dataclass(frozen=True)
class _Stroke:
    """Thin lines, each (n, 2) inside the unit circle; a line of no length is a dot."""

    lines: list[np.ndarray]
    thickness: float
    colour: tuple[int, int, int]

    def draw(self, frame: np.ndarray, pose: Pose, scale: np.ndarray) -> None:
        lines = [_fixed_point(pose.place(line, scale)) for line in self.lines]
        thickness = max(1, round(self.thickness * float(np.sqrt(scale.prod()))))
        cv2.polylines(frame, lines, False, self.colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


@dataclass(frozen=True)
class _Sticker:
    """A filled outline with its own material and a soft shadow."""

    outline: np.ndarray
    material: np.ndarray

    def draw(self, frame: np.ndarray, pose: Pose, scale: np.ndarray) -> None:
        outline = pose.place(self.outline, scale)
        margin = np.ceil((_SHADOW_SHIFT + _SHADOW_SOFTNESS) * scale) + 1
        left, top = np.maximum(np.floor(outline.min(0) - margin), 0).astype(int)
        right, bottom = np.minimum(np.ceil(outline.max(0) + margin), frame.shape[1::-1]).astype(int)
        patch = frame[top:bottom, left:right]
        if patch.size == 0:
            return
        self._cast_shadow(patch, outline - (left, top), scale)
        cover = _coverage(patch.shape[:2], outline - (left, top))
        patch[:] = cv2.blendLinear(self._texture(patch, pose.matrix(scale), (left, top)), patch, cover, 1 - cover)

    def _cast_shadow(self, patch: np.ndarray, outline: np.ndarray, scale: np.ndarray) -> None:
        width, height = np.maximum(1, np.round(_SHADOW_SOFTNESS * scale)).astype(int).tolist()
        shade = _coverage(patch.shape[:2], outline + _SHADOW_SHIFT * scale)
        shade = cv2.blur(shade, (width, height)) * _SHADOW_STRENGTH
        patch[:] = cv2.blendLinear(np.zeros_like(patch), patch, shade, 1 - shade)

    def _texture(self, patch: np.ndarray, matrix: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
        half = _MATERIAL_PIXELS / 2
        from_material = np.array([[1 / half, 0, 0.5 / half - 1], [0, 1 / half, 0.5 / half - 1], [0, 0, 1]])
        matrix = matrix @ from_material
        matrix[:, 2] -= origin
        size = (patch.shape[1], patch.shape[0])
        return cv2.warpAffine(self.material, matrix, size, borderMode=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class Scene:
    """An endless moving scene; equal fields make equal scenes.

    Attributes:
        seed: Decides everything that the other fields leave open.
        shapes: How many shapes, each coming back as another class every few seconds, no two of one class at a time; or
            the names of the classes to show all the time. At most as many as there are classes.
        width: The width of the frames in pixels.
        height: Their height in pixels.
        aspect: Width by height of the picture if it is squeezed to that size, else None.
    """

    seed: int
    shapes: int | tuple[str, ...] = 2
    width: int = 1280
    height: int = 720
    aspect: float | None = None

    def render(self, time_seconds: float) -> np.ndarray:
        """Draw the frame at a time: (height, width, 3) uint8 RGB."""
        frame = self._backdrop(time_seconds)
        self._draw(self._cast(time_seconds), frame)
        return frame

    def truth(self, time_seconds: float) -> list[Shape]:
        """Return the shapes in the frame at a time, from back to front; those on their way in or out are small."""
        return [Shape(label, pose.place(OUTLINES[label], self._scale)) for _, label, pose in self._cast(time_seconds)]

    def masks(self, time_seconds: float) -> np.ndarray:
        """Return the visible pixels of each shape of `truth`, in its order: (n, height, width) bool."""
        owner = np.zeros((self.height, self.width), np.uint8)
        shapes = self.truth(time_seconds)
        for number, shape in enumerate(shapes, start=1):
            cv2.fillPoly(owner, [_fixed_point(shape.outline)], number, cv2.LINE_8, _SUBPIXEL_BITS)
        return owner == np.arange(1, len(shapes) + 1)[:, None, None]

    @cached_property
    def _extent(self) -> np.ndarray:
        """Width and height in scene units."""
        aspect = self.aspect or self.width / self.height
        return np.array([max(aspect, 1), max(1 / aspect, 1)])

    @cached_property
    def _scale(self) -> np.ndarray:
        """Pixels per scene unit on each axis."""
        return np.array([self.width, self.height]) / self._extent

    @cached_property
    def _background(self) -> np.ndarray:
        extent = self._extent + 2 * _PAN
        size = np.ceil(extent * self._scale).astype(int) + 2
        return _bake_background(default_rng([self.seed, 0]), _is_dark(self.seed), size, extent)

    def _backdrop(self, time_seconds: float) -> np.ndarray:
        """Draw all but the shapes."""
        frame = self._pan(time_seconds)
        for thing, drift in self._distractors:
            thing.draw(frame, drift.pose(time_seconds), self._scale)
        return frame

    def _draw(self, cast: Iterable[tuple[int, str, Pose]], frame: np.ndarray) -> None:
        for index, label, pose in cast:
            _sticker(self.seed, index, label).draw(frame, pose, self._scale)

    def _pan(self, time_seconds: float) -> np.ndarray:
        """Cut a window from the background, which drifts by fractions of a pixel: whole ones would be seen to jerk."""
        x, y = _PAN * (1 + np.sin([0.23 * time_seconds + self.seed, 0.31 * time_seconds])) * self._scale
        left, top = floor(x), floor(y)
        window = self._background[top : top + self.height, left : left + self.width]
        blend = np.outer([1 - y + top, y - top], [1 - x + left, x - left])
        return cv2.filter2D(window, -1, blend, anchor=(0, 0))

    @cached_property
    def _distractors(self) -> list[tuple[_Stroke | _Sticker, _Drift]]:
        rng = default_rng([self.seed, 1])
        return [(_distractor(rng, _is_dark(self.seed)), _Drift.random(rng, self._extent)) for _ in range(_DISTRACTORS)]

    def _cast(self, time_seconds: float) -> Iterator[tuple[int, str, Pose]]:
        """Yield for each shape in the frame the number of its appearance, its class and its pose."""
        if isinstance(self.shapes, tuple):
            for slot, label in enumerate(self.shapes):
                yield slot, label, self._pose(slot, len(self.shapes), slot, 1.0, time_seconds)
            return
        order = default_rng([self.seed, 2]).permutation(SHAPES)
        for slot in range(self.shapes):
            act, progress = divmod(time_seconds / ACT_SECONDS + 1 - (slot + 0.5) / self.shapes, 1)
            # Slots change in turn, so that those on stage are always neighbours in the order, hence distinct.
            index = int(act) * self.shapes + slot
            size = _ease(min(progress, 1 - progress) * ACT_SECONDS / ENTRY_SECONDS)
            if size > 0:
                yield index, str(order[index % len(SHAPES)]), self._pose(slot, self.shapes, index, size, time_seconds)

    def _pose(self, slot: int, slots: int, index: int, size: float, time_seconds: float) -> Pose:
        """Place a shape on the wide ellipse that all share at even distances, so that they never overlap."""
        orbit = default_rng([self.seed, 3])
        reach = (self._extent / 2 - _LARGEST_RADIUS) * orbit.uniform(0.8, 1, 2)
        turn = orbit.uniform(0, tau) + orbit.choice([-1, 1]) * tau / orbit.uniform(18, 30) * time_seconds
        x, y = self._extent / 2 + reach * (cos(turn + slot * tau / slots), sin(turn + slot * tau / slots))
        own = default_rng([self.seed, 4, index])
        room = min(_LARGEST_RADIUS, reach.min() * sin(pi / max(slots, 2)))
        breath = 0.94 + 0.06 * sin(1.3 * time_seconds + index)
        angle = own.uniform(0, tau) + own.choice([-1, 1]) * own.uniform(0.2, 0.8) * time_seconds
        return Pose(x, y, room * own.uniform(0.72, 1) * breath * size, angle)


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _coverage(size: tuple[int, int], outline: np.ndarray) -> np.ndarray:
    """Return the share of each pixel that an outline covers: (height, width) float32 in 0..1."""
    cover = np.zeros(size, np.uint8)
    cv2.fillPoly(cover, [_fixed_point(outline)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return cover * np.float32(1 / 255)


def _ease(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _is_dark(seed: int) -> bool:
    return default_rng([seed, 5]).random() < 0.65


def _foreground_colour(rng: Generator, dark: bool) -> np.ndarray:
    value = rng.uniform(0.75, 1) if dark else rng.uniform(0.2, 0.7)
    return 255 * np.array(hsv_to_rgb(rng.random(), rng.uniform(0.35, 0.85), value))


@lru_cache(maxsize=64)
def _sticker(seed: int, index: int, label: str) -> _Sticker:
    rng = default_rng([seed, 6, index])
    return _Sticker(OUTLINES[label], _material(rng, _is_dark(seed)))


def _material(rng: Generator, dark: bool) -> np.ndarray:
    """Mix two colours by a slope and a pattern: (64, 64, 3) uint8."""
    y, x = np.mgrid[-1 : 1 : _MATERIAL_PIXELS * 1j, -1 : 1 : _MATERIAL_PIXELS * 1j]
    frequency = rng.uniform(8, 20)
    patterns = [
        np.sin(frequency * x),
        np.sin(frequency * x) * np.sin(frequency * y),
        2 * _noise(rng, np.array([_MATERIAL_PIXELS, _MATERIAL_PIXELS]), np.ones(2), finest=12) - 1,
        np.zeros_like(x),
    ]
    mix = np.clip(0.5 + rng.uniform(0.1, 0.5) * y + rng.uniform(0.1, 0.35) * patterns[rng.integers(4)], 0, 1)[..., None]
    one = _foreground_colour(rng, dark)
    other = one * rng.uniform(0.45, 0.8) + rng.uniform(0, 0.2) * _foreground_colour(rng, dark)
    return (one * mix + other * (1 - mix)).astype(np.uint8)


def _distractor(rng: Generator, dark: bool) -> _Stroke | _Sticker:
    if rng.random() < 0.3:
        return _Sticker(_blob(rng), _material(rng, dark))
    red, green, blue = _foreground_colour(rng, dark).astype(int).tolist()
    return _Stroke(_lines(rng), rng.uniform(0.008, 0.022), (red, green, blue))


def _lines(rng: Generator) -> list[np.ndarray]:
    """Draw a squiggle, a zigzag, a ring with or without a gap, dots, or a hatching: lines, (n, 2) each."""
    height = rng.uniform(0.2, 0.5)
    match rng.integers(5):
        case 0:
            x = np.linspace(-1, 1, 40)
            return [np.stack([x, height * np.sin(rng.uniform(3, 8) * x)], 1)]
        case 1:
            return [np.stack([np.linspace(-1, 1, 7), height * np.array([1, -1, 1, -1, 1, -1, 1])], 1)]
        case 2:
            return [_ring(40)[np.arange(rng.integers(28, 42)) % 40]]
        case 3:
            return [np.stack([dot, dot]) for dot in rng.uniform(-0.7, 0.7, (7, 2))]
        case _:
            return [np.array([[x, -0.6], [x + 0.3, 0.6]]) for x in np.linspace(-0.8, 0.5, 5)]


def _blob(rng: Generator) -> np.ndarray:
    """Draw an irregular outline, (64, 2) inside the unit circle."""
    angles = np.arange(64) * tau / 64
    waves = [rng.uniform(0.15, 0.4) * np.sin(k * angles + rng.uniform(0, tau)) for k in (2, 3, 4, 5)]
    radii = np.clip(1 + np.sum(waves, 0), 0.25, None)
    return _ring(64) * (radii / radii.max())[:, None]


def _noise(rng: Generator, size: np.ndarray, extent: np.ndarray, finest: int) -> np.ndarray:
    """Draw smooth noise of several scales, up to `finest` cells a scene unit: (height, width) float32 in 0..1."""
    total = np.zeros(size[::-1], np.float32)
    cells = 3
    while cells <= finest:
        grid = rng.random(np.ceil(cells * extent[::-1]).astype(int), np.float32) - 0.5
        total += cv2.resize(grid, size.tolist(), interpolation=cv2.INTER_CUBIC) * (3 / cells) ** 0.7
        cells *= 2
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def _bake_background(rng: Generator, dark: bool, size: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """Draw marbled colours under a fine grain, (height, width, 3) uint8, `extent` scene units in `size` pixels."""
    value = rng.uniform(0.12, 0.5, 4) if dark else rng.uniform(0.6, 0.98, 4)
    hues = rng.random() + rng.uniform(-0.12, 0.12, 4)
    stops = np.array([hsv_to_rgb(h % 1, rng.uniform(0.25, 0.65), v) for h, v in zip(hues, value, strict=True)])
    level = _noise(rng, size, extent, finest=24)
    bands = 0.5 + 0.5 * np.sin(level * rng.uniform(8, 40))
    level = np.clip(level + rng.uniform(0, 0.25) * (bands - 0.5), 0, 1)
    grain = 1 + rng.uniform(0.1, 0.4) * (_noise(rng, size, extent, finest=96) - 0.5)
    colours = [np.interp(level, np.linspace(0, 1, 4), stops[:, channel]) * grain for channel in range(3)]
    return (255 * np.clip(np.stack(colours, -1), 0, 1)).astype(np.uint8)
