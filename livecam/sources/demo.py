"""`demo:`, a generated scene of shapes, for trying livecam without a camera or a file.

In `demo:motion` one shape at a time moves, for models of clips.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import count, takewhile
from urllib.parse import parse_qsl

import av
import numpy as np

from livecam.errors import InputError
from livecam.motion_scene import MotionScene
from livecam.picture.conversion import Bt709Converter
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.scene import SHAPES, Scene
from livecam.sources.base import LiveOptions, OnPacket, Source, SourceKind
from livecam.sources.paced import played

MOTION = "demo:motion"
"""How the URI of a scene of motions begins."""

_LARGEST = 8192
_LONGEST_SECONDS = 1e6


@dataclass(frozen=True)
class DemoOptions:
    """The options of every generated scene: demo:motion?size=1280x720&fps=30&seconds=10&seed=1."""

    size: str = "1280x720"
    fps: str = "30"
    seconds: float = 10.0
    seed: int = 1

    @classmethod
    def parse(cls, uri: str, *, endless: bool = False) -> DemoOptions:
        """Parse a whole URI; without `seconds` it may be `endless`. Raises InputError."""
        prefix, kind = next((prefix, kind) for prefix, kind in _OPTIONS.items() if uri.startswith(prefix))
        options: dict[str, object] = {"seconds": math.inf} if endless else {}
        kinds: dict[str, type] = {name: type(default) for name, default in dataclasses.asdict(kind()).items()}
        for name, text in parse_qsl(uri.removeprefix(prefix).removeprefix("?"), keep_blank_values=True):
            if name not in kinds:
                raise InputError(f"{uri}: {prefix} has no option {name!r}; it has {', '.join(kinds)}")
            try:
                options[name] = kinds[name](text)
            except ValueError as exc:
                raise InputError(f"{uri}: {name}={text} is not a number") from exc
        return kind(**options)  # type: ignore[arg-type]

    def scene(self, uri: str) -> Scene:
        """Return the scene. Raises InputError."""
        if self.seed < 0:
            raise InputError(f"{uri}: seed={self.seed} is not a number from 0 on")
        width, height = self.picture_size(uri)
        return self._scene(uri, width, height)

    def _scene(self, uri: str, width: int, height: int) -> Scene:
        return MotionScene(seed=self.seed, width=width, height=height)

    def picture_size(self, uri: str) -> tuple[int, int]:
        """Return (width, height) in pixels. Raises InputError."""
        match = re.fullmatch("([0-9]{1,5})x([0-9]{1,5})", self.size)
        width, height = (int(number) for number in match.groups()) if match else (0, 0)
        if not (16 <= width <= _LARGEST and 16 <= height <= _LARGEST):
            raise InputError(f"{uri}: size={self.size} is not WIDTHxHEIGHT with both from 16 to {_LARGEST}")
        return width, height

    def rate(self, uri: str) -> Fraction:
        """Return the exact frames a second, which may be typed as 30000/1001. Raises InputError."""
        try:
            rate = Fraction(self.fps).limit_denominator(10_000)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            raise InputError(f"{uri}: fps={self.fps} is not a rate above 0, up to 1000, such as 25 or 30000/1001")
        return rate


@dataclass(frozen=True)
class ShapesOptions(DemoOptions):
    """The options of the scene whose shapes change: demo:?size=1280x720&fps=30&seconds=10&seed=1&shapes=2."""

    shapes: int = 2

    def _scene(self, uri: str, width: int, height: int) -> Scene:
        if not 0 <= self.shapes <= len(SHAPES):
            raise InputError(f"{uri}: shapes={self.shapes} is not a number from 0 to {len(SHAPES)}")
        return Scene(seed=self.seed, shapes=self.shapes, width=width, height=height)


_OPTIONS: dict[str, type[DemoOptions]] = {MOTION: DemoOptions, "demo:": ShapesOptions}
"""The options of each generated scene by the beginning of its URI; the first that fits is taken."""


class DemoSource(Source):
    """Draws the scene as 8-bit BT.709 video. The same URI gives the same pixels.

    If the URI has no `seconds`, the scene has the default duration or is `endless`.
    """

    def __init__(
        self, uri: str, *, start_seconds: float = 0.0, duration_seconds: float | None = None, endless: bool = False
    ) -> None:
        self.name = uri
        options = DemoOptions.parse(uri, endless=endless)
        self._scene = options.scene(uri)
        rate = options.rate(uri)
        is_endless = endless and options.seconds == math.inf
        if not (0 < options.seconds <= _LONGEST_SECONDS or is_endless):
            raise InputError(f"{uri}: seconds={options.seconds:g} is not a time above 0, up to {_LONGEST_SECONDS:.0f}")
        end_seconds = min(options.seconds, start_seconds + (duration_seconds or options.seconds))
        self._first_index = round(start_seconds * rate)
        self._end_index = math.inf if is_endless else round(end_seconds * rate)
        if self._first_index >= self._end_index:
            raise InputError(f"{uri}: there is no frame in the requested part; it lasts {options.seconds:g} s")
        self._converted = Bt709Converter()
        self.media = Media(
            width=self._scene.width,
            height=self._scene.height,
            pixel_format="yuv420p",
            time_base=1 / rate,
            rate=rate,
            expected_frames=None if is_endless else int(self._end_index) - self._first_index,
            metadata={"title": f"livecam {uri}"},
        ).in_bt709()

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        numbers = takewhile(lambda number: number < self._end_index, count(self._first_index))
        for index, number in enumerate(numbers):
            image = self._scene.render(float(number * self.media.time_base))
            yield Frame(picture=self._picture(image, index), index=index)

    def close(self) -> None:
        pass

    def _picture(self, image: np.ndarray, index: int) -> av.VideoFrame:
        picture = self._converted(image)
        picture.pts, picture.time_base, picture.duration = index, self.media.time_base, 1
        return picture


def _open_live(uri: str, options: LiveOptions) -> Source:
    return played(partial(DemoSource, uri, endless=True), dataclasses.replace(options, realtime=True))


DEMO = SourceKind(
    recognises=lambda name: name.startswith("demo:"),
    open=DemoSource,
    open_live=_open_live,
    output_name=lambda uri: "demo.mp4",
    output_suffix="",
)
