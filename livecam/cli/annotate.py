"""`livecam annotate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from livecam.cli.errors import EXIT_ERROR, ends_well
from livecam.cli.options import drawing_options, model_options
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
@click.option("--start", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Begin there.")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Take only so much.")
@click.option(
    "--predictions", metavar="FILE.jsonl", help="Write what the model says of each frame, a JSON line a frame."
)
@click.option("--report", metavar="FILE.json", help="Write an account of the run.")
@ends_well
def annotate_command(
    source: str, output: str | None, start: float, duration: float | None, overwrite: bool, **options: Any
) -> None:
    """Explain every frame of a video and write it again, heatmaps drawn in, all else as it was.

    INPUT is a video file, a URL, or demo:?size=1280x720&fps=30&seconds=10&seed=1&shapes=2 for a generated scene.
    Without -o the output is named after the input: clip.mp4 becomes clip_livecam.mp4, demo: becomes demo.mp4.
    """
    output = output or _default_output(source)
    with Progress() as progress:
        from livecam.annotation import annotate
        from livecam.explain.explainer import Explainer
        from livecam.sinks import EncoderOptions

        ledger = annotate(
            source,
            output,
            lambda: Explainer(**{name: options[name] for name in _EXPLAINER_OPTIONS}),
            **{name: options[name] for name in ("opacity", "colormap", "caption", "predictions", "report")},
            encoder=EncoderOptions(**{name: options[name] for name in ("codec", "preset", "crf")}),
            overwrite=overwrite,
            start_seconds=start,
            duration_seconds=duration,
            on_progress=progress,
        )
    _conclude(ledger, output)


_EXPLAINER_OPTIONS = ("model", "weights", "labels", "target", "method", "layer", "device", "fit")


def _conclude(ledger: Ledger, output: str) -> None:
    click.echo(f"{output}: {ledger.line()}", err=True)
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
    ending = path.suffix.lower() if path.suffix.lower() in (".mp4", ".m4v", ".mov", ".mkv", ".webm") else ".mp4"
    return f"{path.stem}_livecam{ending}"
