"""The sidecar files of an output: predictions, maps, and the report of the run."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from livecam.errors import OutputError
from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.system.files import AtomicFile, write_whole
from livecam.system.stores import AnyPath, path_of
from livecam.text import spans_of

log = logging.getLogger("livecam")

_NPY_HEADER_BYTES = 128


def described(frame: Frame, explanation: Explanation) -> dict[str, Any]:
    """Describe what the model said about a frame, as plain data for JSON.

    It has the `index` of the frame, the `path` of a still picture, `time_seconds` in the source, `age_frames` and
    `age_seconds` since the frame that the model saw (0 if it saw this one), the classes `explained`, each with the
    pixel of the upright picture where its map peaks (null: no evidence), and the model's best `classes`. A group has no
    `index` (null) but `members`, such as "151-268". Scores that are no probabilities have a `unit`, which may be empty.
    If the user chose a point, it is the pixel `point`. If the model detects objects, there are `boxes` in pixels, the
    most probable first, and each of the `explained` has the ranks of its own, from 1. If the model saw a clip,
    `clip_frames` are the index of its first and of its last frame, and `cell_frames` those of the time cell that the
    maps are of.
    """
    return {
        "index": frame.index,
        **({} if frame.path is None else {"path": str(frame.path)}),
        "time_seconds": frame.pts_seconds,
        "age_frames": explanation.age_frames,
        "age_seconds": None if explanation.age_seconds is None else round(explanation.age_seconds, 6),
        **({} if explanation.clip_frames is None else _spans(explanation)),
        **_unit(explanation),
        **({} if explanation.point is None else {"point": _in_pixels(explanation.point, frame)}),
        "explained": [
            {
                "index": None if one.members else one.index,
                **({"members": spans_of(one.members)} if one.members else {}),
                "label": one.label,
                "score": round(one.score, 6),
                "peak": _in_pixels(explanation.peak_of(one), frame),
                **({"boxes": [explanation.boxes.index(box) + 1 for box in one.boxes]} if explanation.detects else {}),
            }
            for one in explanation.classes
        ],
        "classes": [
            {"index": best.index, "label": best.label, "score": round(best.score, 6)}
            for best in explanation.predictions
        ],
        **({"boxes": _boxes(explanation, frame)} if explanation.detects else {}),
    }


def _spans(explanation: Explanation) -> dict[str, Any]:
    return {"clip_frames": explanation.clip_frames, "cell_frames": explanation.cell_frames}


def _boxes(explanation: Explanation, frame: Frame) -> list[dict[str, Any]]:
    width, height = frame.upright_size
    return [
        {
            "index": box.index,
            "label": box.label,
            "score": round(box.score, 6),
            "left": round(box.left * width, 1),
            "top": round(box.top * height, 1),
            "right": round(box.right * width, 1),
            "bottom": round(box.bottom * height, 1),
        }
        for box in explanation.boxes
    ]


def _unit(explanation: Explanation) -> dict[str, str]:
    unit = "share of the picture" if explanation.are_shares else explanation.unit
    return {} if unit is None else {"unit": unit}


def _in_pixels(peak: tuple[float, float] | None, frame: Frame) -> dict[str, float] | None:
    width, height = frame.upright_size
    return peak and {"x": round(peak[0] * width, 1), "y": round(peak[1] * height, 1)}


class Predictions(AtomicFile):
    """A file with one JSON object per line, one line per frame."""

    def entry(self, frame: Frame, explanation: Explanation, **more: Any) -> Callable[[], None]:
        """Return what adds the line of a frame: the result of `described`, and `more` plain data."""
        line = json.dumps({**described(frame, explanation), **more}, ensure_ascii=False)
        # A byte of a file's name that is no UTF-8 becomes an escape of JSON.
        return partial(self.write, line.encode("utf-8", "backslashreplace") + b"\n")

    def rescue(self) -> None:
        """Close the unfinished file, and leave its part for the user if there is a line in it. Does not raise."""
        if self.leave():
            log.warning("%s holds the predictions up to there", self.part)


class Maps(AtomicFile):
    """A file of signed maps in NumPy's .npy format: float32, (frames, classes, h, w).

    The axis of classes is omitted if there is only one, the axis of frames for `one_picture`.
    """

    def __init__(self, path: AnyPath, *, one_picture: bool) -> None:
        super().__init__(path)
        self._one_picture = one_picture
        self._frames = 0
        self._shape: tuple[int, ...] = ()
        self.write(bytes(_NPY_HEADER_BYTES))

    def entry(self, frame: Frame, explanation: Explanation, **more: Any) -> Callable[[], None]:
        """Return what adds the maps of a frame."""
        return partial(self._add, np.stack([one.cam for one in explanation.classes]))

    def _add(self, maps: np.ndarray) -> None:
        self._shape = maps.shape if len(maps) > 1 else maps.shape[1:]
        self._frames += 1
        self.write(maps.astype("<f4").tobytes())

    def commit(self) -> None:
        """Write the final shape, known only now, into the header, and give the file its name."""
        self._write_header()
        super().commit()

    def rescue(self) -> None:
        """Close the unfinished file, and leave its part for the user if there is a map in it. Does not raise."""
        if not self._frames:
            self.discard()
            return
        with suppress(OutputError):
            self._write_header()
        if self.leave():
            log.warning("%s holds the maps up to there", self.part)

    def _write_header(self) -> None:
        self.write_at_start(_npy_header(self._shape if self._one_picture else (self._frames, *self._shape)))


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """Return a .npy header of fixed length. NumPy pads headers to multiples of 64 bytes; up to four axes need 128."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    assert header.tell() == _NPY_HEADER_BYTES
    return header.getvalue()


class Sidecars:
    """The files with an entry for each frame, opened together.

    They get their names only if `keep` is set on closing; else their parts are left for the user.
    """

    def __init__(self, predictions: str | Path | None, maps: str | Path | None, *, one_picture: bool) -> None:
        self.keep = False
        self._files: list[Predictions | Maps] = []
        try:
            if predictions is not None:
                self._files.append(Predictions(path_of(predictions)))
            if maps is not None:
                self._files.append(Maps(path_of(maps), one_picture=one_picture))
        except BaseException:
            self._close()
            raise

    def add(self, frame: Frame, explanation: Explanation, **more: Any) -> None:
        """Add the entries of a frame; `more` is plain data for its line of the predictions."""
        self.entry(frame, explanation, **more)()

    def entry(self, frame: Frame, explanation: Explanation, **more: Any) -> Callable[[], None]:
        """Return what adds the entries of a frame; it does not keep the picture."""
        entries = [file.entry(frame, explanation, **more) for file in self._files]

        def add() -> None:
            for each in entries:
                each()

        return add

    def __enter__(self) -> Sidecars:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()

    def _close(self) -> None:
        with ExitStack() as each:  # closed even if another file raises
            for file in self._files:
                each.callback(self._end, file)

    def _end(self, file: Predictions | Maps) -> None:
        if not self.keep:
            file.rescue()
            return
        try:
            file.commit()
        except OutputError:
            file.rescue()
            raise


def write_report(path: AnyPath, report: dict[str, Any]) -> None:
    """Write plain data as JSON. Raises OutputError."""
    write_whole(path, json.dumps(report, indent=2).encode() + b"\n")
