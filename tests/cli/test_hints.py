"""Command lines that cannot be used: one line says why, and with which command it would work."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from livecam.cli import cli
from livecam.cli.hints import OPTIONS, corrected
from livecam.names import METHODS
from livecam.text import similar

Livecam = Callable[..., Result]

MEANT = {
    "clip.mp4": "annotate clip.mp4",
    "https://host/clip": "annotate https://host/clip",
    "'*.jpg'": "annotate '*.jpg'",
    "0": "live 0",
    "rtsp://camera/stream": "live rtsp://camera/stream",
    "webcam": "live",
    "anotate clip.mp4": "annotate clip.mp4",
    "Layers resnet50": "layers resnet50",
    "predict clip.mp4": "annotate clip.mp4",
    "predict --help": "annotate --help",
    "predict source=clip.mp4": "annotate clip.mp4",
    "predict model=resnet50 source=bus.jpg imgsz=640 save=True": "annotate --model resnet50 bus.jpg --input-size 640",
    "predict source=0 show=True": "live 0",
    "source=clip.mp4": "annotate clip.mp4",
    "source=clip.mp4 show=False": "annotate clip.mp4",
    "annotate source=clip.mp4 model=resnet50": "annotate clip.mp4 --model resnet50",
    "--source clip.mp4": "annotate clip.mp4",
    "--source 0": "live 0",
    "--model resnet50 clip.mp4": "annotate --model resnet50 clip.mp4",
    "--model resnet50 layers": "layers resnet50",
    "--verison": "--version",
    "-i clip.mp4 -o out.mp4": "annotate clip.mp4 -o out.mp4",
    "annotate -i clip.mp4": "annotate clip.mp4",
    "annotate --input=clip.mp4": "annotate clip.mp4",
    "annotate --source clip.mp4": "annotate clip.mp4",
    "annotate clip.mp4 --show": "live clip.mp4",
    "annotate clip.mp4 --save": "annotate clip.mp4",
    "annotate clip.mp4 --save out.mp4": "annotate clip.mp4 --output out.mp4",
    "annotate clip.mp4 --save=out.mp4": "annotate clip.mp4 --output out.mp4",
    "annotate --save clip.mp4": "annotate clip.mp4",
    "live 0 --save out.mp4": "live 0 --record out.mp4",
    "annotate clip.mp4 --show True": "live clip.mp4",
    "annotate clip.mp4 --show browser": "live clip.mp4 --show browser",
    "clip.mp4 --show=browser": "live clip.mp4 --show browser",
    "live clip.mp4 --show true": "live clip.mp4",
    "live --show=true clip.mp4": "live clip.mp4",
    "live --show demo: --target star": "live demo: --target star",
    "live clip.mp4 --show brwser": "live clip.mp4 --show browser",
    "browser:": "live browser:",
    "annotate clip.mp4 --save=True": "annotate clip.mp4",
    "annotate 0": "live 0",
    "live webcam": "live",
    "live 0 -o out.mp4": "live 0 --record out.mp4",
    "live 0 out.mp4": "live 0 --record out.mp4",
    "annotate demo: --record out.mp4": "annotate demo: --output out.mp4",
    "annotate clip.mp4 out.mp4": "annotate clip.mp4 --output out.mp4",
    "annotate clip.mp4 out.png --top 2": "annotate clip.mp4 --top 2 --output out.png",
    "annotate clip.mp4 --target dog cat": "annotate clip.mp4 --target dog,cat",
    "annotate --target dog cat 'tennis ball' clip.mp4": "annotate --target 'dog,cat,tennis ball' clip.mp4",
    "help annotate": "annotate --help",
    "help": "--help",
    "annotate clip.mp4 --conf 0.3": "annotate clip.mp4 --threshold 0.3",
    "annotate clip.mp4 --conf=0.3": "annotate clip.mp4 --threshold 0.3",
    "annotate clip.mp4 --colourmap hot": "annotate clip.mp4 --colormap hot",
    "annotate --modle resnet50 clip.mp4": "annotate --model resnet50 clip.mp4",
    "annotate clip.mp4 --method gradcampp": "annotate clip.mp4 --method gradcam++",
    "annotate clip.mp4 --method=GradCAM": "annotate clip.mp4 --method=gradcam",
    "annotate clip.mp4 --method grad-cam": "annotate clip.mp4 --method gradcam",
    "annotate clip.mp4 --view overlya": "annotate clip.mp4 --view overlay",
    "annotate 'my clip.mp4' --viw raw --methd fem": "annotate 'my clip.mp4' --view raw --method fem",
}


@pytest.mark.parametrize("typed", MEANT)
def test_the_command_that_works_is_told(livecam: Livecam, typed: str) -> None:
    result = livecam(*shlex.split(typed))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("livecam: ")
    assert line.endswith(f"; try: livecam {MEANT[typed]}")


@pytest.mark.parametrize("typed", MEANT.values())
def test_what_is_told_can_be_typed(typed: str) -> None:
    name, *arguments = shlex.split(typed)
    if not name.startswith("-") and "--help" not in arguments:
        cli.commands[name].make_context(name, arguments)  # raises for what it does not know


def test_an_input_is_missing(livecam: Livecam) -> None:
    line = "livecam: annotate needs an INPUT; for example: livecam annotate clip.mp4\n"
    assert livecam("annotate").stderr == line


@pytest.mark.parametrize(
    ("typed", "line"),
    {
        "nonsense": "there is no command 'nonsense'; `livecam --help` tells",
        "annotate a.mp4 --nonsense": "there is no option --nonsense; `livecam annotate --help` tells",
        "annotate a.mp4 --fit x": "--fit takes no 'x'; it takes stretch, crop, pad",
        "annotate a.mp4 --opacity 2": "--opacity: 2.0 is not in the range 0<=x<=1",
        "annotate a.mp4 --model": "option '--model' requires an argument; `livecam annotate --help` tells",
    }.items(),
)
def test_where_there_is_no_telling_the_help_is_named(livecam: Livecam, typed: str, line: str) -> None:
    result = livecam(*typed.split())
    assert (result.exit_code, result.stderr.startswith(f"livecam: {line}")) == (2, True), result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_advice_is_given_once(livecam: Livecam) -> None:
    result = livecam("annotate", "a.mp4", "--target", "1", "--top", "2")
    assert result.stderr.endswith("exclude each other: name the classes, or say how many of the best\n")


def test_a_file_may_be_named_like_an_option(livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("source=1.mp4").write_bytes(b"no video")
    assert "source=1.mp4 is not a video" in livecam("annotate", "source=1.mp4").stderr


@pytest.mark.parametrize("typed", ["'*.mp4'", "http://127.0.0.1:9/b.mp4", "img_%04d.png", "b.mp4 -o out", "b"])
def test_one_of_two_inputs_is_not_always_the_output(livecam: Livecam, typed: str) -> None:
    assert "try: " not in livecam("annotate", "a.mp4", *shlex.split(typed)).stderr


def test_a_file_with_a_similar_name_is_told(livecam: Livecam, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    result = livecam("annotate", tmp_path / "foto.jpg")
    assert result.stderr == f"livecam: {tmp_path}/foto.jpg does not exist; did you mean {tmp_path}/photo.jpg?\n"
    assert "missing.jpg does not exist; check its name" in livecam("annotate", tmp_path / "missing.jpg").stderr


def test_a_folder_is_not_watched_but_annotated(livecam: Livecam, tmp_path: Path) -> None:
    result = livecam("live", tmp_path, "--no-window", "--record", tmp_path / "out.mp4")
    assert (result.exit_code, "is a folder; name a camera" in result.stderr) == (1, True)
    assert result.stderr.endswith("or use livecam annotate\n")


def test_what_other_programs_call_an_option_exists_here() -> None:
    known = {option for command in cli.commands.values() for param in command.params for option in param.opts}
    assert set(OPTIONS.values()) - {""} <= known


def test_hints_end() -> None:
    program = click.Group("livecam", commands=[click.Command("annotate"), click.Command("live")])
    assert corrected(program, ["clip.mp4"]) is None  # which this annotate does not take


@pytest.mark.parametrize("typed", ["GradCAM", "grad-cam", "Grad_CAM", "gradcan"])
def test_names_resemble_each_other_however_they_are_spelt(typed: str) -> None:
    assert similar(typed, METHODS, 1) == ["gradcam"]
    assert similar(f"{typed}pp", METHODS, 1) == similar(f"{typed}plusplus", METHODS, 1) == ["gradcam++"]
    assert similar("sepia", METHODS) == []
