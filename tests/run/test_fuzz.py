"""Damaged files: none hangs or ends the program, and the account of each is what counting its packets says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import av
import pytest

from tests.support.annotating import Annotator
from tests.support.mutations import PAIRS, make_pair, mutated

MOST_MEMORY_MIB = 2048


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The content of a clip of each pair, by its name."""
    folder = tmp_path_factory.mktemp("sound")
    return {name: make_pair(folder, name).read_bytes() for name in PAIRS}


@pytest.fixture(scope="module")
def annotator() -> Iterator[Annotator]:
    annotator = Annotator()
    yield annotator
    annotator.close()


def packets_of(path: Path) -> int:
    """Count the packets of the first video stream that are to be shown; a file that breaks off holds those before."""
    count = 0
    with av.open(str(path)) as container, suppress(av.FFmpegError):
        for packet in container.demux(video=0):
            count += packet.size > 0 and not packet.is_discard
    return count


def times_of(path: Path) -> list[int]:
    """The times of a file's pictures, decoded one after the other."""
    with av.open(str(path)) as container:
        return [picture.pts for picture in container.decode(video=0)]


def check_damaged(source: Path, annotator: Annotator) -> None:
    """Annotate a damaged file, and check all that is promised of it."""
    output, report = source.with_name("out.mp4"), source.with_name("report.json")
    result = annotator.annotate(source, output, report)
    assert not result.problem, result.problem
    assert result.exit_code in (0, 1), result.text
    assert "Traceback" not in result.text and "unexpected" not in result.text, result.text
    assert result.memory_mib < MOST_MEMORY_MIB
    left = {path.name for path in source.parent.iterdir()} - {source.name, output.name, report.name}
    assert not left, (left, result.text)
    assert output.exists() == report.exists(), result.text
    if not output.exists():
        assert result.exit_code == 1
        assert result.text.strip().splitlines()[-1].startswith("livecam: "), result.text
        return
    account = json.loads(report.read_text())
    frames = account["frames"]
    assert account["verified"] is True
    assert frames["read"] == frames["written"] == frames["explained"]
    assert (result.exit_code == 0) == (frames["unreadable"] == frames["damaged"] == 0), result.text
    times = times_of(output)
    assert len(times) == frames["written"]
    assert times == sorted(set(times))
    assert frames["read"] + frames["unreadable"] >= packets_of(source), result.text


@pytest.mark.parametrize("seed", range(24))
def test_a_damaged_file(seed: int, sound: dict[str, bytes], annotator: Annotator, tmp_path: Path) -> None:
    name = list(PAIRS)[seed % len(PAIRS)]
    source = tmp_path / name
    source.write_bytes(mutated(sound[name], Random(seed)))
    check_damaged(source, annotator)


@pytest.mark.long
@pytest.mark.parametrize(
    "seed", [*range(24, 120), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(120, 340))]
)
def test_many_damaged_files(seed: int, sound: dict[str, bytes], annotator: Annotator, tmp_path: Path) -> None:
    test_a_damaged_file(seed, sound, annotator, tmp_path)
