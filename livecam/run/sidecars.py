"""What is written beside videos and pictures: what the model said, the maps, and the account of the run."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from livecam.errors import OutputError
from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.system.files import check_writable

_NPY_HEADER_BYTES = 128


class Record:
    """A file that has its name only when it is whole; until `close` it is `NAME.part`. Raises OutputError."""

    def __init__(self, path: Path) -> None:
        check_writable(path)
        self._path = path
        self._part = path.with_name(path.name + ".part")
        with self._errors_named():
            self._file = self._part.open("wb")

    def write(self, content: bytes) -> None:
        """Go on with this."""
        with self._errors_named():
            self._file.write(content)

    def close(self, *, keep: bool) -> None:
        """Give the file its name; or, also where that fails, take it away."""
        try:
            if keep:
                with self._errors_named():
                    self._complete()
                    self._file.close()
                    self._part.replace(self._path)
        finally:
            with suppress(OSError):
                self._file.close()
            self._part.unlink(missing_ok=True)

    def _complete(self) -> None:
        """What is left to be written when nothing more will come."""

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise OutputError(f"cannot write {self._path}: {exc.strerror}") from exc


class Predictions(Record):
    """A JSON object a line, one for each frame."""

    def add(self, frame: Frame, explanation: Explanation, **more: Any) -> None:
        """Add the line of a frame: what `described` says, and `more` plain data."""
        self.write(json.dumps({**described(frame, explanation), **more}, ensure_ascii=False).encode() + b"\n")


def described(frame: Frame, explanation: Explanation) -> dict[str, Any]:
    """What the model said of a frame, as plain data for JSON.

    It has the `index` of the frame, the `path` of a still picture, `time_seconds` in the source, `age_frames` and
    `age_seconds` since the frame that the model saw (0 where it is this one), the classes `explained`, each with
    the pixel of the upright picture where its map peaks (null: no evidence), and the model's best `classes`.
    """
    return {
        "index": frame.index,
        **({} if frame.path is None else {"path": str(frame.path)}),
        "time_seconds": frame.pts_seconds,
        "age_frames": explanation.age_frames,
        "age_seconds": None if explanation.age_seconds is None else round(explanation.age_seconds, 6),
        "explained": [
            {
                "index": one.index,
                "label": one.label,
                "score": round(one.score, 6),
                "peak": _in_pixels(explanation.peak_of(one), frame),
            }
            for one in explanation.classes
        ],
        "classes": [
            {"index": best.index, "label": best.label, "score": round(best.score, 6)}
            for best in explanation.predictions
        ],
    }


def _in_pixels(peak: tuple[float, float] | None, frame: Frame) -> dict[str, float] | None:
    width, height = frame.upright_size
    return peak and {"x": round(peak[0] * width, 1), "y": round(peak[1] * height, 1)}


class Maps(Record):
    """The signed maps as NumPy's .npy, float32: (frames, classes, h, w), the classes' axis only if there are several.

    Those of `one_picture` go without the frames' axis.
    """

    def __init__(self, path: Path, *, one_picture: bool) -> None:
        if path.suffix.lower() != ".npy":
            raise OutputError(f"{path}: the ending of a file of maps has to be .npy")
        super().__init__(path)
        self._one_picture = one_picture
        self._frames = 0
        self._shape: tuple[int, ...] = ()
        self.write(bytes(_NPY_HEADER_BYTES))

    def add(self, frame: Frame, explanation: Explanation, **more: Any) -> None:
        """Add the maps of a frame."""
        maps = np.stack([one.cam for one in explanation.classes])
        self._shape = maps.shape if len(maps) > 1 else maps.shape[1:]
        self._frames += 1
        self.write(maps.astype("<f4").tobytes())

    def _complete(self) -> None:
        """Name the shape in the header, which is known only now."""
        self._file.seek(0)
        self._file.write(_npy_header(self._shape if self._one_picture else (self._frames, *self._shape)))


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """NumPy pads it to multiples of 64 bytes; every shape of up to four axes takes two of these."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    assert header.tell() == _NPY_HEADER_BYTES
    return header.getvalue()


class Sidecars:
    """All the records that have an entry for each frame, opened together, kept together if `keep` is set."""

    def __init__(self, predictions: str | Path | None, maps: str | Path | None, *, one_picture: bool) -> None:
        self.keep = False
        self._files: list[Predictions | Maps] = []
        try:
            if predictions is not None:
                self._files.append(Predictions(Path(predictions)))
            if maps is not None:
                self._files.append(Maps(Path(maps), one_picture=one_picture))
        except BaseException:
            self._close()
            raise

    def add(self, frame: Frame, explanation: Explanation, **more: Any) -> None:
        """Add the entries of a frame; `more` plain data is for the predictions."""
        for file in self._files:
            file.add(frame, explanation, **more)

    def __enter__(self) -> Sidecars:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()

    def _close(self) -> None:
        with ExitStack() as each:  # gets its turn, whatever another raises
            for file in self._files:
                each.callback(file.close, keep=self.keep)


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write plain data as JSON. Raises OutputError."""
    write_whole(path, json.dumps(report, indent=2).encode() + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there. Raises OutputError."""
    file = Record(path)
    try:
        file.write(content)
    except BaseException:
        file.close(keep=False)
        raise
    file.close(keep=True)
