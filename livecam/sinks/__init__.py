"""Where pictures go: a video file, picture files, or nowhere."""

from __future__ import annotations

from pathlib import Path

from livecam.picture.media import Media
from livecam.sinks.base import NullSink, Sink
from livecam.sinks.encoder import EncoderOptions
from livecam.sinks.outputs import default_folder, made_folder, picture_name, picture_outputs, video_name, video_outputs
from livecam.sinks.pictures import PictureSink, part_of
from livecam.sinks.video import VideoSink, check_path, working_files

__all__ = [
    "EncoderOptions",
    "NullSink",
    "PictureSink",
    "Sink",
    "check_output",
    "default_folder",
    "made_folder",
    "open_sink",
    "part_of",
    "picture_name",
    "picture_outputs",
    "video_name",
    "video_outputs",
    "working_files",
]


def check_output(output: str | Path, overwrite: bool) -> None:
    """What can be known of a video's output before its pictures are. Raises OutputError."""
    if str(output) != "null:":
        check_path(Path(output), overwrite)


def open_sink(
    output: str | Path, media: Media, *, encoder: EncoderOptions | None = None, overwrite: bool = False
) -> Sink:
    """Open a sink for a video's pictures of this kind: `null:`, or the path of a video file. Raises OutputError."""
    if str(output) == "null:":
        return NullSink()
    return VideoSink(Path(output), media, encoder=encoder or EncoderOptions(), overwrite=overwrite)
