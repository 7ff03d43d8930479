"""Object stores: inputs and outputs in S3, whole or not at all, and what a user is told when a store says no."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from livecam.errors import LivecamError
from livecam.ledger import FILE, Ledger
from livecam.run.manifest import Manifest
from livecam.run.plan import planned
from livecam.run.runs import Options
from livecam.sources import find_inputs
from livecam.system.stores import StoredPath
from tests.support.clips import facts_of
from tests.support.s3 import KEY, S3, SECRET, forget, reached, serving
from tests.support.stills import scene

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with serving() as server:
        yield server


@pytest.fixture
def s3(server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The store, and a current folder and a folder for temporary files, which has to be empty in the end."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with reached(monkeypatch, server):
        yield server
    assert list((tmp_path / "temporary").iterdir()) == []


def picture(seed: int = 1) -> bytes:
    file = Path(f"{seed}.png")
    scene(seed).save(file)
    content = file.read_bytes()
    file.unlink()
    return content


def told(result: Result) -> str:
    """The only line that is told, of a command that fails."""
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


def test_a_folder_of_a_store_is_annotated_into_another(s3: S3, clip: Clip, livecam: Livecam) -> None:
    for name in ("img10.png", "img2.png"):
        s3.put(f"in/{name}", picture())
    s3.put("in/broken.png", b"no picture")
    s3.put("in/clip.mp4", clip(frames=5))
    s3.put("in/readme.txt", b"none")
    s3.put("in/.hidden.png", picture())
    result = livecam("annotate", "s3://bucket/in/", "-o", "s3://bucket/out/")
    assert result.exit_code == 1
    assert "failed  s3://bucket/in/broken.png  s3://bucket/in/broken.png is not a picture" in result.stderr
    assert "3 of 4 inputs done, 1 failed" in result.stderr
    assert s3.shown("out/") == ["out/clip.mp4", "out/img10.png", "out/img2.png"]
    Path("made.mp4").write_bytes(s3.get("out/clip.mp4"))
    assert len(facts_of(Path("made.mp4")).pictures) == 5
    Path("made.png").write_bytes(s3.get("out/img2.png"))
    assert Image.open("made.png").size == scene().size
    assert [request for request in s3.requests if request.startswith("PUT") and "clip" in request] == [
        "PUT /bucket/in/clip.mp4",
        "PUT /bucket/out/clip.mp4",
    ]
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["clip.mp4", "made.mp4", "made.png", "temporary"]


def test_names_of_a_store_are_found_like_files(s3: S3) -> None:
    names = ["b/img10.png", "b/img2.png", "b/c/deep.png", "b/clip.mp4", "b/a[1].png", "b/.x/hidden.png", "b/note.txt"]
    for name in names:
        s3.put(name, b"x")

    def found(*typed: str) -> list[str]:
        inputs = find_inputs(typed if len(typed) > 1 else typed[0])
        return [name.removeprefix("s3://bucket/b/") for each in inputs for name in each.names]

    assert found("s3://bucket/b/") == found("s3://bucket/b") == ["a[1].png", "img2.png", "img10.png", "clip.mp4"]
    assert found("s3://bucket/b/*.png") == ["a[1].png", "img2.png", "img10.png"]
    assert found("s3://bucket/b/img?.png") == ["img2.png"]
    assert found("s3://bucket/b/**/*.png") == ["a[1].png", "c/deep.png", "img2.png", "img10.png"]
    assert found("s3://bucket/*/*/*.png") == ["c/deep.png"]
    assert found("s3://bucket/b/a[1].png") == ["a[1].png"]  # a name that exists is no pattern
    assert found("S3://bucket/b/img2.png", "s3://bucket/b/") == ["img2.png", "a[1].png", "img10.png", "clip.mp4"]
    with pytest.raises(LivecamError, match=r"the folder s3://bucket/b/c/x/ holds no pictures and no videos"):
        found("s3://bucket/b/c/x/")
    with pytest.raises(LivecamError, match=r"nothing is named like s3://bucket/b/\*.jpg"):
        found("s3://bucket/b/*.jpg")


def test_one_object_becomes_one_object_and_its_sidecars_too(s3: S3, livecam: Livecam) -> None:
    name = s3.put("in/a b=c@2.png", picture())
    sidecars = ["--predictions", "s3://bucket/p.jsonl", "--report", "s3://bucket/r.json", "--save-map", "m.npy"]
    result = livecam("annotate", name, "-o", "s3://bucket/out/x.png", *sidecars)
    assert (result.exit_code, s3.shown("out/")) == (0, ["out/x.png"])
    assert json.loads(s3.get("p.jsonl"))["path"] == name
    assert json.loads(s3.get("r.json"))["output"]["path"] == "s3://bucket/out/x.png"
    assert Path("m.npy").exists()
    assert livecam("annotate", name, "-o", "s3://bucket/out/").exit_code == 0
    assert s3.shown("out/") == ["out/a b=c@2.png", "out/x.png"]
    assert livecam("annotate", name).exit_code == 0
    assert Path("a b=c@2_livecam.png").exists()


def test_an_animated_picture_of_a_store_becomes_a_video(s3: S3, livecam: Livecam) -> None:
    scene(1).save("a.gif", save_all=True, append_images=[scene(2), scene(3)], duration=40)
    name = s3.put("in/a.gif", Path("a.gif"))
    assert livecam("annotate", name, "-o", "s3://bucket/a.mp4").exit_code == 0
    Path("made.mp4").write_bytes(s3.get("a.mp4"))
    assert len(facts_of(Path("made.mp4")).pictures) == 3


def test_what_exists_in_a_store_is_replaced_only_if_that_is_asked_for(s3: S3, clip: Clip, livecam: Livecam) -> None:
    source = clip(frames=3)
    s3.put("out/clip.mp4", b"precious")
    line = told(livecam("annotate", source, "-o", "s3://bucket/out/clip.mp4"))
    assert line.startswith("livecam: s3://bucket/out/clip.mp4 exists; name another output, or replace it with")
    assert s3.get("out/clip.mp4") == b"precious"
    assert livecam("annotate", source, "-o", "s3://bucket/out/clip.mp4", "--overwrite").exit_code == 0
    assert s3.get("out/clip.mp4") != b"precious"


FAILING_UPLOADS = {
    "whole": "PUT /bucket/out/b.mp4$",
    "a part": "PUT /bucket/out/b.mp4.*partNumber=2",
    "its end": "POST /bucket/out/b.mp4.uploadId",
}


@pytest.mark.parametrize("what", FAILING_UPLOADS)
def test_an_upload_that_fails_leaves_nothing(
    s3: S3, clip: Clip, livecam: Livecam, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("in").mkdir()
    for name in ("a", "b", "c"):
        clip(f"in/{name}.mp4", frames=3)
    if what != "whole":
        monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda size, chunksize=None: 1000)
        monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    s3.refused = FAILING_UPLOADS[what]
    result = livecam("annotate", "in", "-o", "s3://bucket/out/")
    assert result.exit_code == 1
    assert "failed  in/b.mp4  s3://bucket/out/b.mp4: access is refused (403: told to fail)" in result.stderr
    assert any("uploadId" in request for request in s3.requests) == (what != "whole")
    assert (s3.shown("out/"), s3.unfinished()) == (["out/a.mp4", "out/c.mp4"], 0)


def test_a_refusal_is_told_in_one_line_without_credentials(s3: S3, clip: Clip, livecam: Livecam) -> None:
    name = s3.put("in/clip.mp4", clip(frames=3))
    s3.refused = "/bucket/in"
    result = livecam("annotate", name, "-o", "x.mp4", "--verbose", "--debug")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("livecam: s3://bucket/in/clip.mp4: access is refused (403: Forbidden); check what you may")
    assert KEY not in result.output and SECRET not in result.output
    assert not Path("x.mp4").exists()
    s3.refused = "/bucket"
    assert "s3://bucket/in: access is refused (403: told to fail)" in told(livecam("annotate", "s3://bucket/in/"))


MISSING = {
    ("s3://bucket/clip.mp4", "x.mp4"): "s3://bucket/clip.mp4 does not exist (404); check its name",
    ("s3://nobody/clip.mp4", "x.mp4"): "the bucket s3://nobody does not exist (404); check its name",
    ("s3://nobody/in/", "x"): "the bucket s3://nobody does not exist (404); check its name",
    ("s3://nobody/in/*.png", "x"): "the bucket s3://nobody does not exist (404); check its name",
    ("a.png", "s3://nobody/a.png"): "the bucket s3://nobody does not exist (404); check its name",
    ("a.png", "s3://nobody/"): "the bucket s3://nobody does not exist (404); check its name",
    ("s3://bucket/empty.mp4", "x.mp4"): "s3://bucket/empty.mp4 is empty",
    ("s3://key:secret@bucket/a.mp4", "x.mp4"): "s3:// is not followed by a bucket; write s3://bucket/name",
    ("s3:/bucket/clip.mp4", "x.mp4"): "did you mean s3://bucket/clip.mp4?",
    ("s3://bucket/img_%04d.png", "x.mp4"): "numbered pictures of an object store are no video",
    ("s3a://bucket/a.png", "x.png"): "did you mean s3://bucket/a.png?",
    ("s4://bucket/clip.mp4", "x.mp4"): "did you mean s3://bucket/clip.mp4?",
    ("gcs://bucket/clip.mp4", "x.mp4"): "did you mean gs://bucket/clip.mp4?",
    ("a.png", "s4://bucket/a.png"): "did you mean s3://bucket/a.png?",
    ("a.png", "s3:/bucket/a.png"): "did you mean s3://bucket/a.png?",
    ("a.png", "http://host/a.png"): "is a URL, and livecam writes files",
}


@pytest.mark.parametrize(("source", "output"), MISSING)
def test_what_is_not_there_is_named_in_one_line(s3: S3, livecam: Livecam, source: str, output: str) -> None:
    s3.put("empty.mp4", b"")
    Path("a.png").write_bytes(picture())
    line = told(livecam("annotate", source, "-o", output))
    assert MISSING[source, output] in line
    assert "secret" not in line


@pytest.mark.parametrize(("name", "extra"), [("gs://bucket/a.mp4", "gs"), ("az://box/a.mp4", "az")])
def test_a_store_whose_library_is_missing_names_it(
    livecam: Livecam, monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    def missing(scheme: str) -> None:
        raise ImportError

    forget()
    monkeypatch.setattr("fsspec.get_filesystem_class", missing)
    line = told(livecam("annotate", name, "-o", "x.mp4"))
    assert line == f"livecam: {extra}:// is an extra of livecam; install it: pip install 'livecam[{extra}]'"


def test_without_credentials_it_is_said_how_to_give_them(
    s3: S3, livecam: Livecam, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    line = told(livecam("annotate", "s3://bucket/clip.mp4", "-o", "x.mp4"))
    assert line.startswith("livecam: no credentials are found for s3://bucket; set AWS_ACCESS_KEY_ID and")


def test_a_store_that_does_not_answer_is_told(s3: S3, livecam: Livecam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    line = told(livecam("annotate", "s3://bucket/clip.mp4", "-o", "x.mp4"))
    assert line.startswith("livecam: s3://bucket/clip.mp4: no answer from the store; check the network")


def test_a_store_that_fails_may_be_tried_again(s3: S3, livecam: Livecam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    s3.refused, s3.refusal = "/bucket", "503 SlowDown"
    line = told(livecam("annotate", "s3://bucket/in/", "-o", "x"))
    assert line.startswith("livecam: s3://bucket/in: the store has failed (503: told to fail); try again later")


def test_a_run_into_a_store_is_resumed(s3: S3, clip: Clip, livecam: Livecam) -> None:
    command = ("annotate", "s3://bucket/in/", "-o", "s3://bucket/out/")
    for name in ("a", "b", "c"):
        s3.put(f"in/{name}.mp4", clip(frames=3))
        s3.put(f"in/{name}.png", picture())
    s3.refused = "PUT /bucket/out/b"
    assert livecam(*command).exit_code == 1
    assert uploads(s3) == ["a.mp4", "a.png", "c.mp4", "c.png"]
    told = livecam(*command).stderr
    assert "s3://bucket/out/a.mp4 exists; --resume does what is not done yet" in told
    s3.refused = ""
    result = livecam(*command, "--resume")
    assert (result.exit_code, uploads(s3)) == (0, ["b.mp4", "b.png"])
    assert "4 done before" in result.stderr
    s3.put("in/a.png", picture(2))
    s3.put("in/d.png", picture(3))
    assert livecam(*command, "--resume").exit_code == 0
    assert uploads(s3) == ["a.png", "d.png"]
    s3.put("out/c.png", b"damaged")
    s3.requests.clear()
    assert livecam(*command, "--resume").exit_code == 0
    assert uploads(s3) == ["c.png"]
    assert livecam(*command, "--resume", "--view", "side-by-side").exit_code == 0
    assert len(uploads(s3)) == 7


def test_what_another_machine_has_uploaded_is_noted(s3: S3) -> None:
    """The machine that notes it has just listed the folder, before it was there, or while it was another one."""
    source = s3.put("in/a.png", picture())
    for size_bytes in (3, 5):
        manifest = Manifest(StoredPath.of("s3://bucket/out"), dict)
        options = Options(resume=True)
        with manifest, planned(find_inputs([source]), "s3://bucket/out/", options, manifest) as (run,):
            run.begin()
            s3.put("out/a.png", b"x" * size_bytes)
            run.record(run.names, Ledger(FILE, source))
        found = Manifest(StoredPath.of("s3://bucket/out"), dict).entry("a.png")
        assert found is not None and found.output_bytes == size_bytes
        s3.put("in/a.png", picture(size_bytes))


def uploads(s3: S3) -> list[str]:
    """The outputs that were uploaded since this was last asked."""
    made = [request.rpartition("/")[2] for request in s3.requests if request.startswith("PUT /bucket/out/")]
    s3.requests.clear()
    return sorted(name for name in made if not name.endswith(".jsonl") and name.rpartition(".")[0] in "abcd")


@pytest.mark.long
def test_a_run_into_a_store_that_is_killed_is_resumed(s3: S3, clip: Clip, livecam: Livecam) -> None:
    names = [f"{number}.mp4" for number in range(6)]
    for name in names:
        s3.put(f"in/{name}", clip(frames=20))
    command = ["annotate", "s3://bucket/in/", "-o", "s3://bucket/out/", "--resume", "--model", "shapes"]
    for count in (1, 3):
        process = subprocess.Popen([sys.executable, "-m", "livecam", *command, "--engine", "eager"])
        while len([name for name in s3.shown("out/") if name.endswith(".mp4")]) < count and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -9
    assert livecam(*command).exit_code == 0
    assert [f"out/{name}" for name in names] == [name for name in s3.shown("out/") if name.endswith(".mp4")]
    for name in names:
        Path(name).write_bytes(s3.get(f"out/{name}"))
        assert len(facts_of(Path(name)).pictures) == 20
    assert s3.unfinished() == 0
    for path in (Path.cwd() / "temporary").iterdir():
        path.unlink()  # which the killed ones have left
