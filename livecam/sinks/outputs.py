"""What outputs are called, and whether they may be put there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from livecam.errors import OutputError
from livecam.names import PICTURE_ENDINGS, VIDEO_ENDINGS
from livecam.system.files import check_parent, check_writable

Input = TypeVar("Input", str, Path)

_LONGEST_NAME = 255


def picture_name(picture: Path) -> str:
    """The name of a picture's output: its own, with an ending that can be written."""
    return picture.name if picture.suffix.lower() in PICTURE_ENDINGS else picture.with_suffix(".png").name


def video_name(video: str) -> str:
    """The name of a video's output, likewise; a video is a file, a URL or `demo:`."""
    if video.startswith("demo:"):
        return "demo.mp4"
    path = Path(video.split("?")[0] if "://" in video else video)
    return path.name if path.suffix.lower() in VIDEO_ENDINGS else path.with_suffix(".mp4").name


def default_folder(names: Sequence[str]) -> str:
    """Where the outputs of several inputs go if nobody says: photos/ -> photos_livecam, others -> livecam_output."""
    if len(names) == 1 and Path(names[0]).is_dir():
        return f"{Path(names[0]).resolve().name}_livecam"
    return "livecam_output"


def picture_outputs(pictures: Sequence[Path], output: Path, many: bool) -> dict[Path, Path]:
    """The file that each picture goes to: several into a folder, one to the very file or into a folder that exists.

    Raises OutputError where two would be one, and for what is not named like a picture.
    """
    if many or output.is_dir():
        return _each_its_own({picture: output / picture_name(picture) for picture in pictures})
    if output.suffix.lower() not in PICTURE_ENDINGS:
        endings = ", ".join(PICTURE_ENDINGS)
        raise OutputError(f"{output}: the ending of a picture has to be one of {endings}, or name a folder that exists")
    return {pictures[0]: output}


def video_outputs(videos: Sequence[str], folder: Path) -> dict[str, Path]:
    """The file in the folder that each video goes to. Raises OutputError where two would be one."""
    return _each_its_own({video: folder / video_name(video) for video in videos})


def _each_its_own(outputs: dict[Input, Path]) -> dict[Input, Path]:
    inputs: dict[Path, Input] = {}
    for source, output in outputs.items():
        if output in inputs:
            raise OutputError(f"{inputs[output]} and {source} would both become {output}; rename or leave out one")
        inputs[output] = source
    return outputs


def check_place(path: Path, working_file: Path, overwrite: bool) -> None:
    """Whether a file may be put there by way of another beside it. Raises OutputError."""
    if len(os.fsencode(working_file.name)) > _LONGEST_NAME:
        raise OutputError(f"the name {path.name[:20]}… is too long; shorten it")
    if "://" in str(path) or ":/" in str(path):
        raise OutputError(f"{path} is a URL, and livecam writes files; name a file")
    check_writable(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; name another output, or replace it with --overwrite")


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder for several outputs where it is missing; it goes again if nothing was put into it.

    Raises OutputError.
    """
    existed = folder.is_dir()
    if not existed:
        if folder.exists() or folder.suffix.lower() in (*PICTURE_ENDINGS, *VIDEO_ENDINGS):
            raise OutputError(f"{folder} is named like a file, and a folder is needed for what may be several outputs")
        check_parent(folder)
        try:
            folder.mkdir()
        except OSError as exc:
            raise OutputError(f"cannot make the folder {folder.name[:20]}…: {exc.strerror}") from exc
    try:
        yield
    finally:
        if not existed:
            with suppress(OSError):
                folder.rmdir()
