"""What the main thread does with what there is to show: draw, record, keep, and put it into the window."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from livecam.errors import OutputError
from livecam.frame import Explanation, Frame
from livecam.live.controls import Controls
from livecam.live.feed import Shown
from livecam.live.hud import draw_help
from livecam.live.recorder import Recorder
from livecam.live.snapshot import write_snapshot
from livecam.live.tile import Tile
from livecam.live.tiles import tiled
from livecam.live.window import NoWindow, Window

_REFRESH_SECONDS = 0.25
"""How often the figures are drawn anew where no frame comes."""


class Presenter:
    """Shows what the feeds of some tiles have, by the controls. Only for the main thread.

    `recording_path` names the file of a source, by its number, when recording begins. `on_shown` is called with each
    frame that is on the screen.
    """

    def __init__(
        self,
        tiles: Sequence[Tile],
        controls: Controls,
        window: Window | NoWindow,
        recorder: Recorder,
        *,
        recording_path: Callable[[int], Path],
        on_shown: Callable[[int, Frame, Explanation], None],
    ) -> None:
        self._tiles = tiles
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
            shown = [tile for tile in self._tiles if self._draw_next(tile)]
            self._controls.steps = max(self._controls.steps - bool(shown), 0)
        begin = time.perf_counter()
        is_due = begin - self._refreshed_seconds >= _REFRESH_SECONDS
        if self._window.is_there and (shown or self._redraw() or is_due):
            self.refresh()
        pressed = self._window.keys()
        for number, tile in enumerate(self._tiles):
            if tile in shown:
                assert tile.frame is not None
                assert tile.explanation is not None
                tile.feed.ledger.stages["show"].add(time.perf_counter() - begin)
                tile.feed.ledger.show(tile.frame.captured_seconds)
                self._on_shown(number, tile.frame, tile.explanation)
        for key in pressed:
            self._controls.press(key)
        if self._window.is_closed:
            self._controls.quit()
        self._follow_controls()
        return bool(shown)

    def refresh(self) -> None:
        """Put what there is into the window."""
        self._refreshed_seconds = time.perf_counter()
        picture = tiled([tile.on_screen() for tile in self._tiles])
        if self._controls.shows_help:
            draw_help(picture)
        self._window.show(picture)

    def close(self) -> None:
        """Complete the recordings, and take the window away."""
        self._controls.is_recording = False
        self._end_recordings()
        self._window.close()

    def _draw_next(self, tile: Tile) -> bool:
        """The next frame of a feed, if one waits."""
        shown = tile.feed.take_shown()
        if shown is None:
            return False
        tile.draw(shown)
        self._record(tile, shown)
        return True

    def _record(self, tile: Tile, shown: Shown) -> None:
        assert tile.picture is not None
        if tile.recording is not None and tile.recording.size != (tile.picture.width, tile.picture.height):
            self._end_recording(tile)  # another view or more classes: a file's pictures are all of one size
        if self._controls.is_recording and tile.recording is None:
            self._begin_recording(tile)
        if tile.recording is not None:
            can_wait = not tile.feed.source.is_live
            self._recorder.write(tile.recording, tile.picture, shown.frame, can_wait=can_wait)

    def _begin_recording(self, tile: Tile) -> None:
        try:
            tile.recording = self._recorder.begin(self._recording_path(self._tiles.index(tile)), tile.media())
        except OutputError as exc:
            if not self._window.is_there:
                raise
            self._controls.is_recording = False
            self._controls.tell(str(exc))

    def _redraw(self) -> bool:
        """What is on the screen already, in another style or by another explanation."""
        stale = [tile for tile in self._tiles if tile.feed.take_revised() or tile.is_out_of_style]
        for tile in stale:
            if tile.feed.on_screen is not None:
                tile.draw(tile.feed.on_screen)
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
        drawn = [(tile, number) for number, tile in enumerate(self._tiles) if tile.picture is not None]
        try:
            return f"kept {', '.join(write_snapshot(tile, number).name for tile, number in drawn)}"
        except OutputError as exc:
            return str(exc)

    def _end_recordings(self) -> None:
        for tile in self._tiles:
            self._end_recording(tile)

    def _end_recording(self, tile: Tile) -> None:
        if tile.recording is not None:
            self._recorder.finish(tile.recording)
            self._controls.tell(f"{tile.recording.path.name} is being completed")
            tile.recording = None
