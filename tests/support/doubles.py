"""Doubles for runs: a source whose frames show their number, an explainer that reads it, a recording display."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import torch

from livecam import Explanation
from livecam.errors import ModelError
from livecam.explain.heat import HeatOptions
from livecam.explain.preprocess import Prepared
from livecam.live.display import Request
from livecam.live.drawn import Drawn
from livecam.names import METHODS
from livecam.picture.frame import Frame
from livecam.picture.media import Media, Orientation, Region
from livecam.picture.transfer import DevicePlanes
from livecam.sources import Source
from tests.support.clips import number_in, numbered_picture
from tests.support.explanations import explanation_of

WIDTH, HEIGHT = 160, 90
RATE = 100
"""Frames a second of `NumberedSource`."""
QUARTER_TURN = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
"""A display matrix."""

Before = Callable[[int], object]


def nothing(number: int) -> None:
    """Do nothing before a frame."""


class NumberedSource(Source):
    """Frames of `WIDTH` x `HEIGHT` that spell their number, as fast as they are taken.

    `before` is called with the number of each frame, by the thread that reads. `aspect` and `display_matrix` are as in
    `Media`.
    """

    def __init__(
        self,
        count: int,
        *,
        is_live: bool = False,
        before: Before = nothing,
        aspect: Fraction | None = None,
        display_matrix: tuple[int, ...] | None = None,
    ) -> None:
        self.media = Media(
            width=WIDTH,
            height=HEIGHT,
            pixel_format="yuv420p",
            time_base=Fraction(1, RATE),
            sample_aspect_ratio=aspect,
            display_matrix=display_matrix,
        )
        self.name = "numbers"
        self.is_live = is_live
        self._count, self._before = count, before

    def frames(self, on_packet: object) -> Iterator[Frame]:
        for index in range(self._count):
            self._before(index)
            image = av.VideoFrame.from_ndarray(numbered_picture(index, WIDTH, HEIGHT), format="rgb24")
            picture = image.reformat(format="yuv420p")
            picture.pts, picture.time_base = index, self.media.time_base
            yield Frame(
                picture=picture,
                index=index,
                orientation=Orientation.of(self.media.display_matrix),
                sample_aspect_ratio=self.media.sample_aspect_ratio or Fraction(1),
            )

    def close(self) -> None:
        pass


class NumberReader:
    """In place of an explainer: reads the number in a picture, which is then the label; number % 8 is the hot row.

    `before` is called with the number of each frame, by the thread that explains. What was asked of it is kept:
    `expected` and `batches` are what `expect` was told and how many pictures were explained at once, `asked` the
    method, the target and the number of each frame. Maps are `strength` at their hottest; `refused` methods do not fit.
    """

    clip_frames, frames_per_second = 1, None
    layer, layer_title, wanted_layer, engine, precision = "features", "features", None, "eager", "fp32"
    survey = SimpleNamespace(
        usable=[SimpleNamespace(name=name, is_eligible=True) for name in ("features", "evidence")],
        automatic=[SimpleNamespace(name="evidence")],
    )
    heat_options = HeatOptions()
    usual_batch = 4
    explains_best, point, takes_points, detects = True, None, False, False
    own_targets, labels = ("top1",), ("zero", "one")
    prompts: tuple[str, ...] = ()
    methods, refused = METHODS, ("eigencam",)

    def __init__(self, before: Before = nothing, *, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.method = "gradcam"
        self.target: object = None
        self.strength = 1.0
        self.entered = self.changes = 0
        self.expected: list[tuple[float | None, int]] = []
        self.batches: list[int] = []
        self.asked: list[tuple[str, Any, int]] = []
        self.uploaded: list[DevicePlanes | None] = []
        self._before = before

    def __enter__(self) -> NumberReader:
        self.entered += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self.entered -= 1

    def expect(self, pictures: float | None, *, batch: int, separate: bool = False) -> None:
        self.expected.append((pictures, batch))

    def tell_limits(self) -> None:
        pass

    def title_of(self, layer: str | None) -> str:
        return layer or "evidence"

    def report_forwards(self, on_forwards: Callable[[int, int], None]) -> None:
        self.on_forwards = on_forwards

    def warm_up(self, height: int, width: int, *, batch: int) -> None:
        self.batches.append(batch)

    def change(
        self,
        method: str,
        layer: object,
        target: object,
        top: int | None = None,
        prompts: tuple[str, ...] | None = None,
        at: object = None,
    ) -> None:
        if method in self.refused:
            raise ModelError(f"{method} does not explain a class")
        if prompts and "wrong" in prompts:
            raise ModelError("wrong is no prompt")
        self.prompts = prompts or self.prompts
        self.changes += 1
        self.method, self.target = method, target if top is None else f"top {top}"

    def report(self) -> dict[str, Any]:
        return {"method": self.method, "layer": self.layer, "engine": self.engine, "precision": self.precision}

    def explain(
        self, frames: list[Any], *, uploaded: Sequence[DevicePlanes | None] | None = None, heat: bool = True
    ) -> list[Explanation]:
        self.batches.append(len(frames))
        self.uploaded += uploaded or []
        return [self._explanation(frame) for frame in frames]

    def _explanation(self, frame: Frame) -> Explanation:
        number = number_in(frame.orientation.upright(frame.picture.to_ndarray(format="rgb24")))
        self._before(number)
        self.asked.append((self.method, self.target, number))
        cam = np.zeros((8, 1), np.float32)
        cam[number % 8] = self.strength
        return dataclasses.replace(explanation_of(cam, labels=[str(number)]), frame_index=frame.index)


class ClipReader(NumberReader):
    """In place of an explainer of clips of 8 frames with 4 time cells: a cell's label is the numbers in its frames.

    The hot row of a cell is the number of its first frame % 8. `clips` are the numbers in all clips explained, and
    `prepared_numbers` those in all frames prepared.
    """

    clip_frames, cells = 8, 4

    def __init__(self, before: Before = nothing, *, frames_per_second: float | None = None) -> None:
        super().__init__(before)
        self.frames_per_second = frames_per_second
        self.prepared_numbers: list[int] = []
        self.clips: list[list[int]] = []

    def prepared(self, frames: Sequence[Frame]) -> list[Prepared]:
        numbers = [number_in(frame.orientation.upright(frame.picture.to_ndarray(format="rgb24"))) for frame in frames]
        self.prepared_numbers += numbers
        return [
            Prepared(torch.tensor([number]), Region(), frame.index)
            for number, frame in zip(numbers, frames, strict=True)
        ]

    def explain(self, *args: Any, **options: Any) -> list[Explanation]:
        raise AssertionError("a model of clips explains no single frames")

    def explain_clips(self, clips: Sequence[Sequence[Prepared]], *, heat: bool = True) -> list[list[Explanation]]:
        self.batches.append(len(clips))
        return [self._cells([(one.frame_index, int(one.image)) for one in clip]) for clip in clips]

    def _cells(self, clip: Sequence[tuple[int, int]]) -> list[Explanation]:
        assert len(clip) == self.clip_frames
        indices, numbers = zip(*clip, strict=True)
        self.clips.append(list(numbers))
        self._before(numbers[-1])
        length = self.clip_frames // self.cells
        return [
            dataclasses.replace(
                self._of_cell(numbers[begin : begin + length]),
                frame_index=indices[begin],
                clip_frames=(indices[0], indices[-1]),
                cell_frames=(indices[begin], indices[begin + length - 1]),
            )
            for begin in range(0, self.clip_frames, length)
        ]

    def _of_cell(self, numbers: Sequence[int]) -> Explanation:
        self.asked.append((self.method, self.target, numbers[-1]))
        cam = np.zeros((8, 1), np.float32)
        cam[numbers[0] % 8] = self.strength
        return explanation_of(cam, labels=[" ".join(map(str, numbers))])


def hot_row(picture: np.ndarray, number: int) -> int:
    """Find which eighth of an (H, W, 3) RGB picture is hottest, over the picture of a number.

    Jet makes the hottest row red and the others blue.
    """
    change = picture.astype(int) - numbered_picture(number, picture.shape[1], picture.shape[0])
    rows = np.array_split(change[:, :, 0] - change[:, :, 2], 8)
    return int(np.argmax([row.mean() for row in rows]))


class FakeDisplay:
    """In place of a window: keeps the pictures that are shown and gives keys.

    `keys_at` are the keys to press once so many `frames` were shown, which whoever runs the session counts, and
    `is_ready`. Or set `press`: it is called each time and returns keys. `size` is that of the window, by default the
    usual one.
    """

    has_screen = True

    def __init__(self, keys_at: dict[int, str] | None = None, is_ready: Callable[[], bool] = lambda: True) -> None:
        self.frames = 0
        self.pictures: list[np.ndarray] = []
        self.title = self.reason = ""
        self.taken: list[tuple[int, Drawn]] = []
        self.told: list[str] = []
        self.states: list[dict[str, Any]] = []
        self.size: tuple[int, int] | None = None
        self.is_closed = self.is_hidden = False
        self.is_full_screen = False
        self.press: Callable[[], Iterable[Request]] = self._due
        self._keys_at = dict(keys_at or {})
        self._is_ready = is_ready

    def fit(self, width: int, height: int) -> tuple[int, int]:
        return self.size or (width, height)

    def show(self, bgr: np.ndarray, title: str) -> None:
        self.pictures.append(bgr)
        self.title = title

    def take(self, source: int, drawn: Drawn) -> None:
        self.taken.append((source, drawn))

    def tell(self, line: str) -> None:
        self.told.append(line)

    def update(self, state: Callable[[], dict[str, Any]]) -> None:
        self.states.append(state())

    def keys(self) -> list[Request]:
        return list(self.press())

    def set_full_screen(self, full: bool) -> None:
        self.is_full_screen = full

    def close(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.is_closed = True

    def _due(self) -> str:
        due = [count for count in sorted(self._keys_at) if count <= self.frames and self._is_ready()]
        return "".join(self._keys_at.pop(count) for count in due)


def livecam_threads() -> list[str]:
    """Return the names of the threads of runs that have not ended.

    The compilation's thread belongs to an explainer, which another test may have left for the garbage collector.
    """
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("livecam") and name != "livecam-compilation"]
