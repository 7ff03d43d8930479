"""A picture that is kept: a PNG of what was drawn, without the figures, and a JSON of what the model said of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import cv2

from livecam.live.picture import ToScreen
from livecam.live.tile import Tile
from livecam.records import described, write_report, write_whole


def write_snapshot(tile: Tile, number: int) -> Path:
    """Write a tile's picture, and what was said of it, into the current folder. Raises OutputError."""
    assert tile.picture is not None
    assert tile.frame is not None
    assert tile.explanation is not None
    path = timestamped(number, ".png")
    bgr = ToScreen()(tile.picture, tile.aspect, enlarged=False)
    write_whole(path, cv2.imencode(".png", bgr)[1].tobytes())
    said = described(tile.frame, tile.explanation)
    write_report(path.with_suffix(".json"), {"source": tile.feed.source.name, **tile.facts, **said})
    return path


def timestamped(number: int, ending: str) -> Path:
    """A name that says when, in the current folder, of the source with this number: livecam-20260131-120000-250.png."""
    now = datetime.now()
    source = f"-{number + 1}" if number else ""
    return Path(f"livecam-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{source}{ending}")
