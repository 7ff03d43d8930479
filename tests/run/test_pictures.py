"""Still pictures: read as viewers show them, explained in one run, written whole under their own names."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import ExifTags, Image, ImageCms
from PIL.Image import Transpose

from livecam import Explainer, annotate, open_source
from livecam.cli.terminal import Progress
from livecam.errors import InputError, OutputError
from livecam.ledger import Ledger
from livecam.render import Style
from livecam.scene import Scene
from tests.support.clips import facts_of
from tests.support.disks import largest_file
from tests.support.folders import shown_in
from tests.support.reading import frames_of
from tests.support.stills import pixels, scene

Clip = Callable[..., Path]
Livecam = Callable[..., Result]

# What was done to an upright picture for each value of EXIF's orientation: the inverse of what a viewer does.
CODED = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
PLAIN = ("--opacity", "0", "--no-caption")


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four good pictures of several sizes, three that cannot be read, and what is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, size in ((10, (160, 96)), (2, (90, 161)), (1, (64, 64))):
        scene(number, *size).save(folder / f"img{number}.png")
    scene(3).save(folder / "photo.JPG", quality=95)
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("This is no picture.")
    (folder / "cut.png").write_bytes((folder / "img10.png").read_bytes()[:-300])
    (folder / "readme.txt").write_text("passed over")
    scene(4).save(folder / ".hidden.png")
    return folder


def good(folder: Path) -> list[Path]:
    return [folder / name for name in ("img1.png", "img2.png", "img10.png", "photo.JPG")]


def test_one_picture_to_a_file_or_into_a_folder(livecam: Livecam, tmp_path: Path, photos: Path) -> None:
    for output in (tmp_path / "out.webp", tmp_path):
        result = livecam("annotate", photos / "img1.png", "-o", output)
        assert result.exit_code == 0, result.output
        assert "1 read, 1 explained, 0 dropped, 1 written" in result.output
    assert pixels(tmp_path / "out.webp").shape == pixels(tmp_path / "img1.png").shape == (64, 64, 3)
    assert shown_in(tmp_path) == ["img1.png", "out.webp", "photos"]


def test_outputs_are_named_after_inputs(
    livecam: Livecam, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scene().save("moving.gif")
    for name in ("empty.png", "text.jpg", "cut.png"):
        (photos / name).unlink()
    for arguments in (["photos/photo.JPG"], ["moving.gif"], ["photos/"], ["photos/img*.png"]):
        assert livecam("annotate", *arguments).exit_code == 0
    paths = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if photos not in path.parents}
    made = {str(path) for path in paths if ".livecam" not in path.parts}
    folders = {f"photos_livecam/{path.name}" for path in good(photos)}
    folders |= {f"livecam_output/img{number}.png" for number in (1, 2, 10)}
    single = {"photos", "moving.gif", "photo_livecam.jpg", "moving_livecam.png", "photos_livecam", "livecam_output"}
    assert made == folders | single


def test_a_folder_goes_on_past_what_cannot_be_read(livecam: Livecam, tmp_path: Path, photos: Path) -> None:
    said, report = tmp_path / "said.jsonl", tmp_path / "run.json"
    result = livecam("annotate", photos, "-o", tmp_path / "out", "--predictions", said, "--report", report, *PLAIN)
    assert result.exit_code == 1
    assert "4 read, 4 explained, 0 dropped, 4 written, 3 unreadable" in result.output
    assert "empty.png is empty" in result.output
    assert "text.jpg is not a picture that can be read" in result.output
    *table, summary = result.output.splitlines()[-4:]
    assert summary == "livecam: 4 of 7 inputs done, 3 failed"
    for line, name in zip(sorted(table), ("cut.png", "empty.png", "text.jpg"), strict=True):
        assert line.startswith(f"  failed  {photos / name}")
    assert shown_in(tmp_path / "out") == sorted(path.name for path in good(photos))
    for path in good(photos)[:3]:
        assert np.array_equal(pixels(tmp_path / "out" / path.name), pixels(path))
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    assert [line["path"] for line in lines] == [str(path) for path in good(photos)]
    assert [(line["index"], line["time_seconds"]) for line in lines] == [(index, None) for index in range(4)]
    account = json.loads(report.read_text())
    assert account["output"] == {"path": str(tmp_path / "out"), "pictures": {"PNG": 3, "JPEG": 1}}
    assert len(account["failed_files"]) == account["frames"]["unreadable"] == 3
    assert account["failed_files"][str(photos / "empty.png")].endswith("empty.png is empty")


def test_pictures_are_told_not_to_belong_together_and_frames_of_a_video_to_do(
    livecam: Livecam, tmp_path: Path, photos: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[float | None, bool]] = []

    def expect(explainer: Explainer, pictures: float | None, *, batch: int = 1, separate: bool = False) -> None:
        told.append((pictures, separate))

    monkeypatch.setattr("livecam.explain.explainer.Explainer.expect", expect)
    for path in photos.iterdir():
        if path not in good(photos):
            path.unlink()
    clip("photos/clip.mp4", frames=3)
    result = livecam("annotate", photos, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert told == [(4, True), (3, False)]


def test_everything_at_once(livecam: Livecam, tmp_path: Path, photos: Path, clip: Clip) -> None:
    clip("photos/clip.mp4", frames=3)
    clip("other.mkv", frames=4)
    (tmp_path / "broken.mp4").write_text("no video")
    inputs = [photos, photos / "img*.png", tmp_path / "other.mkv", tmp_path / "broken.mp4", "demo:?seconds=0.1"]
    result = livecam("annotate", *inputs, "-o", tmp_path / "out", "--preset", "ultrafast")
    assert result.exit_code == 1
    made = set(shown_in(tmp_path / "out"))
    assert made == {path.name for path in good(photos)} | {"clip.mp4", "other.mkv", "demo.mp4"}
    assert len(facts_of(tmp_path / "out" / "other.mkv").pictures) == 4
    *table, summary = result.output.splitlines()[-5:]
    assert summary == "livecam: 7 of 11 inputs done, 4 failed"
    assert table[-1].startswith(f"  failed  {tmp_path / 'broken.mp4'}")


def test_a_pattern_may_search_folders_and_null_writes_nothing(livecam: Livecam, tmp_path: Path, photos: Path) -> None:
    (photos / "below").mkdir()
    scene(5).save(photos / "below" / "deep.png")
    before = sorted(tmp_path.rglob("*"))
    result = livecam("annotate", tmp_path / "**" / "*p.png", "-o", "null:")
    assert result.exit_code == 0
    assert "null: 1 read, 1 explained, 0 dropped, 1 drawn" in result.output
    assert sorted(tmp_path.rglob("*")) == before


def test_the_model_is_loaded_once(
    livecam: Livecam, tmp_path: Path, photos: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Counted(Explainer):
        def __init__(self, **options: object) -> None:
            made.append(self)
            super().__init__(**options)  # type: ignore[arg-type]

    monkeypatch.setattr("livecam.explain.explainer.Explainer", Counted)
    result = livecam("annotate", photos / "img1.png", clip(frames=2), "demo:?seconds=0.1", "-o", "null:")
    assert result.exit_code == 0
    assert len(made) == 1


@pytest.mark.parametrize(("ending", "orientation"), [*(("jpg", number) for number in range(1, 9)), ("png", 6)])
def test_exif_turns_the_picture_upright_and_the_map_with_it(
    livecam: Livecam, tmp_path: Path, orientation: int, ending: str
) -> None:
    upright = Scene(seed=7, shapes=1, width=192, height=112)
    image = Image.fromarray(upright.render(0.0))
    coded = image.transpose(CODED[orientation]) if orientation in CODED else image
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    source, output, said = tmp_path / f"in.{ending}", tmp_path / "out.png", tmp_path / "said.jsonl"
    coded.save(source, exif=exif, quality=95)
    result = livecam("annotate", source, "-o", output, "--predictions", said, *PLAIN)
    assert result.exit_code == 0, result.output
    with Image.open(output) as written:
        assert written.size == (192, 112)
        assert ExifTags.Base.Orientation not in written.getexif()
    assert np.abs(pixels(output) - np.asarray(image)).mean() < 3
    peak = json.loads(said.read_text())["explained"][0]["peak"]
    assert upright.masks(0.0)[0][int(peak["y"]), int(peak["x"])]


def test_the_first_picture_of_an_animation_is_explained_and_told(
    tmp_path: Path, explainer: Explainer, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = scene(1).quantize(32), scene(2).quantize(32)
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    with caplog.at_level(logging.WARNING, "livecam"):
        annotate(tmp_path / "moving.gif", tmp_path / "out.png", explainer, style=Style(opacity=0, caption=False))
    assert "moving.gif holds 2 pictures; the first is explained" in caplog.text
    assert np.array_equal(pixels(tmp_path / "out.png"), np.asarray(first.convert("RGB")))


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_the_colour_profile_is_carried_over(tmp_path: Path, explainer: Explainer, ending: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    scene().save(tmp_path / "in.jpg", icc_profile=profile)
    annotate(tmp_path / "in.jpg", tmp_path / f"out.{ending}", explainer)
    with Image.open(tmp_path / f"out.{ending}") as written:
        assert written.info["icc_profile"] == profile


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (301, 3)])
@pytest.mark.parametrize("view", ["overlay", "panels"])
def test_pictures_of_odd_shapes(livecam: Livecam, tmp_path: Path, size: tuple[int, int], view: str) -> None:
    Image.new("RGB", size, (200, 30, 30)).save(tmp_path / "odd.png")
    result = livecam("annotate", tmp_path / "odd.png", "-o", tmp_path / "out.png", "--view", view)
    assert result.exit_code == 0, result.output


def test_the_maps_are_the_explainers_own(tmp_path: Path, photos: Path, explainer: Explainer) -> None:
    pictures = good(photos)
    annotate(pictures, "null:", explainer, save_map=tmp_path / "maps.npy")
    maps = np.load(tmp_path / "maps.npy")
    assert maps.dtype == np.float32
    assert maps.shape == (4, *explainer(np.asarray(scene())).cam.shape)
    for frame, saved in zip(frames_of(open_source(pictures)), maps, strict=True):
        assert np.allclose(explainer(frame).cam, saved, rtol=1e-4, atol=1e-6)
    annotate(pictures[0], "null:", explainer, save_map=tmp_path / "maps.npy")
    assert np.load(tmp_path / "maps.npy").shape == maps.shape[1:]


def test_the_maps_of_several_classes_and_of_a_video(livecam: Livecam, tmp_path: Path, clip: Clip) -> None:
    scene().save(tmp_path / "in.png")
    file = tmp_path / "maps.npy"
    assert livecam("annotate", tmp_path / "in.png", "-o", "null:", "--top", 3, "--save-map", file).exit_code == 0
    grid = np.load(file).shape[1:]
    assert np.load(file).shape == (3, *grid)
    assert livecam("annotate", clip(frames=5), "-o", "null:", "--top", 2, "--save-map", file).exit_code == 0
    assert np.load(file).shape == (5, 2, *grid)


def test_existing_outputs_are_safe_until_overwritten(livecam: Livecam, tmp_path: Path, photos: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "img10.png").write_bytes(b"precious")
    arguments = ("annotate", photos / "img*.png", "-o", output)
    result = livecam(*arguments)
    assert result.exit_code == 1
    assert "img10.png exists" in result.output
    assert result.output.splitlines()[-1] == "livecam: 2 of 3 inputs done, 1 failed"
    assert (output / "img10.png").read_bytes() == b"precious"
    assert len(shown_in(output)) == 3
    result = livecam(*arguments)
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert "img1.png exists; --resume does what is not done yet" in result.output
    assert livecam(*arguments, "--overwrite").exit_code == 0
    assert (output / "img10.png").read_bytes() != b"precious"
    result = livecam("annotate", photos, "-o", photos, "--overwrite")
    assert result.exit_code == 1
    assert "would be the input as well" in result.output


def test_nothing_is_left_where_the_model_is_wrong(livecam: Livecam, tmp_path: Path, photos: Path) -> None:
    result = livecam("annotate", photos, "-o", tmp_path / "out", "--layer", "nowhere")
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_interrupt_leaves_what_is_done_and_whole(tmp_path: Path, explainer: Explainer) -> None:
    source = tmp_path / "in"
    source.mkdir()
    scene(0, 640, 360).save(source / "0.png", compress_level=0)
    for number in range(1, 60):
        shutil.copy(source / "0.png", source / f"{number}.png")
    raised: list[Ledger] = []

    def interrupt(ledger: Ledger, expected: int | None) -> None:
        assert expected == 60
        if ledger.delivered and not raised:
            raised.append(ledger)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate(source, tmp_path / "out", explainer, save_map=tmp_path / "maps.npy", on_progress=interrupt)
    written = sorted((tmp_path / "out").iterdir(), key=lambda path: int(path.stem))
    assert 0 < raised[0].delivered == len(written) == len(np.load(tmp_path / "maps.npy")) < 60
    assert [path.name for path in written] == [f"{number}.png" for number in range(len(written))]
    assert all(pixels(path).shape == (360, 640, 3) for path in written)


def test_an_interrupted_command_tells_what_is_done(
    livecam: Livecam, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress, ledger: Ledger, expected: int | None) -> None:
        progress.ledger = ledger
        if ledger.delivered and not raised:
            raised.append(True)
            raise KeyboardInterrupt

    raised: list[bool] = []
    monkeypatch.setattr(Progress, "__call__", interrupt)
    result = livecam("annotate", photos, "demo:?seconds=0.1", "-o", tmp_path / "out")
    assert result.exit_code == 130
    written = shown_in(tmp_path / "out")
    assert written
    assert all(name.endswith((".png", ".JPG")) for name in written)
    (line,) = (line for line in result.output.splitlines() if line.startswith(f"{tmp_path / 'out'}: stopped, "))
    assert f" {len(written)} written" in line
    *_, demo, summary = result.output.splitlines()
    assert demo.split() == ["not", "begun", "demo:?seconds=0.1"]
    assert summary.startswith(f"livecam: {len(written)} of 8 inputs done, ")


def test_a_disk_that_is_full_leaves_whole_files_only(tmp_path: Path, photos: Path, explainer: Explainer) -> None:
    Image.effect_noise((400, 400), 50).save(photos / "img10.png")  # 160 kB and more
    with largest_file(100_000):
        ledger = annotate(good(photos), tmp_path / "out", explainer)
    assert shown_in(tmp_path / "out") == ["img1.png", "img2.png", "photo.JPG"]
    assert ledger.failed_files == {
        str(photos / "img10.png"): f"cannot write {tmp_path / 'out' / 'img10.png'}: File too large"
    }
    assert (ledger.read, ledger.delivered, ledger.dropped) == (4, 3, {"write": 1})
    assert ledger.is_balanced
    assert not ledger.complete


def test_a_disk_that_is_full_from_the_beginning_ends_the_run(
    tmp_path: Path, photos: Path, explainer: Explainer
) -> None:
    for path in good(photos):
        Image.effect_noise((400, 400), 50).save(path, quality=100)
    with largest_file(100_000), pytest.raises(OutputError, match="cannot write .*img1.png: File too large"):
        annotate(good(photos)[:3], tmp_path / "out", explainer)
    assert not (tmp_path / "out").exists()


def test_a_source_of_several_is_of_pictures_alone(photos: Path, clip: Clip, explainer: Explainer) -> None:
    path = clip("photos/clip.mp4", frames=1)
    for source in (photos, str(photos / "*.mp4"), [path], [photos / "img1.png", "demo:"]):
        with pytest.raises(InputError, match="can only hold pictures here; open (.*clip.mp4|demo:) by itself"):
            annotate(source, "null:", explainer)
    with pytest.raises(InputError, match="none of the 2 pictures can be read"):
        open_source([photos / "text.jpg", photos / "missing.jpg"])


def test_a_name_that_is_no_utf8_is_escaped_in_the_predictions(tmp_path: Path) -> None:
    picture = tmp_path / os.fsdecode(b"\xff.png")
    try:
        scene().save(picture)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    annotate(picture, tmp_path / "out.png", Explainer(engine="eager"), predictions=tmp_path / "said.jsonl")
    (line,) = (tmp_path / "said.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["path"] == str(picture)
