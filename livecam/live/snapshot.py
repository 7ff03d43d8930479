"""A picture that is kept: a PNG of what was drawn, without the figures, and a JSON of what the model said of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import cv2

from livecam.live.picture import ToScreen
from livecam.live.tile import Tile
from livecam.records import Record, described, write_report


def write_snapshot(tile: Tile, number: int, facts: dict[str, Any]) -> Path:
    """Write a tile's picture, with these facts beside it, into the current folder. Raises OutputError."""
    assert tile.picture is not None
    assert tile.frame is not None
    assert tile.explanation is not None
    path = timestamped(number, ".png")
    bgr = ToScreen()(tile.picture, tile.aspect, enlarged=False)
    file = Record(path)
    file.write(cv2.imencode(".png", bgr)[1].tobytes())
    file.close(keep=True)
    said = described(tile.frame, tile.explanation)
    write_report(path.with_suffix(".json"), {"source": tile.feed.source.name, **facts, **said})
    return path


def timestamped(number: int, ending: str) -> Path:
    """A name that says when, in the current folder, of the source with this number: livecam-20260131-120000-250.png."""
    now = datetime.now()
    source = f"-{number + 1}" if number else ""
    return Path(f"livecam-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{source}{ending}")
