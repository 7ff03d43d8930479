"""Sources in, a window out: what `livecam live` does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from livecam.errors import InputError, LivecamError
from livecam.explain.explainer import Explainer
from livecam.explanation import Explanation
from livecam.live.ledger import FeedLedger
from livecam.live.presenter import timestamped
from livecam.live.recorder import Recorder
from livecam.live.session import Session
from livecam.live.window import NoWindow, Window, check_window
from livecam.names import DISPLAYS
from livecam.picture.frame import Frame
from livecam.render import Style
from livecam.run.plan import check_outputs
from livecam.run.sidecars import Sidecars, write_report
from livecam.sinks import kind_of
from livecam.sources import LiveOptions, open_live
from livecam.system.machine import versions

log = logging.getLogger("livecam")


def watch(
    sources: str | Sequence[str],
    explainer: Explainer | Callable[[], Explainer],
    *,
    options: LiveOptions | None = None,
    style: Style | None = None,
    window: bool = True,
    display: str = "explained",
    max_age_seconds: float = 0.5,
    steady: bool = True,
    duration_seconds: float | None = None,
    record: str | Path | None = None,
    overwrite: bool = False,
    predictions: str | Path | None = None,
    report: str | Path | None = None,
) -> list[FeedLedger]:
    """Explain what cameras, streams and files show, as it comes, and put it into a window.

    `sources` and `options` are as in `open_live`. The explainer may be a function that makes one, called once the
    sources are open and the window is known to be possible. `style` says what is drawn.

    Shown is each frame that was explained, with its own map; with `display` "every" each frame that comes, with the
    last map moved along to it, which is hidden when it is older than `max_age_seconds`. Of several sources the newest
    frames are explained together, and shown as panes. The run ends `duration_seconds` after the first picture, if that
    is given.

    `record` is the video that what is shown is written to, of several sources one each (out-1.mp4, out-2.mp4, ...).
    `predictions` and `report` are files as in `annotate`; the lines also have the `source`, counted from 0, and the
    `latency_seconds` from captured to shown. Without a `window` one of these is needed.

    Returns the ledger of each source. Raises LivecamError; and KeyboardInterrupt, once all is completed.
    """
    sources = [sources] if isinstance(sources, str) else sources
    if not sources:
        raise InputError("no source is named; name a camera, a stream, a video, or demo:")
    if display not in DISPLAYS:
        raise LivecamError(f"display is one of {', '.join(DISPLAYS)}, not {display!r}")
    if not (window or record or predictions or report):
        raise LivecamError("without a window nothing would come of it: add --record, --predictions or --report")
    if window:
        check_window()
    recording_paths = _recording_paths(record, len(sources))
    outputs = {path: kind_of(path) for path in recording_paths.values()}
    beside = [Path(path) for path in (predictions, report) if path is not None]
    check_outputs(sources, outputs, beside, overwrite=overwrite)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_live(source, options or LiveOptions())) for source in sources]
        sidecars = stack.enter_context(Sidecars(predictions, None, one_picture=False))
        made = explainer if isinstance(explainer, Explainer) else explainer()
        recorder = Recorder(overwrite=overwrite)

        def add(source: int, frame: Frame, explanation: Explanation) -> None:
            latency_seconds = round(time.perf_counter() - frame.captured_seconds, 6)
            sidecars.add(frame, explanation, source=source, latency_seconds=latency_seconds)

        session = Session(
            opened,
            made,
            Window() if window else NoWindow(),
            recorder,
            style=style or Style(),
            recording_path=lambda number: recording_paths.pop(number, None) or timestamped(number, ".mp4"),
            is_recording=record is not None,
            shows_every=display == "every",
            is_steady=steady,
            max_age_seconds=max_age_seconds,
            duration_seconds=duration_seconds,
            on_shown=add,
        )
        ledgers = [feed.ledger for feed in session.feeds]
        try:
            session.run()
        finally:
            # What was shown was shown, also where a source has failed after hours.
            sidecars.keep = any(ledger.shown for ledger in ledgers)
            for ledger in ledgers:
                log.info("%s: %s", ledger.name.rstrip(":"), ledger.line())
            if report is not None and sidecars.keep:
                facts = {"sources": [ledger.report() for ledger in ledgers], "recordings": recorder.report()}
                write_report(Path(report), {**facts, **made.report(), "versions": versions()})
    return ledgers


def _recording_paths(record: str | Path | None, sources: int) -> dict[int, Path]:
    """The file of each source, by its number."""
    if record is None:
        return {}
    path = Path(record)
    if sources == 1:
        return {0: path}
    return {number: path.with_stem(f"{path.stem}-{number + 1}") for number in range(sources)}
