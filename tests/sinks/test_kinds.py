"""The registry of sinks: a new kind is one file and one line, and every part of livecam knows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import Result

from livecam import Explainer, annotate, sinks, watch
from livecam.errors import OutputError
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.sinks import EncoderOptions, Sink, SinkKind, open_sink
from tests.support.clips import number_in
from tests.support.stills import scene

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]
PLAIN = ("--opacity", 0, "--no-caption")
kept: list[tuple[str, int]] = []
formats: set[str] = set()


class Numbers(Sink):
    """`numbers:NAME` keeps the number in each picture, under the name."""

    pixel_format = "yuv444p"

    def __init__(self, output: object, media: Media, encoder: EncoderOptions) -> None:
        assert (media.width, media.height) == (160, 90)
        self._output = str(output)

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        kept.append((self._output, number_in(picture.to_ndarray(format="rgb24"))))
        formats.add(picture.format.name)

    def finish(self) -> bool | None:
        return True

    def report(self) -> dict[str, Any]:
        return {"numbers": len(kept)}


class Arrays(Sink):
    """Still pictures as .npy."""

    pixel_format = "gbrp"

    def __init__(self, outputs: dict[Path, Path], media: Media, encoder: EncoderOptions) -> None:
        self._outputs = outputs

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        assert frame.path is not None
        np.save(self._outputs[frame.path], picture.to_ndarray(format="rgb24"))


NUMBERS = SinkKind(recognises=lambda output: output.startswith("numbers:"), open=Numbers)
ARRAYS = SinkKind(recognises=lambda output: output.endswith(".npy"), open=Arrays, is_file=True, takes_videos=False)


@pytest.fixture(autouse=True)
def with_new_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setattr(sinks, "KINDS", (*sinks.KINDS, NUMBERS, ARRAYS))
    kept.clear()
    formats.clear()


def test_a_new_kind_is_written_to(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    ledger = annotate(clip(frames=3), "numbers:api", Explainer(engine="eager"))
    assert ledger.verified
    result = livecam("annotate", clip(frames=2), clip("other.mkv", frames=2), "-o", "numbers:cli", *PLAIN)
    assert result.exit_code == 0, result.output
    assert formats == {"yuv444p"}
    assert kept == [("numbers:api", n) for n in range(3)] + [("numbers:cli", n) for n in (0, 1, 0, 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "other.mkv"]


def test_a_new_kind_is_recorded_to(clip: Clip) -> None:
    watch(str(clip(frames=3)), Explainer(engine="eager"), window=False, record="numbers:live")
    assert kept == [("numbers:live", n) for n in range(3)]


def test_a_new_kind_for_stills_gets_the_file_of_each(livecam: Livecam, tmp_path: Path) -> None:
    scene().save(tmp_path / "in.png")
    result = livecam("annotate", tmp_path / "in.png", "-o", tmp_path / "out.npy", *PLAIN)
    assert result.exit_code == 0, result.output
    assert np.array_equal(np.load(tmp_path / "out.npy"), np.asarray(scene()))


def test_a_kind_for_stills_takes_no_video(clip: Clip) -> None:
    with pytest.raises(OutputError, match="the ending of a video has to be one of"):
        annotate(clip(), "out.npy", Explainer(engine="eager"))


def test_opening_a_sink_checks_its_place(tmp_path: Path) -> None:
    (tmp_path / "taken.mp4").touch()
    media = Media(width=64, height=48, pixel_format="yuv420p", time_base=1)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="taken.mp4 exists"):
        open_sink(tmp_path / "taken.mp4", media)
