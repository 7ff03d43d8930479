"""What one command does one after the other: all pictures in one run, each video in one of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from livecam.errors import LivecamError
from livecam.sinks import check_output, default_folder, made_folder, picture_name, video_name, video_outputs
from livecam.sources import Inputs


@dataclass(frozen=True)
class Run:
    """What `annotate` is called with: a video, a picture or several pictures."""

    source: str | tuple[Path, ...]
    output: str
    is_video: bool

    @property
    def names(self) -> list[str]:
        """What the inputs are called."""
        return [self.source] if isinstance(self.source, str) else [str(path) for path in self.source]

    @property
    def unit(self) -> str:
        """What is counted."""
        return "frames" if self.is_video else "pictures"


@contextmanager
def planned(
    inputs: Inputs, names: Sequence[str], output: str | None, *, overwrite: bool, sidecars: dict[str, str | None]
) -> Iterator[list[Run]]:
    """The runs for these inputs, all that is known to go wrong found before the first; with the folder they go to.

    Raises LivecamError.
    """
    if not inputs.many:
        yield [_single(inputs, output)]
        return
    count = len(inputs.videos) + bool(inputs.pictures)
    if count > 1 and any(sidecars.values()):
        raise LivecamError(
            f"--predictions, --save-map and --report are about one run, and here are {count}: "
            "all pictures together are one, and each video is; give them one by one"
        )
    output = output or default_folder(names)
    if output == "null:":
        yield _several(inputs, output, dict.fromkeys(inputs.videos, output))
        return
    with made_folder(Path(output)):
        paths = video_outputs(inputs.videos, Path(output))
        for path in paths.values():
            check_output(path, overwrite)
        yield _several(inputs, output, {video: str(path) for video, path in paths.items()})


def _single(inputs: Inputs, output: str | None) -> Run:
    if inputs.pictures:
        picture = inputs.pictures[0]
        return Run(str(picture), output or _beside(picture_name(picture)), is_video=False)
    video = inputs.videos[0]
    usual = video_name(video) if video.startswith("demo:") else _beside(video_name(video))
    return Run(video, output or usual, is_video=True)


def _several(inputs: Inputs, output: str, outputs: dict[str, str]) -> list[Run]:
    pictures = [Run(inputs.pictures, output, is_video=False)] if inputs.pictures else []
    return pictures + [Run(video, outputs[video], is_video=True) for video in inputs.videos]


def _beside(name: str) -> str:
    path = Path(name)
    return f"{path.stem}_livecam{path.suffix.lower()}"
