"""Names of inputs, and the files that they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from livecam.errors import InputError
from livecam.sources import Input, find_inputs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b10.png", "b9.png", "B1.JPG", "clip.MP4", "a.mkv", ".hidden.png", "notes.txt", "[x].png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "inner.gif").touch()
    return tmp_path


def names(inputs: list[Input]) -> list[tuple[str, ...]]:
    return [each.names for each in inputs]


def test_pictures_are_read_together_in_natural_order_and_each_video_alone(folder: Path) -> None:
    found = find_inputs(".")
    assert names(found) == [("[x].png", "B1.JPG", "b9.png", "b10.png"), ("a.mkv",), ("clip.MP4",)]
    assert [each.kind.is_still for each in found] == [True, False, False]
    assert all(each.many for each in found)


def test_folders_inside_a_folder_are_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    find_inputs(".")
    assert caplog.messages == ["folders inside . are left out: folder.png; './**/*' takes all"]
    assert ("folder.png/inner.gif",) in {each.names[-1:] for each in find_inputs("./**/*")}
    (folder / "outer").mkdir()
    (folder / "folder.png").rename(folder / "outer" / "inner")
    with pytest.raises(InputError, match=r"holds no pictures and no videos; 'outer/\*\*/\*' takes those in"):
        find_inputs("outer")
    assert len(caplog.messages) == 1


def test_what_two_names_stand_for_is_taken_once(folder: Path) -> None:
    assert names(find_inputs(["b*.png", "./b9.png", "a.mkv", f"file:{folder}/a.mkv", "b9.png"])) == [
        ("b9.png", "b10.png"),
        ("a.mkv",),
        (f"{folder}/a.mkv",),
    ]


def test_one_name_is_one_input_and_a_list_is_several(folder: Path) -> None:
    assert not find_inputs("b9.png")[0].many
    assert not find_inputs(Path("a.mkv"))[0].many
    assert find_inputs(["b9.png"])[0].many
    assert find_inputs("b9*")[0].many


def test_patterns_reach_into_folders_and_what_exists_is_no_pattern(folder: Path) -> None:
    assert names(find_inputs("**/*.gif")) == [("folder.png/inner.gif",)]
    assert names(find_inputs("folder.png")) == [("folder.png/inner.gif",)]
    assert names(find_inputs("[x].png")) == [("[x].png",)]
    assert not find_inputs("[x].png")[0].many


@pytest.mark.parametrize("name", ["demo:?seconds=1", "http://host/clip.mp4?x=*", "rtsp://host/[1]"])
def test_addresses_are_no_patterns(folder: Path, name: str) -> None:
    (found,) = find_inputs(name)
    assert (found.names, found.many, found.kind.is_still) == ((name,), False, False)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("a.mkv", "a.mkv"),
        ("x/clip.MP4", "clip.MP4"),
        ("clip.avi", "clip.mp4"),
        ("photo.JPG", "photo.JPG"),
        ("x/anim.gif", "anim.png"),
        ("demo:?seconds=1", "demo.mp4"),
        ("http://host/a/clip.webm?token=x.y", "clip.webm"),
        ("http://host/live", "live.mp4"),
    ],
)
def test_outputs_are_called_like_inputs_with_an_ending_that_can_be_written(name: str, output: str) -> None:
    (found,) = find_inputs(name)
    assert found.kind.output_name(name) == output
