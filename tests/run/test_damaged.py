"""A damaged file is annotated as far as it decodes, and the ledger says what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from click.testing import Result

from tests.support.clips import facts_of, number_in
from tests.support.packets import remuxed

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]


def with_index_in_front(source: Path) -> Path:
    """The same MP4, rewritten so that it can be cut and still be opened."""
    return remuxed(source, source.with_name("front.mp4"), movflags="faststart")


def annotate_damaged(livecam: Livecam, source: Path) -> tuple[dict[str, int], Path, Result]:
    output, report = source.with_name("out.mp4"), source.with_name("report.json")
    result = livecam(
        "annotate", source, "-o", output, "--weights", "none", "--opacity", 0.3, "--report", report, "--overwrite"
    )
    assert result.exit_code == 1, result.output
    return json.loads(report.read_text())["frames"], output, result


def test_a_truncated_mp4(livecam: Livecam, clip: Clip) -> None:
    source = with_index_in_front(clip(frames=60, audio=["aac"], b_frames=2, size=(320, 180)))
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    frames, output, result = annotate_damaged(livecam, source)
    assert frames["read"] == frames["written"] > 10
    assert frames["read"] + frames["unreadable"] == 60
    assert f"{frames['unreadable']} frames could not be read; " in result.stderr
    assert [number_in(picture) for picture in facts_of(output).pictures] == list(range(frames["read"]))


def test_a_truncated_mkv(livecam: Livecam, clip: Clip) -> None:
    source = clip("clip.mkv", frames=60, size=(320, 180))
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    frames, output, _ = annotate_damaged(livecam, source)
    assert frames["read"] == frames["written"] > 10
    assert frames["read"] + frames["unreadable"] == 60
    assert len(facts_of(output).pictures) == frames["read"]


@pytest.mark.parametrize("threads", [1, 2])
def test_noise_in_the_middle(livecam: Livecam, clip: Clip, threads: int) -> None:
    source = with_index_in_front(clip(frames=60, size=(320, 180), b_frames=2 * (threads - 1)))
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes((7 * n * n + n) % 251 for n in range(4000))
    source.write_bytes(content)
    frames, output, result = annotate_damaged(livecam, source)
    assert frames["unreadable"] + frames["damaged"] > 0
    assert frames["read"] + frames["unreadable"] == 60
    assert "frames could not be read" in result.stderr
    after = facts_of(output)
    assert len(after.times) == frames["written"]
    assert after.times == sorted(after.times)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_what_depends_on_a_packet_that_cannot_be_decoded_is_damaged(livecam: Livecam, clip: Clip, codec: str) -> None:
    source = clip("clip.mkv", frames=30, codec=codec)
    with av.open(str(source)) as container:
        packet = bytes([packet for packet in container.demux(video=0) if packet.size][2])
    source.write_bytes(source.read_bytes().replace(packet, bytes(len(packet))))
    frames, _, _ = annotate_damaged(livecam, source)
    assert frames["unreadable"] >= 1
    assert frames["read"] + frames["unreadable"] == 30
    assert frames["damaged"] >= 8


def test_a_change_of_size_is_scaled_to_the_first_and_said_once(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    small, large = clip("small.ts", frames=5), clip("large.ts", frames=5, size=(320, 180), pts=[5, 6, 7, 8, 9])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    output = tmp_path / "out.mp4"
    result = livecam("annotate", joined, "-o", output, "--weights", "none", "--opacity", 0.3)
    assert result.exit_code == 0, result.output
    after = facts_of(output)
    assert [picture.shape for picture in after.pictures] == [(90, 160, 3)] * 10
    assert [number_in(picture) for picture in after.pictures] == [0, 1, 2, 3, 4] * 2
    assert result.stderr.count("scaled to the first size") == 1
