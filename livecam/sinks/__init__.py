"""Sinks, which write a video, picture files, a stream, or nothing.

A new kind of sink is one file, and one line in `KINDS`.
"""

from __future__ import annotations

import copyreg
from pathlib import Path

from livecam.picture.media import Media
from livecam.sinks.base import NULL, NullSink, Sink, SinkKind
from livecam.sinks.encoder import EncoderOptions
from livecam.sinks.pictures import PICTURES
from livecam.sinks.stream import STREAM
from livecam.sinks.video import VIDEO
from livecam.system.stores import path_of

__all__ = ["KINDS", "EncoderOptions", "NullSink", "Sink", "SinkKind", "kind_of", "open_live_sink", "open_sink"]

KINDS: tuple[SinkKind, ...] = (VIDEO, PICTURES, NULL, STREAM)
"""All kinds of sinks, the general ones first; an output belongs to the last that recognises it."""


def _kind_at(place: int) -> SinkKind:
    return KINDS[place]


# A run that goes to another process takes its kind along as a place in this table.
copyreg.pickle(SinkKind, lambda kind: (_kind_at, (KINDS.index(kind),)))


def kind_of(output: str | Path, *, stills: bool = False) -> SinkKind:
    """Return the kind of sink that an output names, for still pictures or for a video."""
    return next(
        kind
        for kind in reversed(KINDS)
        if (kind.takes_stills if stills else kind.takes_videos) and kind.recognises(str(output))
    )


def open_sink(
    output: str | Path, media: Media, *, encoder: EncoderOptions | None = None, overwrite: bool = False
) -> Sink:
    """Check and open an output for the pictures of a video that `media` describes. Raises OutputError."""
    kind = kind_of(output)
    kind.check(path_of(output), overwrite)
    return kind.open(str(output), media, encoder or EncoderOptions())


def open_live_sink(output: str | Path, media: Media, *, overwrite: bool = False, waits: bool = False) -> Sink:
    """Check and open an output for the pictures of a live run.

    `waits` is for a kind of sink whose `write` would otherwise never wait. Raises OutputError.
    """
    kind = kind_of(output)
    if kind.open_live is None:
        return open_sink(output, media, overwrite=overwrite)
    return kind.open_live(str(output), media, EncoderOptions(), waits=waits)
