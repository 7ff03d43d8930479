"""`livecam annotate`."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click import Option

from livecam.cli.batch import Batch, one_by_one
from livecam.cli.cluster import CLUSTER, CLUSTER_OPTION_NAMES, check_cluster, on_cluster
from livecam.cli.errors import EXIT_ERROR, ends_well
from livecam.cli.loading import check_only_file, load_explainer, loading
from livecam.cli.options import (
    BATCH,
    DRAWING,
    DRAWING_OPTION_NAMES,
    FILE,
    INSECURE,
    MAX_MEGAPIXELS,
    METRICS,
    MODEL_SECTIONS,
    OVERWRITE,
    PREDICTIONS,
    REPORT,
    SPEED,
    STEADY,
    STREAM,
    STRIDE,
    Command,
    OneShard,
    Rate,
    Seconds,
    Section,
    explainer_arguments,
    taken,
)
from livecam.cli.settings import is_typed
from livecam.cli.terminal import Progress
from livecam.cli.watching import check_watched, watch
from livecam.run.shards import shard_of_slurm, tell_array
from livecam.system.stores import path_of

if TYPE_CHECKING:
    from livecam.explain.explainer import Explainer
    from livecam.ledger import Ledger
    from livecam.run.runs import Run
    from livecam.sources import Input

log = logging.getLogger("livecam")

OUTPUT = Option(
    ["-o", "--output"],
    type=FILE,
    metavar="OUTPUT",
    help="The output: a file, a folder for several inputs, either of them also in an object store "
    "(s3://bucket/explained/), a stream such as rtsp://host/path, or null: to write nothing.",
)
MANY = Section(
    "Many inputs",
    (
        Option(
            ["--resume"],
            is_flag=True,
            help="Go on where an earlier run into the same folder ended: do what is not done, or has changed since.",
        ),
        Option(
            ["--watch"],
            is_flag=True,
            help="Go on with the files that arrive in the folders, each once it is whole, until Ctrl-C; resumes, too.",
        ),
        Option(
            ["--shard"],
            type=OneShard(),
            help="Do one of several shares of the inputs, such as 3/40. auto takes it from the variables of a SLURM "
            "job array.",
        ),
    ),
)
VIDEOS = Section(
    "Videos",
    (
        Option(
            ["--start", "start_seconds"],
            type=Seconds(min=0),
            default=0,
            metavar="SECONDS",
            help="Begin at this time of the video.",
        ),
        Option(
            ["--duration", "duration_seconds"],
            type=Seconds(min=0, min_open=True),
            metavar="SECONDS",
            show_default="to the end",
            help="Take this much of the video.",
        ),
        STREAM,
        Option(
            ["--fps"],
            type=Rate(),
            metavar="RATE",
            show_default="25",
            help="Show this many numbered pictures per second, as a number or a fraction.",
        ),
        MAX_MEGAPIXELS,
        Option(
            ["--every"],
            type=click.IntRange(min=1),
            default=1,
            metavar="N",
            help="Explain every Nth frame; the frames between show its map, moved along with the picture, and its age.",
        ),
        STRIDE,
        STEADY,
        INSECURE,
    ),
)
ENCODER = Section(
    "Video encoder",
    (
        Option(
            ["--codec"],
            metavar="NAME",
            show_default="libx264; libvpx-vp9 for .webm",
            help="The encoder, by the name that FFmpeg gives it.",
        ),
        Option(
            ["--preset"],
            metavar="NAME",
            show_default="veryfast for libx264",
            help="The encoder's preset: a faster one makes larger files.",
        ),
        Option(
            ["--crf"],
            type=float,
            metavar="NUMBER",
            show_default="23 for libx264",
            help="The quality, as a constant rate factor; lower is better.",
        ),
    ),
)
OF_VIDEOS = ("every", "stride", "codec", "preset", "crf")
OF_SOME_INPUTS = {"every": 1, **dict.fromkeys(("fps", "max_megapixels", "stride", "codec", "preset", "crf"))}
"""Options that are not for all kinds of inputs, with their defaults."""
MAPS = Option(
    ["--save-map"],
    type=FILE,
    metavar="FILE.npy",
    help="Write the signed maps as a NumPy array; replaces an existing file.",
)


@click.command(
    "annotate",
    cls=Command,
    sections=[
        Section("Output", (OUTPUT, OVERWRITE)),
        MANY,
        CLUSTER,
        *MODEL_SECTIONS,
        DRAWING,
        VIDEOS,
        ENCODER,
        Section("Sidecar files", (PREDICTIONS, MAPS, REPORT)),
        Section("Service", (METRICS,)),
        Section(SPEED.title, (*SPEED.options, BATCH)),
    ],
)
@click.argument("sources", type=FILE, metavar="INPUT...", nargs=-1, required=True)
@ends_well
def annotate_command(sources: tuple[str, ...], output: str | None, **options: Any) -> int | None:
    """Draw what the model looks at into videos and pictures.

    INPUT is a picture, a video file, a folder of these, a pattern such as '*.jpg' or '**/*.jpg', any of these in an
    object store (s3://bucket/photos/, gs://, az://, hf://), the URL of a video,
    numbered pictures such as img_%04d.png for a video, - for a video from standard input, or
    demo:?size=1280x720&fps=30&seconds=10&seed=1&shapes=2 for a generated scene (demo:motion for one in which one shape
    at a time moves).

    One input becomes one file: a .jpg, .png, .webp, .tif or .bmp picture, or a .mp4, .m4v, .mov, .mkv or .webm video.
    A folder, a pattern or several inputs become files of the same names in a folder. Without -o, clip.mp4 becomes
    clip_livecam.mp4, photos/ becomes photos_livecam/, and several inputs go to livecam_output/. A video keeps its
    sound, timestamps, colours and metadata.
    """
    model = explainer_arguments(options, sources)
    cluster = taken(options, CLUSTER_OPTION_NAMES)
    check_cluster(cluster, options, sources, model["device"])
    check_only_file(sources)
    if options["shard"] == "auto":
        options["shard"] = shard_of_slurm(os.environ)

    with loading(model["model"]):  # from here on, so that a terminal shows at once that something is done
        from livecam.cli.batch_metrics import BatchMetrics
        from livecam.models.identity import identity
        from livecam.render import Style
        from livecam.run.annotation import carry_out
        from livecam.run.manifest import Manifest
        from livecam.run.metrics import metrics_served
        from livecam.run.plan import as_shown, default_output, planned
        from livecam.run.runs import Options
        from livecam.sinks import EncoderOptions
        from livecam.sources import VIDEO, Input, find_inputs

    progress = Progress()
    address = options.pop("metrics")
    if is_watch := options.pop("watch"):
        inputs = [Input(VIDEO, sources, many=True)]  # and pictures, for which options of videos are left out
    else:
        inputs = as_shown(find_inputs(sources if len(sources) > 1 else sources[0]), output)
    if not options["shard"] and any(each.many for each in inputs):
        tell_array(os.environ)
    _drop_unsuited(options, inputs)
    runner_up = options["steady"] and not all(each.kind.is_still for each in inputs)  # pictures are shown by themselves
    explainer = Shared(partial(load_explainer, **model, runner_up=runner_up, on_forwards=progress.on_forwards))
    style = Style(**taken(options, DRAWING_OPTION_NAMES))
    encoder = EncoderOptions(**taken(options, ("codec", "preset", "crf")))

    def annotate(run: Run) -> Ledger:
        with progress.of("pictures" if run.is_still else "frames"):
            ledger = carry_out(run, explainer, on_progress=progress)
        log.debug("%s", ", ".join(f"{key} {value}" for key, value in explainer().report().items() if value))
        log.debug("milliseconds a frame: %s", _medians(ledger))
        return ledger

    planning = Options(style=style, encoder=encoder, **options)
    if cluster["on"] is None:
        execute = one_by_one(annotate, lambda: progress.ledger, lambda exc: exc is explainer.error)
    else:
        execute = on_cluster(**cluster, explainer={**model, "runner_up": runner_up})
    metrics = BatchMetrics(lambda: progress.ledger, explainer.report)
    is_shared = cluster["on"] is not None
    batch = Batch(metrics.counting(execute), sums_up=is_shared, on_refused=metrics.count_refused)
    output = output or default_output(sources, inputs)
    with Manifest(path_of(output), partial(identity, model)) as manifest, metrics_served(address, metrics.collect):
        if is_watch:
            check_watched(sources, output, planning)
            explainer()  # so that what is wrong with it is told before a file arrives
            watch(sources, output, planning, manifest, batch)
        with planned(inputs, output, planning, manifest) as runs:
            is_one = cluster["on"] is None and len(runs) == 1
            return None if (batch.run(runs) if is_one else _run_reported(batch, runs)) else EXIT_ERROR


def _run_reported(batch: Batch, runs: Sequence[Run]) -> bool:
    """Do several runs, and write one report of all if one was asked for."""
    from livecam.run.sidecars import write_report
    from livecam.system.machine import versions

    report = next((run.options.report for run in runs), None)
    try:
        return batch.run([replace(run, options=replace(run.options, report=None)) for run in runs])
    finally:
        if report is not None:
            write_report(path_of(report), {**batch.report(), "versions": versions()})


def _drop_unsuited(options: dict[str, Any], inputs: Sequence[Input]) -> None:
    """Drop settings that are not for these inputs. They are for others, unless they were typed for these."""
    videos = [each.kind for each in inputs if not each.kind.is_still]
    for name, default in OF_SOME_INPUTS.items():
        suits = videos and (name in OF_VIDEOS or all(name in kind.options for kind in videos))
        if not suits and not is_typed(name):
            options[name] = default


def _medians(ledger: Ledger) -> str:
    times = ledger.report()["stages_ms"]
    return ", ".join(f"{stage} {times[stage]['p50']:.1f}" for stage in times if times[stage])


class Shared:
    """Makes the explainer for all runs, when the first of them needs it. `error` is why it cannot be made."""

    def __init__(self, make: Callable[[], Explainer]) -> None:
        self.error: BaseException | None = None
        self._make = functools.cache(make)
        self._made: Explainer | None = None

    def __call__(self) -> Explainer:
        try:
            self._made = self._make()
        except BaseException as exc:
            self.error = exc
            raise
        return self._made

    def report(self) -> dict[str, Any]:
        """Return the report of the explainer; nothing before it is made."""
        return self._made.report() if self._made is not None else {}
