"""A video in, an explained video out."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from livecam.errors import ModelError, OutputError
from livecam.explain.explainer import Explainer
from livecam.media import Media, Orientation
from livecam.pipeline import Pipeline
from livecam.records import Predictions, check_writable, write_report
from livecam.render import Layout, Renderer, Style, tiles_of
from livecam.sinks import EncoderOptions, Sink, check_output, open_sink, working_files
from livecam.sources import open_source, without_file_scheme
from livecam.stats import Ledger


def annotate(
    source: str | Path,
    output: str | Path,
    explainer: Explainer | Callable[[], Explainer],
    *,
    style: Style | None = None,
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
    called once source and output are known to be good, since loading a model takes long. `style` says what is drawn,
    by default the heatmap over the frame. `predictions` and `report` are
    files to write, replaced where they exist: a JSON line a frame, and a JSON account of the run. `on_progress` gets
    the ledger and the expected number of frames, None where nobody knows, about ten times a second.

    Returns the ledger. Raises LivecamError, with nothing new under the name of the output. After KeyboardInterrupt the
    output is a finished, shorter file, and the interrupt is raised again.
    """
    if not (isinstance(explainer, Explainer) or callable(explainer)):
        raise ModelError(f"annotate takes an Explainer, not {type(explainer).__name__}; wrap it: Explainer(...)")
    style = style or Style()
    if report is not None:
        check_writable(Path(report))
    with open_source(str(source), start_seconds=start_seconds, duration_seconds=duration_seconds) as frames:
        _check_distinct(source, output, predictions, report)
        check_output(output, overwrite)
        said = Predictions(Path(predictions)) if predictions is not None else None
        try:
            made = explainer if isinstance(explainer, Explainer) else explainer()
            sink = open_sink(output, _drawn(frames.media, style, made), encoder=encoder, overwrite=overwrite)
        except BaseException:
            if said is not None:
                said.close(keep=False)
            raise
        pipeline = Pipeline(
            frames,
            made,
            Renderer(sink.pixel_format, style),
            sink,
            on_written=said.add if said else None,
            on_progress=on_progress and (lambda ledger: on_progress(ledger, frames.media.expected_frames)),
        )
        try:
            return pipeline.run()
        finally:
            if said is not None:
                said.close(keep=pipeline.finished)
            if report is not None and pipeline.finished:
                write_report(Path(report), _report(pipeline.ledger, made, sink))


def _drawn(media: Media, style: Style, explainer: Explainer) -> Media:
    """The facts of what is drawn: those of the source, but for the size."""
    tiles = len(tiles_of(style.view, explainer.explained_classes))
    width, height = Layout.of(tiles, media.width, media.height, Orientation.of(media.display_matrix)).size
    return dataclasses.replace(media, width=width, height=height)


def _report(ledger: Ledger, explainer: Explainer, sink: Sink) -> dict[str, Any]:
    packages = ("livecam", "torch", "torchvision", "av", "opencv-python", "numpy")
    return {
        **ledger.report(),
        "model": explainer.classifier.name,
        "layer": explainer.layer,
        "method": explainer.method,
        "device": str(explainer.device),
        "precision": explainer.precision,
        "engine": "eager",
        **sink.report(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # such as opencv-python-headless in place of opencv-python
        return None


def _check_distinct(source: str | Path, output: str | Path, *records: str | Path | None) -> None:
    """No file may be read and written, or written twice, whatever it is called; working files count."""
    taken = {_identity(without_file_scheme(str(source))): "the input"}
    for path in (output, *working_files(Path(output)), *records):
        if path is None:
            continue
        identity = _identity(path)
        if identity in taken:
            raise OutputError(f"{path} would be {taken[identity]} as well; name another file")
        taken[identity] = "an output"


def _identity(path: str | Path) -> object:
    """The same for all names of one file."""
    try:
        status = Path(path).stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
