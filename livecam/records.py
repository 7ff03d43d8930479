"""What is written beside a video: what the model said of each frame, and the account of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from livecam.errors import OutputError
from livecam.frame import Explanation, Frame


class TextFile:
    """A text file that has its name only when it is whole; until `close` it is `NAME.part`. Raises OutputError."""

    def __init__(self, path: Path) -> None:
        check_writable(path)
        self._path = path
        self._part = path.with_name(path.name + ".part")
        with self._errors_named():
            self._file = self._part.open("w", encoding="utf-8")

    def write(self, text: str) -> None:
        """Add text."""
        with self._errors_named():
            self._file.write(text)

    def close(self, *, keep: bool) -> None:
        """Give the file its name, or take it away, which does not raise."""
        if keep:
            with self._errors_named():
                self._file.close()
                self._part.replace(self._path)
            return
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise OutputError(f"cannot write {self._path}: {exc.strerror}") from exc


class Predictions(TextFile):
    """A JSON object a line, one for each frame."""

    def add(self, frame: Frame, explanation: Explanation) -> None:
        """Add the line of a frame.

        It has the `index` of the frame, `time_seconds` in the source, the classes `explained`, each with the pixel of
        the upright picture where its map peaks (null: no evidence), and the model's best `classes`.
        """
        line = {
            "index": frame.index,
            "time_seconds": frame.pts_seconds,
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
        self.write(json.dumps(line, ensure_ascii=False) + "\n")


def _in_pixels(peak: tuple[float, float] | None, frame: Frame) -> dict[str, float] | None:
    width, height = frame.upright_size
    return peak and {"x": round(peak[0] * width, 1), "y": round(peak[1] * height, 1)}


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write plain data as JSON. Raises OutputError."""
    file = TextFile(path)
    file.write(json.dumps(report, indent=2) + "\n")
    file.close(keep=True)


def check_writable(path: Path) -> None:
    """Whether a file can be put there, before the work begins. Raises OutputError."""
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is {'a folder' if path.is_dir() else 'no file'}; name a file")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"the folder {path.parent} may not be written to; check its permissions")
