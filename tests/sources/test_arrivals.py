"""A file has arrived when it is whole: unchanged for a while, and open for writing by nobody."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from livecam.sources.arrivals import QUIET_SECONDS, Arrivals
from livecam.system.files import is_being_written


class Watched:
    """Two folders that are looked into at times that the test chooses."""

    def __init__(self, tmp_path: Path) -> None:
        self.seconds = 0.0
        self.folders = (tmp_path / "first", tmp_path / "second")
        for folder in self.folders:
            folder.mkdir()
        names = [str(folder) for folder in self.folders]
        self.arrivals = Arrivals(names, (".png", ".mp4"), clock=lambda: self.seconds)

    def put(self, name: str, content: str = "whole", folder: int = 0) -> Path:
        path = self.folders[folder] / name
        path.write_text(content)
        return path

    def look(self, after_seconds: float = 0.0) -> list[str]:
        self.seconds += after_seconds
        return [Path(name).name for name in self.arrivals.look()]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_what_is_there_comes_first_and_once(watched: Watched) -> None:
    for number in (10, 9):
        watched.put(f"{number}.png")
    watched.put("1.mp4", folder=1)
    assert watched.look() == []
    assert watched.look(QUIET_SECONDS) == ["9.png", "10.png", "1.mp4"]
    assert watched.look(QUIET_SECONDS) == []
    watched.put("11.png")
    assert watched.look() == watched.look(QUIET_SECONDS / 2) == []
    assert watched.look(QUIET_SECONDS / 2) == ["11.png"]


def test_a_file_that_grows_is_waited_for(watched: Watched) -> None:
    path = watched.put("a.mp4", "")
    for number in range(5):
        path.write_text("x" * number)
        assert watched.look(QUIET_SECONDS - 0.1) == []
    assert watched.look(QUIET_SECONDS) == ["a.mp4"]


def test_a_file_of_the_same_size_that_is_written_again_arrives_again(watched: Watched) -> None:
    path = watched.put("a.mp4", "1234")
    watched.look()
    assert watched.look(QUIET_SECONDS) == ["a.mp4"]
    path.write_text("5678")
    os.utime(path, ns=(0, 123_456_789))
    assert watched.look() == []
    assert watched.look(QUIET_SECONDS) == ["a.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")
def test_a_file_that_is_open_for_writing_is_waited_for(watched: Watched) -> None:
    path = watched.put("a.mp4")
    with path.open("a"), path.open("rb"):
        assert is_being_written(path)
        assert watched.look() == watched.look(99) == []
    with path.open("rb"):
        assert not is_being_written(path)
        assert watched.look() == ["a.mp4"]
    assert not is_being_written(path.with_name("none"))


def test_what_is_not_finished_or_no_input_is_passed_over(watched: Watched) -> None:
    names = ("a.mp4.part", "b.temp.mp4", "c.PART.png", ".d.png", "e.txt", "f.png.tmp", "g.png.crdownload", "h.jpg")
    for name in names:
        watched.put(name)
    (watched.folders[0] / "folder.png").mkdir()
    (watched.folders[0] / "inside").mkdir()
    watched.put("inside/i.png")
    assert watched.look() == watched.look(QUIET_SECONDS) == []
    (watched.folders[0] / "a.mp4.part").rename(watched.folders[0] / "a.mp4")
    assert watched.look() == []
    assert watched.look(QUIET_SECONDS) == ["a.mp4"]


def test_a_folder_that_is_away_for_a_while_is_told_and_looked_into_later(watched: Watched) -> None:
    first, second = watched.folders
    watched.put("a.png")
    watched.put("b.png", folder=1)
    second.rename(second.with_name("away"))
    assert watched.look() == []
    assert watched.arrivals.problem == (
        f"the folder {second} cannot be read (No such file or directory); check if it is still there"
    )
    assert watched.look(QUIET_SECONDS) == ["a.png"]
    shutil.move(second.with_name("away"), second)
    assert watched.look() == []
    assert watched.arrivals.problem == ""
    assert watched.look(QUIET_SECONDS) == ["b.png"]
