"""`livecam live`."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any

import click

from livecam.cli.errors import ends_well
from livecam.cli.options import (
    DRAWING_OPTION_NAMES,
    MODEL_OPTION_NAMES,
    drawing_options,
    model_options,
    steady_option,
    taken,
)
from livecam.names import DISPLAYS


class Size(click.ParamType):
    """WIDTHxHEIGHT in pixels."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        width, _, height = str(value).partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is not WIDTHxHEIGHT, such as 1280x720", param, ctx)
        return int(width), int(height)


class Rate(click.ParamType):
    """Frames a second, exactly."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        try:
            rate = Fraction(str(value)).limit_denominator(10_000)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            self.fail(f"{value!r} is not a rate above 0, up to 1000, such as 30 or 30000/1001", param, ctx)
        return rate


_SOURCE_OPTION_NAMES = ("size", "fps", "pixel_format", "realtime", "loop")


@click.command("live")
@click.argument("sources", metavar="[SOURCE...]", nargs=-1)
@model_options
@drawing_options
@click.option("--size", type=Size(), metavar="WIDTHxHEIGHT", help="Ask a camera for this size.")
@click.option("--fps", type=Rate(), metavar="RATE", help="Ask a camera for so many frames a second.")
@click.option("--pixel-format", metavar="NAME", help="Ask a camera for this format, such as mjpeg or yuyv422.")
@click.option("--realtime", is_flag=True, help="Read a file at its own pace, dropping what is late; else every frame.")
@click.option("--loop", is_flag=True, help="Begin a file again when it ends.")
@click.option(
    "--display",
    type=click.Choice(DISPLAYS),
    default="explained",
    show_default=True,
    help="Show the frames that are explained, each with its own map; or every one, the last map moved along.",
)
@click.option(
    "--max-age",
    "max_age_seconds",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    help="With --display every: hide a map that is older, in seconds.",
)
@steady_option
@click.option("--no-window", "window", is_flag=True, flag_value=False, default=True, help="Show nothing; for --record.")
@click.option(
    "--duration", "duration_seconds", type=click.FloatRange(min=0, min_open=True), help="End after so many seconds."
)
@click.option("--record", metavar="FILE", help="Write what is shown to a video, without the figures.")
@click.option("--overwrite", is_flag=True, help="Replace the video where it exists.")
@click.option("--predictions", metavar="FILE.jsonl", help="Write what the model says, a JSON line a frame shown.")
@click.option("--report", metavar="FILE.json", help="Write an account of the run.")
@ends_well
def live_command(sources: tuple[str, ...], **options: Any) -> None:
    """Explain a camera, a stream or a file as it comes, in a window; press h there for the keys.

    SOURCE is the number of a camera (0 if none is named), a device such as /dev/video0, a URL (rtsp, rtmp, http, tcp,
    udp, srt), a video file, or demo: for a generated scene. Several are explained together and shown side by side.

    The newest frame is explained; those that there is no time for are counted. `livecam doctor` lists the cameras.
    """
    from livecam.explain.explainer import Explainer
    from livecam.live.watch import watch
    from livecam.render import Style
    from livecam.sources import LiveOptions

    explainer = partial(Explainer, **taken(options, MODEL_OPTION_NAMES), runner_up=options["steady"])
    style = Style(**taken(options, DRAWING_OPTION_NAMES))
    source_options = LiveOptions(**taken(options, _SOURCE_OPTION_NAMES))
    watch(sources or ("0",), explainer, options=source_options, style=style, **options)
