"""Models of clips on the command line: what is written of them, and requests that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result

from livecam.motion_scene import MotionScene

Livecam = Callable[..., Result]
Clip = Callable[..., Path]

CLIPS = ("--model", "tests.support.tiny:tiny_clips", "--engine", "eager")
STILLS = ("--model", "tests.support.tiny:quick_shapes", "--engine", "eager")


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def check(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        (first, last), (begin, end) = line["clip_frames"], line["cell_frames"]
        assert first <= begin <= line["index"] <= end <= last
        assert line["age_frames"] == 0


def test_annotate_writes_every_frame_with_the_map_of_its_time(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    said, report, maps = tmp_path / "said.jsonl", tmp_path / "run.json", tmp_path / "maps.npy"
    beside = ("--predictions", said, "--report", report, "--save-map", maps)
    result = livecam("annotate", clip(frames=20), "-o", tmp_path / "out.mp4", *CLIPS, "--stride", 3, *beside)
    assert result.exit_code == 0, result.output
    assert "20 read, 20 explained (5 clips), 0 dropped, 20 written, verified" in result.stderr
    lines = lines_of(said)
    assert [line["index"] for line in lines] == list(range(20))
    check(lines)
    assert json.loads(report.read_text())["clips"] == {"explained": 5, "left_out": 0}
    assert len(np.load(maps)) == 20


def test_heat_lies_on_the_frames_in_which_something_moves(livecam: Livecam, tmp_path: Path) -> None:
    said = tmp_path / "said.jsonl"
    source = "demo:motion?seconds=8&size=320x180&fps=30&seed=3"
    options = ("--model", "tests.support.tiny:moves", "--target", "moves", "--steady", "off", "--predictions", said)
    assert livecam("annotate", source, "-o", "null:", *options, "--engine", "eager").exit_code == 0
    scene = MotionScene(3, width=320, height=180)
    events = [event for event in map(scene.event, range(5)) if event.mover is not None]
    moving = {frame for event in events for frame in range(240) if event.start_seconds < frame / 30 < event.end_seconds}
    hot = {line["index"] for line in lines_of(said) if line["explained"][0]["peak"]}
    assert moving <= hot
    assert all(min(abs(frame - other) for other in moving) <= 3 for frame in hot)  # a cell has four frames


def test_live_shows_every_frame_of_a_file(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    said, report = tmp_path / "said.jsonl", tmp_path / "run.json"
    beside = ("--predictions", said, "--report", report)
    result = livecam("live", clip(frames=20), "--no-window", *CLIPS, "--stride", 3, *beside)
    assert result.exit_code == 0, result.output
    lines = lines_of(said)
    assert [line["index"] for line in lines] == list(range(20))
    check(lines)
    (source,) = json.loads(report.read_text())["sources"]
    assert source["clips"]["explained"] == 5


def test_a_live_file_that_is_shorter_than_a_clip_is_told(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    result = livecam("live", clip(frames=5), "--no-window", *CLIPS, "--predictions", tmp_path / "said.jsonl")
    assert "is too short with 5 frames: the model sees 8; take a longer video" in result.stderr
    assert "5 captured, 0 explained, 5 dropped (5 at end), 0 shown" in result.stderr


@pytest.mark.parametrize(
    ("frames", "options", "problem"),
    [
        (5, CLIPS, "{} is too short with 5 frames: the model sees 8; take a longer video"),
        (12, (*CLIPS, "--stride", 9), "a clip is 8 frames long, so stride is a number from 1 to that, not 9"),
        (12, (*CLIPS, "--every", 2), "every is for models of single frames; for tiny_clips, say stride"),
        (12, (*STILLS, "--stride", 2), "stride is for models of clips, and this one sees single frames; leave it out"),
    ],
)
def test_what_does_not_fit_a_video_is_told_in_one_line(
    livecam: Livecam, clip: Clip, tmp_path: Path, frames: int, options: tuple[str, ...], problem: str
) -> None:
    source = clip(frames=frames)
    result = livecam("annotate", source, "-o", tmp_path / "out.mp4", *options)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"livecam: {problem.format(source)}"
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (CLIPS, "tiny_clips sees clips of 8 frames, and a picture is none; give it a video"),
        ((*STILLS, "--stride", 2), "stride is for videos, of which clips are explained; leave it out for pictures"),
    ],
)
@pytest.mark.parametrize("is_folder", [False, True])
def test_pictures_are_no_clip(
    livecam: Livecam, tmp_path: Path, options: tuple[str, ...], problem: str, is_folder: bool
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.zeros((40, 40, 3), np.uint8))
    result = livecam("annotate", folder if is_folder else folder / "a.png", "-o", "null:", *options)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"livecam: {problem}"
    assert list(tmp_path.iterdir()) == [folder]
