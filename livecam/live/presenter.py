"""What the main thread does with what there is to show: draw, record, keep, and put it into the window."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import cv2

from livecam.errors import OutputError
from livecam.explanation import Explanation
from livecam.live.controls import Controls
from livecam.live.feed import Shown
from livecam.live.hud import draw_help
from livecam.live.pane import Pane
from livecam.live.recorder import Recorder
from livecam.live.screen import ToScreen, arranged
from livecam.live.window import NoWindow, Window
from livecam.picture.frame import Frame
from livecam.run.sidecars import described, write_report
from livecam.system.files import write_whole

_REFRESH_SECONDS = 0.25
"""How often the figures are drawn anew where no frame comes."""


class Presenter:
    """Shows what the feeds of some panes have, by the controls. Only for the main thread.

    `recording_path` names the file of a source, by its number, when recording begins. `on_shown` is called with each
    frame that is on the screen.
    """

    def __init__(
        self,
        panes: Sequence[Pane],
        controls: Controls,
        window: Window | NoWindow,
        recorder: Recorder,
        *,
        recording_path: Callable[[int], Path],
        on_shown: Callable[[int, Frame, Explanation], None],
    ) -> None:
        self._panes = panes
        self._controls = controls
        self._window = window
        self._recorder = recorder
        self._recording_path = recording_path
        self._on_shown = on_shown
        self._snapshots = 0
        self._refreshed_seconds = 0.0

    def present(self) -> bool:
        """Show what there is and do what the keys ask; whether a frame was shown."""
        shown = []
        if not self._controls.is_paused or self._controls.steps:
            shown = [pane for pane in self._panes if self._draw_next(pane)]
            self._controls.steps = max(self._controls.steps - bool(shown), 0)
        begin = time.perf_counter()
        is_due = begin - self._refreshed_seconds >= _REFRESH_SECONDS
        if self._window.is_there and (shown or self._redraw() or is_due):
            self.refresh()
        pressed = self._window.keys()
        for number, pane in enumerate(self._panes):
            if pane in shown:
                assert pane.frame is not None
                assert pane.explanation is not None
                pane.feed.ledger.stages["show"].add(time.perf_counter() - begin)
                pane.feed.ledger.show(pane.frame.captured_seconds)
                self._on_shown(number, pane.frame, pane.explanation)
        for key in pressed:
            self._controls.press(key)
        if self._window.is_closed:
            self._controls.quit()
        self._follow_controls()
        return bool(shown)

    def refresh(self) -> None:
        """Put what there is into the window."""
        self._refreshed_seconds = time.perf_counter()
        picture = arranged([pane.on_screen() for pane in self._panes])
        if self._controls.shows_help:
            draw_help(picture)
        self._window.show(picture)

    def close(self) -> None:
        """Complete the recordings, and take the window away."""
        self._controls.is_recording = False
        self._end_recordings()
        self._window.close()

    def _draw_next(self, pane: Pane) -> bool:
        """The next frame of a feed, if one waits."""
        shown = pane.feed.take_shown()
        if shown is None:
            return False
        pane.draw(shown)
        self._record(pane, shown)
        return True

    def _record(self, pane: Pane, shown: Shown) -> None:
        assert pane.picture is not None
        if pane.recording is not None and pane.recording.size != (pane.picture.width, pane.picture.height):
            self._end_recording(pane)  # another view or more classes: a file's pictures are all of one size
        if self._controls.is_recording and pane.recording is None:
            self._begin_recording(pane)
        if pane.recording is not None:
            can_wait = not pane.feed.source.is_live
            self._recorder.write(pane.recording, pane.picture, shown.frame, can_wait=can_wait)

    def _begin_recording(self, pane: Pane) -> None:
        try:
            pane.recording = self._recorder.begin(self._recording_path(self._panes.index(pane)), pane.media())
        except OutputError as exc:
            if not self._window.is_there:
                raise
            self._controls.is_recording = False
            self._controls.tell(str(exc))

    def _redraw(self) -> bool:
        """What is on the screen already, in another style or by another explanation."""
        stale = [pane for pane in self._panes if pane.feed.take_revised() or pane.is_out_of_style]
        for pane in stale:
            if pane.feed.on_screen is not None:
                pane.draw(pane.feed.on_screen)
        return bool(stale)

    def _follow_controls(self) -> None:
        self._window.set_full_screen(self._controls.is_full_screen)
        if not self._controls.is_recording:
            self._end_recordings()
        if self._snapshots < self._controls.snapshots:
            self._snapshots = self._controls.snapshots
            self._controls.tell(self._keep())

    def _keep(self) -> str:
        """Write snapshots; what there is to be said of it."""
        drawn = [(pane, number) for number, pane in enumerate(self._panes) if pane.picture is not None]
        try:
            return f"kept {', '.join(write_snapshot(pane, number).name for pane, number in drawn)}"
        except OutputError as exc:
            return str(exc)

    def _end_recordings(self) -> None:
        for pane in self._panes:
            self._end_recording(pane)

    def _end_recording(self, pane: Pane) -> None:
        if pane.recording is not None:
            self._recorder.finish(pane.recording)
            self._controls.tell(f"{pane.recording.path.name} is being completed")
            pane.recording = None


def write_snapshot(pane: Pane, number: int) -> Path:
    """Write a pane's picture, and what was said of it, into the current folder. Raises OutputError."""
    assert pane.picture is not None
    assert pane.frame is not None
    assert pane.explanation is not None
    path = timestamped(number, ".png")
    bgr = ToScreen()(pane.picture, pane.aspect, enlarged=False)
    write_whole(path, cv2.imencode(".png", bgr)[1].tobytes())
    said = described(pane.frame, pane.explanation)
    write_report(path.with_suffix(".json"), {"source": pane.feed.source.name, **pane.facts, **said})
    return path


def timestamped(number: int, ending: str) -> Path:
    """A name that says when, in the current folder, of the source with this number: livecam-20260131-120000-250.png."""
    now = datetime.now()
    source = f"-{number + 1}" if number else ""
    return Path(f"livecam-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{source}{ending}")
