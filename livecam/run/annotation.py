"""A video or pictures in, explained ones out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from livecam.errors import LivecamError, ModelError, OutputError
from livecam.explain.explainer import Explainer
from livecam.explain.heat import Steadiness
from livecam.explain.motion import Carrier, MotionFinder
from livecam.ledger import Ledger
from livecam.picture.media import Media, Orientation
from livecam.render import LARGEST_VIDEO_SIDE, Layout, Renderer, Style, panels_of
from livecam.run.pipeline import Pipeline
from livecam.run.sidecars import Sidecars, write_report
from livecam.sinks import (
    EncoderOptions,
    NullSink,
    PictureSink,
    Sink,
    check_output,
    made_folder,
    open_sink,
    part_of,
    picture_outputs,
    working_files,
)
from livecam.sources import PictureSource, Source, open_source, without_file_scheme
from livecam.system.files import check_distinct, check_writable
from livecam.system.machine import versions

log = logging.getLogger("livecam")


def annotate(
    source: str | Path | Sequence[str | Path],
    output: str | Path,
    explainer: Explainer | Callable[[], Explainer],
    *,
    style: Style | None = None,
    encoder: EncoderOptions | None = None,
    overwrite: bool = False,
    every: int = 1,
    steady: bool = True,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    batch: int | None = None,
    predictions: str | Path | None = None,
    save_map: str | Path | None = None,
    report: str | Path | None = None,
    on_progress: Callable[[Ledger, int | None], None] | None = None,
) -> Ledger:
    """Explain every frame of a video, or every picture, draw the heatmaps, and write all else as it was.

    `source` is as in `open_source`. `output` is a video file for a video; for one picture a picture file or a folder
    that exists; for a folder, a pattern or a list of pictures a folder, made if missing, where they keep their names;
    "null:" writes nothing. The explainer may be a function that makes one: it is called once source and output are
    known to be good, since loading a model takes long. `style` says what is drawn, by default the heatmap over the
    frame. `encoder`, `every`, `steady`, `start_seconds` and `duration_seconds` are for videos. `batch` is how many
    frames are explained at once, by default what suits the device.

    The model explains each `every`-th frame, and the first after a cut; the others get its maps, carried along by
    optical flow (`livecam.explain.motion.Carrier`), and tell their age.

    With `steady` the heatmaps of a video do not flicker and their scale does not jump, and, where the explainer was
    made with `runner_up`, neither does the class shown between two nearly equal ones (`livecam.explain.heat`). Else
    each frame is shown by itself, as pictures always are.

    `predictions`, `save_map` and `report` are files to write, replaced where they exist: a JSON line a frame; the
    signed maps as .npy, (frames, h, w) float32 or (frames, classes, h, w), without the first axis for one picture; and
    a JSON account of the run. `on_progress` gets the ledger and the expected number of frames, None where nobody
    knows, about ten times a second.

    Returns the ledger; its `unreadable_files` are the pictures, among several, that could not be read. Raises
    LivecamError, with nothing new under the name of a video; pictures that were done stay. After KeyboardInterrupt the
    output is finished and shorter, and the interrupt is raised again.
    """
    if not (isinstance(explainer, Explainer) or callable(explainer)):
        raise ModelError(f"annotate takes an Explainer, not {type(explainer).__name__}; wrap it: Explainer(...)")
    style = style or Style()
    finder = MotionFinder()
    carrier = Carrier(every, finder)
    with ExitStack() as stack:
        frames = stack.enter_context(
            open_source(source, start_seconds=start_seconds, duration_seconds=duration_seconds)
        )
        beside = [path for path in (predictions, save_map, report) if path is not None]
        one_picture = isinstance(frames, PictureSource) and not frames.many
        largest_side = None if isinstance(frames, PictureSource) else LARGEST_VIDEO_SIDE
        if isinstance(frames, PictureSource):
            if every > 1:
                raise LivecamError("every is for videos: pictures are explained each; leave it out for pictures")
            open_output = _picture_output(stack, frames, output, beside, encoder, overwrite)
        else:
            open_output = _video_output(frames, str(source), output, beside, encoder, overwrite, style)
        if report is not None:
            check_writable(Path(report))
        sidecars = stack.enter_context(Sidecars(predictions, save_map, one_picture=one_picture))
        made = explainer if isinstance(explainer, Explainer) else explainer()
        sink = open_output(made)
        if made.explained_classes > 1 and not style.shows_all_classes:
            log.warning("the view %s shows the first of the classes; classes and tints show all", style.view)
        pipeline = Pipeline(
            frames,
            made,
            Renderer(sink.pixel_format, style, largest_side=largest_side),
            sink,
            batch=batch,
            carrier=carrier,
            steadiness=(
                Steadiness(made.heat_options, finder) if steady and not isinstance(frames, PictureSource) else None
            ),
            on_written=sidecars.add,
            on_progress=on_progress and (lambda ledger: on_progress(ledger, frames.media.expected_frames)),
        )
        try:
            return pipeline.run()
        finally:
            sidecars.keep = pipeline.finished
            if report is not None and pipeline.finished:
                write_report(Path(report), _report(pipeline.ledger, made, sink))


def _picture_output(
    stack: ExitStack,
    pictures: PictureSource,
    output: str | Path,
    beside: Sequence[str | Path],
    encoder: EncoderOptions | None,
    overwrite: bool,
) -> Callable[[Explainer], Sink]:
    """Check where pictures go, and give what opens it."""
    if encoder not in (None, EncoderOptions()):
        raise OutputError("codec, preset and crf are for videos; leave them out for pictures")
    if str(output) == "null:":
        return lambda explainer: NullSink()
    outputs = picture_outputs(pictures.paths, Path(output), pictures.many)
    check_distinct(pictures.paths, [file for path in outputs.values() for file in (path, part_of(path))], beside)
    if pictures.many:
        stack.enter_context(made_folder(Path(output)))
    sink = PictureSink(outputs, overwrite=overwrite)
    return lambda explainer: sink


def _video_output(
    video: Source,
    name: str,
    output: str | Path,
    beside: Sequence[str | Path],
    encoder: EncoderOptions | None,
    overwrite: bool,
    style: Style,
) -> Callable[[Explainer], Sink]:
    """Check where a video goes, and give what opens it for the size that the explainer's classes make."""
    check_distinct([without_file_scheme(name)], [output, *working_files(Path(output))], beside)
    check_output(output, overwrite)
    return lambda explainer: open_sink(
        output, _drawn(video.media, style, explainer), encoder=encoder, overwrite=overwrite
    )


def _drawn(media: Media, style: Style, explainer: Explainer) -> Media:
    """The facts of what is drawn: those of the source, but for the size."""
    panels = len(panels_of(style.view, explainer.explained_classes))
    orientation = Orientation.of(media.display_matrix)
    width, height = Layout.of(panels, media.width, media.height, orientation, LARGEST_VIDEO_SIDE).size
    return dataclasses.replace(media, width=width, height=height)


def _report(ledger: Ledger, explainer: Explainer, sink: Sink) -> dict[str, Any]:
    return {**ledger.report(), **explainer.report(), **sink.report(), "versions": versions()}
