"""The registry of sources: a new kind is one file and one line, and every part of livecam knows it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import Result

from livecam import Explainer, annotate, open_source, sources
from livecam.errors import InputError
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.sources import LiveOptions, Source, SourceKind, find_inputs, open_live
from tests.support.clips import facts_of, number_in, numbered_picture
from tests.support.folders import shown_in
from tests.support.reading import first_of, frames_of, number_of
from tests.support.stills import pixels

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]
WIDTH, HEIGHT, RATE = 160, 90, 25


def picture_of(number: int) -> np.ndarray:
    return numbered_picture(number, WIDTH, HEIGHT)


class Counter(Source):
    """`count:5` counts to five, a number a frame."""

    def __init__(self, name: str, *, start_seconds: float = 0.0, duration_seconds: float | None = None) -> None:
        self.name = name
        last = int(name.removeprefix("count:"))
        first = round(start_seconds * RATE)
        self._numbers = range(first, int(min(last, first + (duration_seconds or math.inf) * RATE)))
        self.media = Media(
            width=WIDTH, height=HEIGHT, pixel_format="yuv420p", time_base=Fraction(1, RATE), rate=Fraction(RATE)
        )

    def frames(self, on_packet: object) -> Iterator[Frame]:
        for index, number in enumerate(self._numbers):
            picture = av.VideoFrame.from_ndarray(picture_of(number), format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = index, self.media.time_base
            yield Frame(picture=picture, index=index)

    def close(self) -> None:
        pass


class Notes(Source):
    """Files that end in .note, each with a number to be shown."""

    def __init__(self, paths: Sequence[Path], *, many: bool) -> None:
        self._paths = paths
        self.media = Media(width=WIDTH, height=HEIGHT, pixel_format="gbrp", time_base=Fraction(1))

    def frames(self, on_packet: object) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            picture = av.VideoFrame.from_ndarray(picture_of(int(path.read_text())), format="rgb24")
            yield Frame(picture=picture, index=index, path=path)

    def close(self) -> None:
        pass


COUNTER = SourceKind(recognises=lambda name: name.startswith("count:"), open=Counter, output_name=lambda name: "c.mp4")
NOTES = SourceKind(
    recognises=lambda name: name.endswith(".note"),
    open=Notes,
    is_still=True,
    endings=(".note",),
    output_name=lambda name: Path(name).with_suffix(".png").name,
)


@pytest.fixture(autouse=True)
def with_new_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setattr(sources, "KINDS", (*sources.KINDS, COUNTER, NOTES))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in (10, 9):
        (folder / f"{number}.note").write_text(str(number))
    return folder


def test_a_new_kind_is_annotated(tmp_path: Path) -> None:
    output, said = tmp_path / "out.mp4", tmp_path / "said.jsonl"
    part = {"start_seconds": 0.08, "duration_seconds": 0.16}
    ledger = annotate("count:50", output, Explainer(engine="eager"), predictions=said, **part)
    assert (ledger.delivered, ledger.verified) == (4, True)
    assert [json.loads(line)["time_seconds"] for line in said.read_text().splitlines()] == [0, 0.04, 0.08, 0.12]


def test_a_new_kind_is_an_argument_of_the_command(
    livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert livecam("annotate", "count:3").exit_code == 0
    assert livecam("annotate", "count:4", "demo:?size=64x48&seconds=0.1", "-o", "both").exit_code == 0
    assert len(facts_of(tmp_path / "c_livecam.mp4").times) == 3
    assert shown_in(tmp_path / "both") == ["c.mp4", "demo.mp4"]
    assert len(facts_of(tmp_path / "both" / "c.mp4").times) == 4


def test_a_new_kind_is_watched_live_as_a_file_is() -> None:
    with open_live("count:3", LiveOptions(loop=True)) as source:
        assert not source.is_live
        frames = first_of(source, 7)
    assert [number_of(frame) for frame in frames] == [0, 1, 2, 0, 1, 2, 0]
    assert [frame.picture.pts for frame in frames] == list(range(7))
    with open_live("count:3", LiveOptions(realtime=True)) as source:
        assert source.is_live


def test_a_new_kind_of_stills_is_found_in_folders(livecam: Livecam, tmp_path: Path, notes: Path) -> None:
    assert [number_of(frame) for frame in frames_of(open_source(notes))] == [9, 10]
    plain = ("--opacity", 0, "--no-caption")
    assert livecam("annotate", notes / "9.note", "-o", tmp_path / "nine.png", *plain).exit_code == 0
    assert number_in(pixels(tmp_path / "nine.png")) == 9
    assert livecam("annotate", notes / "*.note", "-o", tmp_path / "out", *plain).exit_code == 0
    assert shown_in(tmp_path / "out") == ["10.png", "9.png"]
    with pytest.raises(InputError, match="still picture"):
        open_live(str(notes / "9.note"), LiveOptions())


def test_kinds_of_stills_are_not_read_together(notes: Path) -> None:
    (notes / "a.png").touch()
    assert len(find_inputs(notes)) == 2
    with pytest.raises(InputError, match="can only hold pictures here; open .*a.png by itself"):
        open_source(notes)


def test_a_camera_is_only_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="^0 does not exist"):
        open_source("0")
