"""`livecam annotate`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from livecam.cli.errors import EXIT_ERROR, ends_well
from livecam.cli.options import (
    DRAWING_OPTION_NAMES,
    MODEL_OPTION_NAMES,
    drawing_options,
    model_options,
    steady_option,
    taken,
)
from livecam.cli.terminal import Progress
from livecam.errors import InputError, some_of
from livecam.system.files import part_of

if TYPE_CHECKING:
    from livecam.ledger import Ledger
    from livecam.run.plan import Run


@click.command("annotate")
@click.argument("sources", metavar="INPUT...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="OUTPUT", help="A file, a folder for several, or null: to write nothing.")
@model_options
@drawing_options
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Explain every Nth frame of a video; those between get its map, moved along with the picture, and its age.",
)
@steady_option
@click.option("--codec", help="The video encoder.  [default: libx264; libvpx-vp9 for .webm]")
@click.option("--preset", help="The encoder's speed.  [default: veryfast for libx264]")
@click.option("--crf", type=float, help="The encoder's quality, lower is better.  [default: 23 for libx264]")
@click.option("--overwrite", is_flag=True, help="Replace outputs where they exist.")
@click.option(
    "--start", "start_seconds", type=click.FloatRange(min=0), default=0.0, help="Begin a video there, in seconds."
)
@click.option(
    "--duration",
    "duration_seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Take only so many seconds of a video.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Explain so many frames at once.  [default: what is fastest on the device]",
)
@click.option(
    "--predictions",
    metavar="FILE.jsonl",
    help="Write what the model says, a JSON line a frame; replaced where it exists.",
)
@click.option(
    "--save-map", metavar="FILE.npy", help="Write the signed maps, as NumPy reads them; replaced where it exists."
)
@click.option("--report", metavar="FILE.json", help="Write an account of the run; replaced where it exists.")
@ends_well
def annotate_command(sources: tuple[str, ...], output: str | None, **options: Any) -> None:
    """Explain every frame of a video, or pictures, and write them again, heatmaps drawn in, all else as it was.

    INPUT is a picture, a video file, a folder of these, a pattern such as '*.jpg' or '**/*.jpg', a URL of a video, or
    demo:?size=1280x720&fps=30&seconds=10&seed=1&shapes=2 for a generated scene.

    One input becomes a file: a .jpg, .png, .webp, .tif or .bmp picture, a .mp4, .m4v, .mov, .mkv or .webm video. A
    folder, a pattern or several inputs go to a folder, where they keep their names. Without -o the output is named
    after the input: clip.mp4 becomes clip_livecam.mp4, photos/ becomes photos_livecam/, several go to livecam_output/.
    """
    from livecam.explain.explainer import Explainer
    from livecam.render import Style
    from livecam.run.annotation import carry_out
    from livecam.run.plan import Options, default_output, planned
    from livecam.sinks import EncoderOptions
    from livecam.sources import find_inputs

    progress = Progress()
    inputs = find_inputs(sources if len(sources) > 1 else sources[0])
    model = taken(options, MODEL_OPTION_NAMES)
    runner_up = options["steady"] and not all(each.kind.is_still for each in inputs)  # pictures are shown by themselves
    make_explainer = partial(Explainer, **model, runner_up=runner_up, on_forwards=progress.on_forwards)
    explainer = functools.cache(make_explainer)  # one for all runs
    style = Style(**taken(options, DRAWING_OPTION_NAMES))
    encoder = EncoderOptions(**taken(options, ("codec", "preset", "crf")))

    def annotated(run: Run) -> Ledger:
        with progress.of("pictures" if run.is_still else "frames"), _interrupt_told(run, progress):
            return carry_out(run, explainer, on_progress=progress)

    planning = Options(style=style, encoder=encoder, **options)
    with planned(inputs, output or default_output(sources, inputs), planning) as runs:
        outcomes = [_outcome(run, annotated, is_last_word=len(runs) == 1) for run in runs]
    failed = [name for outcome in outcomes for name in outcome.failed]
    if failed:
        total = sum(len(each.names) for each in inputs)
        click.echo(f"livecam: {len(failed)} of {total} inputs failed: {some_of(failed)}", err=True)
    if failed or not all(outcome.complete for outcome in outcomes):
        sys.exit(EXIT_ERROR)


@contextmanager
def _interrupt_told(run: Run, progress: Progress) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if progress.ledger is not None:
            click.echo(f"{run.output}: stopped, {progress.ledger.line()}", err=True)
        if (part := part_of(Path(run.output))).exists():
            click.echo(f"livecam: given up; {part} plays up to there", err=True)
        raise


class Outcome(NamedTuple):
    """What came of a run: whether all went well, and which inputs came to nothing."""

    complete: bool
    failed: Sequence[str] = ()


def _outcome(run: Run, annotated: Callable[[Run], Ledger], *, is_last_word: bool) -> Outcome:
    """Do a run and tell of it; an input that cannot be read only ends everything where there is nothing else."""
    try:
        ledger = annotated(run)
    except InputError as exc:
        if is_last_word:
            raise
        click.echo(f"livecam: {exc}", err=True)
        return Outcome(False, run.input.names)
    click.echo(f"{run.output.rstrip(':')}: {ledger.line()}", err=True)
    if not run.is_still and not ledger.complete:
        click.echo(
            f"livecam: {ledger.unreadable} frames could not be read and {ledger.damaged} were damaged; "
            f"{run.output} holds the rest",
            err=True,
        )
    return Outcome(ledger.complete, ledger.unreadable_files)
