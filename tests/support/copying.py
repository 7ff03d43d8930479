"""A video passed from a source to a sink with nothing drawn on it."""

from __future__ import annotations

from pathlib import Path

from livecam.sinks import EncoderOptions, open_sink
from livecam.sources import open_source


def copied(source: Path, output: Path, codec: str | None = None) -> Path:
    with open_source(source) as frames:
        sink = open_sink(output, frames.media, encoder=EncoderOptions(codec=codec))
        for frame in frames.frames(sink.copy):
            sink.write(frame.picture, frame)
        sink.finish()
    return output
