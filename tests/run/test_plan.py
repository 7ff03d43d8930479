"""The plan: which inputs become which outputs, errors are found before anything is created."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from livecam.errors import LivecamError, OutputError
from livecam.ledger import FILE, Ledger
from livecam.run.manifest import Manifest
from livecam.run.plan import default_output, planned
from livecam.run.runs import Options, Run
from livecam.sinks import EncoderOptions
from livecam.sources import find_inputs
from tests.support.stills import scene

Clip = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    clip("in/clip.mp4", frames=2)
    clip("in/old.avi", frames=2, codec="mpeg4")
    for name in ("in/a.png", "in/b.gif"):
        scene().save(name)
    return tmp_path


def plan(source: str | list[str], output: str, **options: object) -> list[Run]:
    with planned(find_inputs(source), output, Options(**options)) as runs:  # type: ignore[arg-type]
        return runs


def test_pictures_are_one_run_and_each_video_is_one(folder: Path) -> None:
    pictures, clip, old = plan("in", "out")
    assert (pictures.is_still, pictures.output) == (True, "out")
    assert pictures.files == {"in/a.png": Path("out/a.png"), "in/b.gif": Path("out/b.png")}
    assert (clip.is_still, clip.output, clip.files) == (False, "out/clip.mp4", {"in/clip.mp4": Path("out/clip.mp4")})
    assert old.output == "out/old.mp4"
    assert not (folder / "out").exists()  # nothing was put into it


def test_a_picture_goes_to_a_file_or_into_a_folder_that_exists(folder: Path) -> None:
    assert plan("in/b.gif", "x.webp")[0].files == {"in/b.gif": Path("x.webp")}
    assert plan("in/b.gif", "in")[0].files == {"in/b.gif": Path("in/b.png")}


@pytest.mark.parametrize("output", [".", "/", "in"])
def test_a_folder_is_no_file(folder: Path, output: str) -> None:
    with pytest.raises(OutputError, match="the ending of a video has to be one of"):
        plan("in/clip.mp4", output)
    with pytest.raises(OutputError, match="is a folder; name a file"):
        plan("in/clip.mp4", "out.mp4", report=output)


def test_a_url_with_another_query_has_not_been_done(folder: Path) -> None:
    """What is noted of it is the same, so that no credentials are noted."""

    def is_done_before(url: str) -> bool:
        manifest = Manifest(Path("out"), dict)
        inputs = find_inputs([url, "in/clip.mp4"])
        with manifest, planned(inputs, "out", Options(resume=True), manifest) as (run, _):
            if run.done:
                return True
            run.begin()
            run.files[url].write_bytes(b"video")
            run.record(run.names, Ledger(FILE, url))
            return False

    one, two = (f"http://user:swordfish@127.0.0.1/video?id={number}" for number in (1, 2))
    assert list(map(is_done_before, (one, one, two, two, one))) == [False, True, False, True, False]
    assert not any("swordfish" in file.read_text() for file in Path("out/.livecam").iterdir())


def test_numbered_pictures_in_another_order_are_another_version(folder: Path) -> None:
    for number, name in enumerate(("in/a.png", "in/b.gif")):
        shutil.copy2(name, f"img{number}.png")
    (numbered,) = find_inputs("img%d.png")
    before = numbered.kind.version("img%d.png")
    assert numbered.kind.version("img%d.png") == before
    Path("img0.png").rename("img2.png")
    Path("img1.png").rename("img0.png")
    Path("img2.png").rename("img1.png")
    assert numbered.kind.version("img%d.png") != before


def test_null_is_no_folder_and_no_file(folder: Path) -> None:
    assert [(run.output, run.files) for run in plan("in", "null:")] == [("null:", {})] * 3
    assert sorted(path.name for path in folder.iterdir()) == ["in"]


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (["in/clip.mp4"], "clip_livecam.mp4"),
        (["in/old.avi"], "old_livecam.mp4"),
        (["in/b.gif"], "b_livecam.png"),
        (["demo:?seconds=1"], "demo.mp4"),
        (["http://host/CLIP.MKV?x=1.5"], "CLIP_livecam.mkv"),
        (["in/"], "in_livecam"),
        (["in/*.png"], "livecam_output"),
        (["in/a.png", "in/clip.mp4"], "livecam_output"),
    ],
)
def test_what_outputs_are_called_where_nobody_says(folder: Path, names: list[str], output: str) -> None:
    assert default_output(names, find_inputs(names if len(names) > 1 else names[0])) == output


def test_what_is_meant_for_videos_leaves_pictures_beside_them_alone(folder: Path) -> None:
    of_videos = {"every": 3, "start_seconds": 0.04, "duration_seconds": 1.0, "encoder": EncoderOptions(crf=20)}
    pictures, clip, _ = plan("in", "out", **of_videos)
    assert clip.options == Options(**of_videos)  # type: ignore[arg-type]
    assert pictures.options == Options()
    with pictures.open_source() as source:
        assert source.media.width == 160
    for option in ({"every": 3}, {"encoder": EncoderOptions(crf=20)}):
        with pytest.raises(LivecamError, match="for videos"):
            plan("in/*.png", "out", **option)


def test_all_outputs_are_checked_before_the_first_run(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "old.mp4").write_bytes(b"precious")
    (run,) = (run for run in plan("in", "out") if run.refused)
    assert "out/old.mp4 exists" in str(run.refused["in/old.avi"])
    assert not any(run.refused for run in plan("in", "out", overwrite=True))
    with pytest.raises(OutputError, match="out/old.mp4 exists"):
        plan(["in/old.avi"], "out")
    with pytest.raises(OutputError, match="in/a.png would be the input as well"):
        plan(["in/clip.mp4", "in/a.png"], "in", overwrite=True)


def test_sidecars_are_checked_whatever_the_output_is(folder: Path) -> None:
    for output in ("null:", "out.png"):
        for bad, problem in {
            "in": "is a folder",
            "no/file.npy": "does not exist",
            "in/a.png": "would be the input as well",
        }.items():
            with pytest.raises(OutputError, match=problem):
                plan("in/a.png", output, predictions=bad)
        with pytest.raises(OutputError, match="would be an output as well"):
            plan("in/a.png", output, predictions="p.npy", save_map="./p.npy")
    with pytest.raises(LivecamError, match="describe one run, but these inputs make 3"):
        plan("in", "null:", save_map="m.npy")


def test_a_folder_that_was_made_stays_with_what_was_put_into_it(folder: Path) -> None:
    with planned(find_inputs("in"), "out", Options()):
        (folder / "out" / "kept").touch()
    assert (folder / "out" / "kept").exists()
    with pytest.raises(OutputError, match="out.mp4 is named like a file"):
        plan("in", "out.mp4")
