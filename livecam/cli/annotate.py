"""`livecam annotate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from livecam.choices import VIDEO_ENDINGS
from livecam.cli.errors import EXIT_ERROR, ends_well
from livecam.cli.options import DRAWING_OPTION_NAMES, MODEL_OPTION_NAMES, drawing_options, model_options
from livecam.cli.progress import Progress

if TYPE_CHECKING:
    from livecam.stats import Ledger


@click.command("annotate")
@click.argument("source", metavar="INPUT")
@click.option(
    "-o", "--output", metavar="OUTPUT", help="A .mp4, .m4v, .mov, .mkv or .webm file, or null: to write nothing."
)
@model_options
@drawing_options
@click.option("--codec", help="The video encoder.  [default: libx264; libvpx-vp9 for .webm]")
@click.option("--preset", help="The encoder's speed.  [default: veryfast for libx264]")
@click.option("--crf", type=float, help="The encoder's quality, lower is better.  [default: 23 for libx264]")
@click.option("--overwrite", is_flag=True, help="Replace the output where it exists.")
@click.option("--start", "start_seconds", type=click.FloatRange(min=0), default=0.0, help="Begin there, in seconds.")
@click.option(
    "--duration", "duration_seconds", type=click.FloatRange(min=0, min_open=True), help="Take only so many seconds."
)
@click.option(
    "--predictions",
    metavar="FILE.jsonl",
    help="Write what the model says, a JSON line a frame; replaced where it exists.",
)
@click.option("--report", metavar="FILE.json", help="Write an account of the run; replaced where it exists.")
@ends_well
def annotate_command(source: str, output: str | None, **options: Any) -> None:
    """Explain every frame of a video and write it again, heatmaps drawn in, all else as it was.

    INPUT is a video file, a URL, or demo:?size=1280x720&fps=30&seconds=10&seed=1&shapes=2 for a generated scene.
    Without -o the output is named after the input: clip.mp4 becomes clip_livecam.mp4, demo: becomes demo.mp4.
    """
    from livecam.annotation import annotate
    from livecam.explain.explainer import Explainer
    from livecam.render import Style
    from livecam.sinks import EncoderOptions

    output = output or _default_output(source)
    explainer = partial(Explainer, **_taken(options, MODEL_OPTION_NAMES))
    style = Style(**_taken(options, DRAWING_OPTION_NAMES))
    encoder = EncoderOptions(**_taken(options, ("codec", "preset", "crf")))
    try:
        with Progress() as progress:
            ledger = annotate(source, output, explainer, style=style, encoder=encoder, on_progress=progress, **options)
    except KeyboardInterrupt:
        if progress.ledger is not None:
            click.echo(f"{output}: stopped, {progress.ledger.line()}", err=True)
        if (part := Path(f"{output}.part")).exists():
            click.echo(f"livecam: given up; {part} plays up to there", err=True)
        raise
    _conclude(ledger, output)


def _taken(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: options.pop(name) for name in names}


def _conclude(ledger: Ledger, output: str) -> None:
    click.echo(f"{output.rstrip(':')}: {ledger.line()}", err=True)
    if not ledger.complete:
        click.echo(
            f"livecam: {ledger.unreadable} frames could not be read and {ledger.damaged} were damaged; "
            f"{output} holds the rest",
            err=True,
        )
        sys.exit(EXIT_ERROR)


def _default_output(source: str) -> str:
    if source.startswith("demo:"):
        return "demo.mp4"
    path = Path(source.split("?")[0])
    ending = path.suffix.lower() if path.suffix.lower() in VIDEO_ENDINGS else ".mp4"
    return f"{path.stem}_livecam{ending}"
