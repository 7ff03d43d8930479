"""What a copy says of its pictures and of itself is what the source said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from click.testing import Result

from livecam.sources import open_source
from tests.support import projected
from tests.support.copying import copied

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]


def side_data(path: Path, kind: str) -> bytes | None:
    with av.open(str(path)) as container:
        data = next(container.decode(video=0)).side_data.get(kind)
        return None if data is None else bytes(data)


def chroma_location(path: Path) -> int:
    with open_source(path) as source:
        return source.media.chroma_location


@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "libx264"), ("mov", "libx264"), ("mkv", "mpeg4"), ("mp4", "libx265")]
)
@pytest.mark.parametrize("location", [1, 2, 3])
def test_chroma_stays_where_it_was_sampled(clip: Clip, tmp_path: Path, location: int, ending: str, codec: str) -> None:
    source = clip("clip.mp4", frames=4, options={"chroma_sample_location": str(location)})
    assert chroma_location(copied(source, tmp_path / f"out.{ending}", codec)) == location


def test_pictures_without_chroma_have_no_place_of_it(clip: Clip, tmp_path: Path) -> None:
    source = clip("clip.mkv", codec="ffv1", pixel_format="gray", frames=4)
    assert chroma_location(source) == 0
    copied(source, tmp_path / "out.mp4")


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_360_degrees_stay(clip: Clip, tmp_path: Path, ending: str, codec: str) -> None:
    source = clip("clip.mp4", frames=4)
    projected.insert_into_sample_entry(source, projected.sphere(projected.EQUIRECTANGULAR))
    said = side_data(source, "SPHERICAL")
    assert said is not None
    assert side_data(copied(source, tmp_path / f"out.{ending}", codec), "SPHERICAL") == said


def test_a_turned_sphere_stays_turned(clip: Clip, tmp_path: Path) -> None:
    turned = projected.sphere(projected.EQUIRECTANGULAR, yaw_degrees=30)
    source = clip("clip.mp4", frames=4)
    projected.insert_into_sample_entry(source, turned)
    as_mkv = copied(source, tmp_path / "out.mkv")
    assert side_data(as_mkv, "SPHERICAL") == side_data(source, "SPHERICAL")
    assert (
        turned[-60:] in copied(as_mkv, tmp_path / "out.mp4").read_bytes()
    )  # FFmpeg writes another name of the program


def test_panels_are_no_sphere(clip: Clip, livecam: Livecam, tmp_path: Path) -> None:
    source, output = clip("clip.mp4", frames=4), tmp_path / "out.mp4"
    projected.insert_into_sample_entry(source, projected.sphere(projected.EQUIRECTANGULAR))
    result = livecam("annotate", source, "-o", output, "--view", "side-by-side")
    assert result.exit_code == 0, result.output
    assert side_data(output, "SPHERICAL") is None


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libx264"), ("mkv", "libx265"), ("webm", "libvpx-vp9")])
@pytest.mark.parametrize("stereo", [projected.TOP_AND_BOTTOM, projected.SIDE_BY_SIDE], ids=["halves", "sides"])
@pytest.mark.parametrize("sphere", [b"", projected.sphere(projected.CUBEMAP)], ids=["flat", "cube"])
def test_stereo_and_cubes_stay(
    clip: Clip, tmp_path: Path, sphere: bytes, stereo: bytes, ending: str, codec: str
) -> None:
    source = clip("clip.mp4", frames=4)
    projected.insert_into_sample_entry(source, sphere + stereo)
    output = copied(source, tmp_path / f"out.{ending}", codec)
    for kind in ("STEREO3D", "SPHERICAL"):
        assert side_data(output, kind) == side_data(source, kind)


@pytest.mark.parametrize("packing", [0, 3, 4])
@pytest.mark.parametrize("name", ["clip.ts", "clip.mp4", "clip.avi"])
def test_stereo_that_only_the_pictures_tell_of_stays(clip: Clip, tmp_path: Path, name: str, packing: int) -> None:
    source = clip(name, frames=4, options={"x264-params": f"frame-packing={packing}"})
    said = side_data(source, "STEREO3D")
    assert said is not None
    assert side_data(copied(source, tmp_path / "out.mkv", "mpeg4"), "STEREO3D") == said


def test_it_is_told_that_mov_does_not_keep_all(clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = clip("clip.mp4", frames=4)
    projected.insert_into_sample_entry(source, projected.SIDE_BY_SIDE)
    copied(source, tmp_path / "out.mp4")
    assert caplog.messages == []
    copied(source, tmp_path / "out.mov")
    assert any("a .mov tells of 360 degrees only Apple's players" in message for message in caplog.messages)


def test_the_luminances_of_a_display_do_not_come_with_the_sphere(clip: Clip, tmp_path: Path) -> None:
    source = clip("clip.mp4", frames=4, codec="libx265")
    light = projected.box(b"clli", b"\x03\xe8\x01\x90")
    projected.insert_into_sample_entry(source, projected.sphere(projected.EQUIRECTANGULAR) + light)
    assert side_data(source, "CONTENT_LIGHT_LEVEL") is not None
    output = copied(source, tmp_path / "out.mkv")
    assert side_data(output, "SPHERICAL") is not None
    assert side_data(output, "CONTENT_LIGHT_LEVEL") is None


TAGS = {
    "title": "A clip",
    "com.android.version": "14",
    "com.apple.quicktime.make": "Somebody",
    "location": "+48.0000+011.0000/",
}


@pytest.mark.parametrize("source_ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_the_tags_of_phones_stay(clip: Clip, tmp_path: Path, source_ending: str, ending: str) -> None:
    options = {} if source_ending == "mkv" else {"movflags": "use_metadata_tags"}
    source = clip(f"clip.{source_ending}", frames=4, metadata=TAGS, container_options=options)
    with av.open(str(copied(source, tmp_path / f"out.{ending}"))) as container:
        kept = {key.lower(): value for key, value in container.metadata.items()}
    assert kept.items() >= TAGS.items()


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_ordinary_tags_are_written_where_all_programs_look(clip: Clip, tmp_path: Path, ending: str) -> None:
    output = copied(clip("clip.mp4", frames=4, metadata={"title": "A clip"}), tmp_path / f"out.{ending}")
    assert b"\xa9nam" in output.read_bytes()
    with av.open(str(output)) as container:
        assert container.metadata["title"] == "A clip"


@pytest.mark.parametrize(
    ("ending", "codec", "tag"),
    [("mp4", "libx265", "hvc1"), ("mov", "libx265", "hvc1"), ("m4v", "libx265", "hvc1"), ("mp4", "libx264", "avc1")],
)
def test_codecs_have_the_tag_that_players_look_for(
    clip: Clip, tmp_path: Path, ending: str, codec: str, tag: str
) -> None:
    with av.open(str(copied(clip(frames=4), tmp_path / f"out.{ending}", codec))) as container:
        assert container.streams.video[0].codec_context.codec_tag == tag
