"""The function behind `livecam annotate`: explains videos and pictures and writes annotated copies."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from livecam.errors import LivecamError
from livecam.explain.heat import Steadiness
from livecam.explain.motion import Carrier, MotionFinder
from livecam.explanation import Explanation
from livecam.ledger import FILE, Ledger
from livecam.models.identity import identity
from livecam.names import VIEWS
from livecam.picture.frame import Frame
from livecam.picture.media import Media, Orientation
from livecam.render import LARGEST_VIDEO_SIDE, Renderer, Style, drawn_size
from livecam.run.manifest import Manifest
from livecam.run.plan import as_shown, planned
from livecam.run.runs import Options, Run
from livecam.run.sidecars import Sidecars, write_report
from livecam.sinks import EncoderOptions
from livecam.sources import one_input
from livecam.sources.demo import DEMO
from livecam.system.background import interruptible
from livecam.system.machine import versions
from livecam.system.stores import AnyPath, path_of

if TYPE_CHECKING:  # it imports torch, which takes seconds: what needs no model is checked before
    from torch import nn
    from torch.export import ExportedProgram

    from livecam.explain.explainer import Explainer
    from livecam.models.classifier import Classifier

log = logging.getLogger("livecam")

OnProgress = Callable[[Ledger, int | None], None]


def annotate(
    source: str | Path | Sequence[str | Path],
    output: str | Path,
    explainer: str | nn.Module | ExportedProgram | Classifier | Explainer | Callable[[], Explainer],
    *,
    style: Style | None = None,
    encoder: EncoderOptions | None = None,
    overwrite: bool = False,
    resume: bool = False,
    every: int = 1,
    stride: int | None = None,
    steady: bool = True,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    stream: int | None = None,
    fps: Fraction | float | None = None,
    max_megapixels: float | None = None,
    insecure: bool = False,
    batch: int | None = None,
    predictions: str | Path | None = None,
    save_map: str | Path | None = None,
    report: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> Ledger:
    """Explain every frame of a video, or every picture, and write a copy with the heatmaps drawn.

    A video keeps its sound, timestamps and metadata. After KeyboardInterrupt the output is completed with the frames so
    far, and the interrupt is raised again.

    Args:
        source: A video, a picture, or a folder, a pattern or a list of pictures, as in `open_source`.
        output: A video file for a video; for one picture a picture file, or a folder that exists; for several pictures
            a folder, created if missing, in which they keep their names. "null:" writes nothing.
        explainer: The explainer; a model or its name, as an `Explainer` takes it; or a function that creates the
            explainer. Since loading a model takes long, it is loaded only after source and output have been checked.
        style: What is drawn; by default the heatmap over the frame.
        encoder: How a video is encoded.
        overwrite: Replace outputs where they exist.
        resume: Into a folder: leave out the pictures that an earlier call with `resume` has done, unless the picture,
            an option, the model or livecam has changed since. The model has to be given by its name.
        every: Explain each `every`-th frame of a video, and the first after a cut. The frames between show its maps,
            moved along with the picture by optical flow, and their age.
        stride: By a model that sees clips, explain a clip each `stride` frames; each frame shows the map of its own
            time, from the clip whose middle is nearest. By default the frames of one time cell of the model.
        steady: Keep the heatmaps of a video from flickering and their scale from jumping; if the explainer has a
            `runner_up`, also keep the class from alternating between two nearly equal ones. Still pictures are not
            affected.
        start_seconds: Where to begin in a video.
        duration_seconds: How much of a video to take; None for all of it.
        stream: Which stream of a video file to explain, as in `open_source`.
        fps: The frames per second of numbered pictures; by default 25.
        max_megapixels: Refuse a video with larger pictures; by default 70.
        insecure: Do not check the certificate of the server of a URL.
        batch: How many frames are explained at once; by default a number that suits the device.
        predictions: A file with one JSON line per frame. This file and the next two are replaced if they exist.
        save_map: A file for the signed maps, .npy, float32: (frames, h, w), or (frames, classes, h, w) for several
            classes; without the first axis for one picture.
        report: A JSON file for the ledger of the run.
        on_progress: Called about ten times a second with the ledger and the expected number of frames, or None if
            unknown.

    Returns:
        The ledger of the run. Its `failed_files` are those of several pictures that could not be read or written.

    Raises:
        LivecamError: The run failed. No video is written under the output's name; pictures that were completed are
            kept.
    """
    from livecam.explain.explainer import maker_of

    options = Options(
        style=style or Style(),
        encoder=encoder or EncoderOptions(),
        overwrite=overwrite,
        resume=resume,
        every=every,
        stride=stride,
        steady=steady,
        start_seconds=start_seconds,
        duration_seconds=duration_seconds,
        stream=stream,
        fps=None if fps is None else Fraction(fps),
        max_megapixels=max_megapixels,
        insecure=insecure,
        batch=batch,
        predictions=predictions,
        save_map=save_map,
        report=report,
    )
    manifest = _manifest(path_of(output), explainer) if resume else nullcontext()
    inputs = as_shown([one_input(source)], str(output))
    with manifest as known, planned(inputs, str(output), options, known) as (run,):
        if run.done and not run.names and not run.refused:
            return Ledger(FILE, f"{len(run.done)} inputs done before")
        make = maker_of(explainer, runner_up=steady and not run.is_still)
        return carry_out(run, make, on_progress=on_progress)


def _manifest(folder: AnyPath, explainer: object) -> Manifest:
    """Return the manifest of a folder for what a model, given by its name, explains. Raises LivecamError."""
    if not isinstance(explainer, str):
        raise LivecamError("resume needs the name of a model: of an object livecam cannot tell if it has changed")
    return Manifest(folder, partial(identity, {"model": explainer}))


def carry_out(run: Run, make: Callable[[], Explainer], *, on_progress: OnProgress | None = None) -> Ledger:
    """Execute one run of a plan with the explainer that `make` returns; the rest is as in `annotate` and `Pipeline`."""
    options = run.options
    finder = MotionFinder()
    carrier = Carrier(options.every, finder)
    largest_side = None if run.is_still else LARGEST_VIDEO_SIDE
    one_picture = run.is_still and not run.input.many
    with (
        interruptible(run.open_source) as source,
        Sidecars(options.predictions, options.save_map, one_picture=one_picture) as sidecars,
    ):

        def entry(frame: Frame, explanation: Explanation) -> Callable[[], None]:
            add_to_sidecars, path = sidecars.entry(frame, explanation), frame.path

            def add() -> None:
                add_to_sidecars()
                if run.is_still:
                    run.record([str(path)], pipeline.ledger)

            return add

        made = make()
        if run.input.kind is not DEMO:
            made.tell_limits()
        from livecam.run.clips import window_for  # with torch, which `make` has imported
        from livecam.run.pipeline import Pipeline

        _check_clips(made, run)
        window = window_for(made, source.media, source.name, options.stride)
        run.begin()  # before there is a part, which nobody would know if the process is killed
        sink = run.open_sink(_drawn(source.media, options.style, made, largest_side))
        if made.explained_classes > 1 and not options.style.shows_all_classes:
            all_classes = " and ".join(name for name in VIEWS if Style(name).shows_all_classes)
            log.warning("the view %s shows only the first class; %s show all", options.style.view, all_classes)
        pipeline = Pipeline(
            source,
            made,
            Renderer(sink.pixel_format, options.style, largest_side=largest_side),
            sink,
            batch=options.batch,
            carrier=carrier,
            window=window,
            steadiness=Steadiness(made.heat_options, finder) if options.steady and not run.is_still else None,
            separate=run.is_still and run.input.many,
            entry=entry,
            on_progress=on_progress and (lambda ledger: on_progress(ledger, source.media.expected_frames)),
        )
        pipeline.ledger.failed_files.update({name: str(exc) for name, exc in run.refused.items()})
        try:
            ledger = pipeline.run()
            if not run.is_still:
                run.record(run.names, ledger)
            return ledger
        finally:
            sidecars.keep = pipeline.finished
            if options.report is not None and pipeline.finished:
                account = {**pipeline.ledger.report(), **made.report(), **sink.report(), "versions": versions()}
                if run.done:
                    account["done_before"] = run.counts_before
                write_report(path_of(options.report), account)


def _check_clips(explainer: Explainer, run: Run) -> None:
    """Check that a model of clips gets a video. Raises LivecamError."""
    from livecam.explain.time_cells import check_takes_pictures  # with torch, as above

    if run.is_still:
        check_takes_pictures(explainer.classifier)
    if explainer.clip_frames > 1 and run.options.every > 1:
        raise LivecamError(f"every is for models of single frames; for {explainer.classifier.name}, say stride")


def _drawn(media: Media, style: Style, explainer: Explainer, largest_side: int | None) -> Media:
    """Return the facts of the drawn pictures: those of the source, with the drawn size."""
    classes, orientation = explainer.explained_classes, Orientation.of(media.display_matrix)
    width, height = drawn_size(style, classes, media.width, media.height, orientation, largest_side)
    is_one_panel = (width, height) == (media.width, media.height)
    projection = media.projection if is_one_panel else b""  # panels side by side are no sphere
    return dataclasses.replace(media, width=width, height=height, projection=projection)
