"""`livecam live`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click
from click import Option

from livecam.cli.errors import ends_well
from livecam.cli.loading import check_only_file, load_explainer
from livecam.cli.options import (
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
    Rate,
    Seconds,
    Section,
    Size,
    explainer_arguments,
    taken,
)
from livecam.cli.page import PAGE, shown_in
from livecam.cli.terminal import print_text
from livecam.names import DISPLAYS
from livecam.system.window_check import begin_window_check

CAMERA = (
    Option(["--size"], type=Size(), metavar="WIDTHxHEIGHT", help="Ask a camera for this size."),
    Option(
        ["--fps"],
        type=Rate(),
        metavar="RATE",
        help="Ask a camera, or a URL of single pictures, for this many frames per second.",
    ),
    Option(["--pixel-format"], metavar="NAME", help="Ask a camera for this pixel format, such as mjpeg or yuyv422."),
)
PLAYBACK = (
    Option(["--realtime"], is_flag=True, help="Play a file at its own speed and drop late frames; else show them all."),
    Option(["--loop"], is_flag=True, help="Start a file again when it ends."),
)
STREAMS = (
    STREAM,
    MAX_MEGAPIXELS,
    Option(
        ["--open-timeout", "open_seconds"],
        type=Seconds(min=0, min_open=True),
        default=20,
        metavar="SECONDS",
        help="Wait this long for a stream's answer and its first key frame.",
    ),
    INSECURE,
)
WINDOW = Section(
    "Window",
    (
        Option(
            ["--display"],
            type=click.Choice(DISPLAYS),
            default="explained",
            help="explained shows the frames that are explained, each with its own map; every shows all frames, the "
            "newest map moved along with the picture.",
        ),
        Option(
            ["--max-age", "max_age_seconds"],
            type=Seconds(min=0),
            default=0.5,
            metavar="SECONDS",
            help="With --display every, hide a map that is older than this.",
        ),
        STRIDE,
        STEADY,
        Option(["--skip-damaged"], is_flag=True, help="Leave out frames of which something was lost on the way."),
        Option(["--window/--no-window"], default=True, help="Open a window; without one, only files are written."),
        Option(
            ["--duration", "duration_seconds"],
            type=Seconds(min=0, min_open=True),
            metavar="SECONDS",
            show_default="until you quit",
            help="Stop this long after the first frame.",
        ),
    ),
)
RECORD = Option(
    ["--record"],
    type=FILE,
    metavar="FILE|URL",
    help="Record what is shown as a video, without the status; or send it: to an rtsp, rtmp, srt, udp or tcp URL, "
    "an .m3u8 playlist, an http URL of WHIP, or a virtual camera such as v4l2:/dev/video9.",
)


@click.command(
    "live",
    cls=Command,
    sections=[
        Section("Source", (*CAMERA, *STREAMS, *PLAYBACK)),
        *MODEL_SECTIONS,
        DRAWING,
        WINDOW,
        PAGE,
        Section("Files", (RECORD, OVERWRITE, PREDICTIONS, REPORT)),
        Section("Service", (METRICS,)),
        SPEED,
    ],
)
@click.argument("sources", type=FILE, metavar="[SOURCE...]", nargs=-1)
@ends_well
def live_command(sources: tuple[str, ...], **options: Any) -> None:
    """Show live what the model looks at, in a window or in a browser.

    SOURCE is the number of a camera (default: 0), a device such as /dev/video0, a URL (rtsp, rtmp, http, tcp, udp,
    rtp), a video file, demo: for a generated scene, or browser: for the camera of whoever opens the page. Several
    sources are explained together and shown side by side.

    The newest frame is explained next; frames that come too fast are dropped and counted. Press h in the window for the
    keys. `livecam doctor` lists the cameras.
    """
    window = shown_in(options, sources)
    model = explainer_arguments(options, sources)
    explainer = partial(load_explainer, **model, runner_up=options["steady"])
    check_only_file(sources)
    if window is True:
        begin_window_check()  # another process opens one while this one imports the libraries

    from livecam.live.watch import watch
    from livecam.render import Style
    from livecam.sources import LiveOptions

    style = Style(**taken(options, DRAWING_OPTION_NAMES))
    source_options = LiveOptions(**taken(options, [option.name for option in (*CAMERA, *STREAMS, *PLAYBACK)]))
    watch(
        sources or ("0",),
        explainer,
        options=source_options,
        style=style,
        model_name=model["model"],
        window=window,
        on_url=print_text,
        **options,
    )
