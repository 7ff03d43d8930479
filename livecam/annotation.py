"""A video in, an explained video out."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from livecam.errors import OutputError
from livecam.explain.explainer import Explainer
from livecam.frame import Explanation, Frame
from livecam.pipeline import Pipeline
from livecam.render import Renderer
from livecam.sinks import EncoderOptions, Sink, open_sink
from livecam.sources import open_source
from livecam.stats import Ledger


def annotate(
    source: str | Path,
    output: str | Path,
    explainer: Explainer | Callable[[], Explainer],
    *,
    opacity: float = 0.5,
    colormap: str = "jet",
    caption: bool = True,
    encoder: EncoderOptions | None = None,
    overwrite: bool = False,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    predictions: str | Path | None = None,
    report: str | Path | None = None,
    on_progress: Callable[[Ledger, int | None], None] | None = None,
) -> Ledger:
    """Explain every frame of a video, draw the heatmaps, and write the video again with all else as it was.

    `source` and `output` are as in `open_source` and `open_sink`. The explainer may be a function that makes one: it is
    called once source and output are known to be good, since loading a model takes long. `predictions` and `report` are
    files to write, replaced where they exist: a JSON line a frame, and a JSON account of the run. `on_progress` gets
    the ledger and the expected number of frames, None where nobody knows, about ten times a second.

    Returns the ledger. Raises LivecamError, with nothing new under the name of the output. After KeyboardInterrupt the
    output is a finished, shorter file, and the interrupt is raised again.
    """
    for path in (predictions, report):
        if path is not None:
            _check_writable(Path(path))
    with open_source(str(source), start_seconds=start_seconds, duration_seconds=duration_seconds) as frames:
        _check_distinct(source, output, predictions, report)
        sink = open_sink(output, frames.media, encoder=encoder, overwrite=overwrite)
        try:
            made = explainer if isinstance(explainer, Explainer) else explainer()
            lines = PredictionLines(Path(predictions)) if predictions is not None else None
        except BaseException:
            sink.abort()
            raise
        pipeline = Pipeline(
            frames,
            made,
            Renderer(sink.pixel_format, opacity=opacity, colormap=colormap, caption=caption),
            sink,
            on_written=lines.write if lines else None,
            on_progress=on_progress and (lambda ledger: on_progress(ledger, frames.media.expected_frames)),
        )
        try:
            return pipeline.run()
        finally:
            finished = pipeline.failed is None
            if lines is not None:
                lines.close(keep=finished)
            if report is not None and finished:
                _write_whole(Path(report), json.dumps(_report(pipeline.ledger, made, sink), indent=2) + "\n")


class PredictionLines:
    """Writes what the model said of each frame: one JSON object a line, under the final name only when all is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._file: IO[str] = self._part.open("w", encoding="utf-8")

    def write(self, frame: Frame, explanation: Explanation) -> None:
        """Add the line of a frame.

        It has the `index` of the frame, `time_seconds` in the source, the class explained, the best classes, and the
        pixel of the upright picture where the map peaks (null: no evidence).
        """
        width, height = frame.upright_size
        peak = explanation.peak
        line = {
            "index": frame.index,
            "time_seconds": frame.pts_seconds,
            "explained": {"index": explanation.index, "label": explanation.label, "score": round(explanation.score, 6)},
            "classes": [
                {"index": best.index, "label": best.label, "score": round(best.score, 6)}
                for best in explanation.predictions
            ],
            "peak": peak and {"x": round(peak[0] * width, 1), "y": round(peak[1] * height, 1)},
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self, *, keep: bool) -> None:
        """Give the file its name, or take it away."""
        self._file.close()
        if keep:
            self._part.replace(self._path)
        else:
            self._part.unlink()


def _report(ledger: Ledger, explainer: Explainer, sink: Sink) -> dict[str, Any]:
    packages = ("livecam", "torch", "torchvision", "av", "opencv-python", "numpy")
    return {
        **ledger.report(),
        "model": explainer.classifier.name,
        "layer": explainer.layer,
        "method": explainer.method,
        "device": str(explainer.device),
        "precision": "fp32",
        "engine": "eager",
        **sink.report(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # such as opencv-python-headless in place of opencv-python
        return None


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"the folder {path.parent} may not be written to; check its permissions")


def _check_distinct(source: str | Path, *outputs: str | Path | None) -> None:
    """No file may be read and written, or written twice, whatever it is called."""
    taken = {os.path.realpath(source): "the input"}
    for output in (output for output in outputs if output is not None):
        real = os.path.realpath(output)
        if real in taken:
            raise OutputError(f"{output} is {taken[real]} as well; name another file")
        taken[real] = "an output"
