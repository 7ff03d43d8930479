"""A command that is killed again and again, and resumed each time, ends with what an undisturbed one makes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livecam import open_source
from tests.support.clips import make_clip
from tests.support.folders import shown_in
from tests.support.reading import frames_of
from tests.support.stills import pixels, scene

BROKEN = (b"", b"This is no picture and no video.", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0 and no more", b"RIFF")
LARGEST_DIFFERENCE = 1
"""Of a pixel: which pictures are explained together changes the last digits of a map."""


def mixed_files(folder: Path, *, pictures: int, clips: int, animations: int, broken: int) -> None:
    folder.mkdir()
    for number in range(pictures):
        scene(number, 160 + 8 * number, 120).save(folder / f"picture{number}.{('png', 'jpg', 'webp')[number % 3]}")
    for number in range(clips):
        make_clip(folder / f"clip{number}.{('mp4', 'mkv')[number % 2]}", frames=10 + number, size=(160, 120))
    for number in range(animations):
        frames = [scene(100 + number), scene(200 + number)]
        frames[0].save(folder / f"moves{number}.gif", save_all=True, append_images=frames[1:])
    for number in range(broken):
        ending = ("png", "mp4", "jpg", "mkv", "gif")[number % 5]
        (folder / f"broken{number}.{ending}").write_bytes(BROKEN[number // 2 % len(BROKEN)])


def command(source: Path, output: Path) -> list[str]:
    options = ["--resume", "--model", "shapes", "--engine", "eager", "--batch", "2", "--preset", "ultrafast"]
    return [sys.executable, "-m", "livecam", "annotate", str(source), "-o", str(output), *options]


def noted(output: Path) -> list[dict[str, Any]]:
    """The lines on finished outputs, of those that are whole."""
    lines = []
    for file in (output / ".livecam").glob("*.jsonl"):
        for text in file.read_bytes().split(b"\n"):
            if text.endswith(b"}") and "done" in (line := json.loads(text)):
                lines.append(line["done"])
    return lines


def times(output: Path) -> dict[str, int]:
    """When each output that is noted as finished was written."""
    return {line["output"]: (output / line["output"]).stat().st_mtime_ns for line in noted(output)}


def kill_after(process: subprocess.Popen[bytes], output: Path, outputs: int, more_seconds: float) -> bool:
    """Kill a process once it has finished some outputs, a little later. Return False if it has ended before."""
    until = len(noted(output)) + outputs
    while len(noted(output)) < until and process.poll() is None:
        time.sleep(0.005)
    time.sleep(more_seconds)
    process.kill()
    return process.wait() == -9


@pytest.mark.parametrize(
    ("pictures", "clips", "animations", "broken", "kills"),
    [
        pytest.param(6, 4, 1, 3, 3, marks=pytest.mark.long),
        pytest.param(28, 16, 6, 10, 10, marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_it_makes_the_same(
    tmp_path: Path, pictures: int, clips: int, animations: int, broken: int, kills: int
) -> None:
    source, calm, output = tmp_path / "in", tmp_path / "calm", tmp_path / "out"
    mixed_files(source, pictures=pictures, clips=clips, animations=animations, broken=broken)
    whole = pictures + clips + animations
    undisturbed = subprocess.run(command(source, calm), capture_output=True, text=True, check=False)
    assert undisturbed.returncode == 1
    chosen = random.Random(kills)
    killed, finished = 0, times(output)
    while killed < kills:
        with subprocess.Popen(command(source, output), stderr=subprocess.DEVNULL) as process:
            at_most = (whole - len(finished)) // (kills - killed + 1)
            assert kill_after(process, output, chosen.randint(0, max(at_most, 1)), chosen.uniform(0, 0.2))
        killed += 1
        assert {**times(output), **finished} == times(output), "what was done was done again"
        finished = times(output)
    last = subprocess.run(command(source, output), capture_output=True, text=True, check=False)
    assert last.returncode == 1
    told = f"{whole - len(finished)} of {whole + broken} inputs done, {len(finished)} done before, {broken} failed"
    assert last.stderr.splitlines()[-1] == f"livecam: {told}"
    assert {**times(output), **finished} == times(output)
    assert Counter(line["output"] for line in noted(output)) == Counter(shown_in(output))
    assert shown_in(output) == shown_in(calm)  # so that no part is left
    assert len(shown_in(output)) == whole
    for name in shown_in(output):
        assert difference(output / name, calm / name) <= LARGEST_DIFFERENCE, name


def difference(one: Path, other: Path) -> int:
    """The largest difference of two pixels of pictures or videos."""
    read = frames_in if one.suffix in (".mp4", ".mkv") else pixels
    return int(np.abs(read(one) - read(other)).max())


def frames_in(video: Path) -> np.ndarray:
    frames = frames_of(open_source(video))
    return np.stack([frame.picture.to_ndarray(format="rgb24") for frame in frames]).astype(int)
