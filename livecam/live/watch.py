"""The function behind `livecam live`: explains sources and shows them in a window, or on pages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from livecam.errors import InputError, LivecamError, OutputError
from livecam.explanation import Explanation
from livecam.ledger import Ledger
from livecam.live.awaited import AwaitedSource
from livecam.live.display import Display, NoWindow, Window
from livecam.live.feeds import Feeds
from livecam.live.metrics import LiveMetrics
from livecam.live.pages import NotesOnPages, Pages
from livecam.live.session import Session, SessionOptions
from livecam.names import BROWSER, DISPLAYS
from livecam.picture.frame import Frame
from livecam.render import Style
from livecam.run.metrics import metrics_served
from livecam.run.plan import check_outputs
from livecam.run.sidecars import Sidecars, write_report
from livecam.sinks import kind_of
from livecam.sources import LiveOptions, Source
from livecam.sources.demo import DEMO
from livecam.system.machine import versions
from livecam.system.window_check import begin_window_check, check_window
from livecam.web import WebOptions

if TYPE_CHECKING:  # it imports torch, which takes seconds: the window opens before
    from torch import nn
    from torch.export import ExportedProgram

    from livecam.explain.explainer import Explainer
    from livecam.models.classifier import Classifier

log = logging.getLogger("livecam")


def watch(
    sources: str | int | Path | Sequence[str | int | Path],
    explainer: str | nn.Module | ExportedProgram | Classifier | Explainer | Callable[[], Explainer],
    *,
    options: LiveOptions | None = None,
    style: Style | None = None,
    model_name: str = "the model",
    window: bool | WebOptions | Display = True,
    on_url: Callable[[str], None] = print,
    display: str = "explained",
    max_age_seconds: float = 0.5,
    stride: int | None = None,
    steady: bool = True,
    skip_damaged: bool = False,
    duration_seconds: float | None = None,
    record: str | Path | None = None,
    overwrite: bool = False,
    predictions: str | Path | None = None,
    report: str | Path | None = None,
    metrics: tuple[str, int | None] | None = None,
) -> list[Ledger]:
    """Explain cameras, streams and files live, and show them in a window, or on pages in browsers.

    The newest frames of all sources are explained together; each source has a pane in the window. A camera or stream
    that cannot be opened is tried again, as long as another source is open. The run ends when all sources have ended,
    when the user quits or closes the window, or after `duration_seconds`.

    Args:
        sources: One or several sources, as in `livecam.sources.open_live`: the number of a camera, a device, a URL, a
            video file, or "demo:". Or "browser:" for the camera of a page.
        explainer: The explainer; a model or its name, as an `Explainer` takes it; or a function that creates the
            explainer. Since loading a model takes long, it is loaded only after the window and sources have been
            opened, by another thread.
        options: How the sources are read.
        style: What is drawn; by default the heatmap over the frame.
        model_name: The name of the model, for the window, if `explainer` is not the name itself.
        window: True for a window, or for pages if a source is "browser:"; `livecam.web.WebOptions` for pages,
            which are served until the run ends; another `livecam.live.display.Display` to show the picture on; False
            for nothing, for which one of `record`, `predictions` and `report` is needed.
        on_url: Called with the URL of the pages once they are served, before the model is loaded.
        display: "explained" shows the frames that are explained, each with its own map; "every" shows every frame, with
            the last map moved along with the picture.
        max_age_seconds: With display="every", a map that is older is hidden.
        stride: By a model that sees clips, explain a clip each `stride` frames of a source, or as often as there is
            time. By default that is so for a camera or stream, and a file has one for each time cell of the model. A
            clip's frames are shown once it is explained, each with the map of its own time.
        steady: Keep the heatmaps from flickering; False shows each frame's map by itself.
        skip_damaged: Drop frames of which something was lost on the way; they are counted.
        duration_seconds: How long the run lasts; None for no limit.
        record: The video file to record to, or the stream to send to, such as "rtsp://host/live". Several sources get
            one each: out-1.mp4, out-2.mp4, ...
        overwrite: Replace that video if it exists.
        predictions: A file with one JSON line per frame shown, as written by `annotate`, plus the number of the
            `source` (from 0) and `latency_seconds`, the time from captured to shown.
        report: A JSON file for the account of the run.
        metrics: The address and the port at which counts and times are served for Prometheus; the usual port is 9090.

    Returns:
        The ledger of each source: every frame that was read was delivered, that is shown, or dropped.

    Raises:
        LivecamError: A source, an option or an output is invalid, or a source or a recording failed later. The
            recordings so far are completed.
        KeyboardInterrupt: The run was interrupted; raised once everything is completed.
    """
    names = [str(each) for each in ([sources] if isinstance(sources, str | int | Path) else sources)]
    if not names:
        raise InputError("no source is named; name a camera, a stream, a video, or demo:")
    if display not in DISPLAYS:
        raise LivecamError(f"display is one of {', '.join(DISPLAYS)}, not {display!r}")
    if BROWSER in names:
        window = _pages_for_camera(window, names)
    if not (window or record or predictions or report):
        raise LivecamError("without a window there would be no output; add --record, --predictions or --report")
    recordings = _recordings(record, len(names))
    beside = [Path(path) for path in (predictions, report) if path is not None]
    check_outputs(names, {output: kind_of(output) for output in recordings}, beside, overwrite=overwrite)
    session_options = SessionOptions(
        style=style or Style(),
        shows_every=display == "every",
        max_age_seconds=max_age_seconds,
        is_steady=steady,
        stride=stride,
        works_hidden=predictions is not None,
        duration_seconds=duration_seconds,
        recordings=recordings,
        overwrite=overwrite,
    )
    with ExitStack() as stack:
        if window is True:
            begin_window_check()
        shown_on, cameras = _display(window, names, stack, on_url)
        awaited = [
            cameras.get(uri) or AwaitedSource(uri, options or LiveOptions(), tries_again=len(names) > 1)
            for uri in names
        ]
        feeds = stack.enter_context(Feeds(awaited, skips_damaged=skip_damaged))
        if window is True:
            check_window()
        sidecars = stack.enter_context(Sidecars(predictions, None, one_picture=False))
        entries = _Entries(sidecars)
        load = partial(_loaded, explainer, steady, names)
        model_name = explainer if isinstance(explainer, str) else model_name
        session = Session(feeds, load, shown_on, session_options, model_name=model_name, on_shown=entries.add)
        stack.enter_context(
            metrics_served(metrics, LiveMetrics(feeds, session.recorder, session.explainer_report).collect)
        )
        if shown_on.has_screen:
            entries.tell_failure = session.notices.tell
        try:
            session.run()
            entries.raise_failure()
        finally:
            # Written even if a source failed: the frames before that were shown.
            was_shown = any(ledger.delivered for ledger in session.ledgers)
            sidecars.keep = was_shown and entries.failure is None
            for ledger in session.ledgers if session.explainer is not None else ():
                log.info("%s: %s", ledger.source.rstrip(":"), ledger.line())
            if report is not None and was_shown and session.explainer is not None:
                write_report(Path(report), {**session.report(), **session.explainer.report(), "versions": versions()})
    return session.ledgers


class _Entries:
    """Adds an entry to the sidecars for each frame that is shown, until one cannot be written.

    Attributes:
        failure: Why it could not be written.
        tell_failure: Called with the reason, if the run is to go on; else it is raised.
    """

    def __init__(self, sidecars: Sidecars) -> None:
        self.failure: OutputError | None = None
        self.tell_failure: Callable[[str], None] | None = None
        self._sidecars = sidecars

    def add(self, source: int, frame: Frame, explanation: Explanation) -> None:
        """Add an entry, for a frame of the source with this number. Raises OutputError."""
        if self.failure is not None:
            return
        latency_seconds = round(time.perf_counter() - frame.captured_seconds, 6)
        try:
            self._sidecars.add(frame, explanation, source=source, latency_seconds=latency_seconds)
        except OutputError as exc:
            self.failure = exc
            if self.tell_failure is None:
                raise
            self.tell_failure(str(exc))

    def raise_failure(self) -> None:
        """Raise the failure if there was one."""
        if self.failure is not None:
            raise self.failure


def _loaded(
    explainer: str | nn.Module | ExportedProgram | Classifier | Explainer | Callable[[], Explainer],
    steady: bool,
    sources: Sequence[str],
) -> Explainer:
    from livecam.explain.explainer import maker_of

    loaded = maker_of(explainer, runner_up=steady)()
    if not all(map(DEMO.recognises, sources)):
        loaded.tell_limits()
    return loaded


def _pages_for_camera(window: bool | WebOptions | Display, names: Sequence[str]) -> WebOptions:
    """Return how the pages are served whose camera is a source. Raises InputError."""
    if names.count(BROWSER) > 1:
        raise InputError(f"{BROWSER} is the camera of one page; name it once")
    if window is not True and not isinstance(window, WebOptions):
        raise InputError(f"{BROWSER} is the camera of a page, so pages have to be shown; leave out --no-window")
    return replace(WebOptions() if window is True else window, camera=True)


def _display(
    window: bool | WebOptions | Display, names: Sequence[str], stack: ExitStack, on_url: Callable[[str], None]
) -> tuple[Display, dict[str, Source]]:
    """Return the display, and the sources that come with it, by name. Raises OutputError."""
    if isinstance(window, WebOptions):
        from livecam.web.server import WebServer

        server = stack.enter_context(WebServer(window))
        on_url(server.url)
        stack.enter_context(NotesOnPages(server.answer))
        number = names.index(BROWSER) if BROWSER in names else None
        return Pages(server, number), {BROWSER: server.camera}
    if isinstance(window, bool):
        return Window() if window else NoWindow(), {}
    return window, {}


def _recordings(record: str | Path | None, sources: int) -> list[str]:
    """Return the file or stream to record each source to. Raises OutputError."""
    if record is None:
        return []
    output = str(record)
    numbered = kind_of(output).numbered
    return [output] if sources == 1 else [numbered(output, number + 1) for number in range(sources)]
