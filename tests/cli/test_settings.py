"""Options that are not typed: variables and livecam.toml; and what -q, -v and colours change of what is told."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from livecam.cli import cli
from livecam.cli.settings import TYPED, settings_among, variable

pytestmark = pytest.mark.usefixtures("quick_shapes", "own_folder")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]
SHORT = ("demo:?seconds=0.1&size=64x64", "-o", "null:", "--engine", "eager")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def options_of(command: str) -> dict[str, Any]:
    """What a command gets, as it is called by the program."""
    name, *arguments = shlex.split(command)
    return cli.commands[name].make_context(name, arguments, parent=click.Context(cli)).params


def sets(toml: str) -> None:
    Path("livecam.toml").write_text(toml)


# Variables


def test_a_variable_sets_an_option_of_every_command_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVECAM_MODEL", "resnet18")
    for command in ("annotate a.jpg", "live", "bench", "layers"):
        assert options_of(command)["model"] == "resnet18"
    assert options_of("live --model resnet50")["model"] == "resnet50"
    assert options_of("layers resnet50")["model"] == "resnet50"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LIVECAM_TARGET", "tiger cat", ("tiger cat",)),
        ("LIVECAM_CAPTION", "0", False),
        ("LIVECAM_CONTOUR", "1", True),
        ("LIVECAM_MAX_MEGAPIXELS", "10", 10.0),
        ("LIVECAM_STEADY", "off", False),
        ("LIVECAM_INPUT_SIZE", "320x240", (240, 320)),
        ("LIVECAM_EVERY", "", 1),
    ],
)
def test_a_variable_is_read_as_if_it_were_typed(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(name, text)
    assert options_of("annotate a.mp4")[name.removeprefix("LIVECAM_").lower()] == value


def test_a_window_can_be_left_out_by_a_variable_and_by_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_of("live")["window"] is True
    sets("window = false")
    assert options_of("live")["window"] is False
    sets("")
    monkeypatch.setenv("LIVECAM_WINDOW", "0")
    assert options_of("live")["window"] is False


def test_a_wrong_variable_is_named(livecam: Livecam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVECAM_OPACITY", "much")
    result = livecam("annotate", "a.jpg")
    assert (result.exit_code, result.stderr) == (2, "livecam: LIVECAM_OPACITY: 'much' is not a number\n")
    monkeypatch.setenv("LIVECAM_OPACITY", "1")
    monkeypatch.setenv("LIVECAM_FIT", "squash")
    assert livecam("live").stderr == "livecam: LIVECAM_FIT takes no 'squash'; it takes stretch, crop, pad\n"


@pytest.mark.parametrize("name", TYPED)
def test_what_belongs_to_one_run_has_to_be_typed(name: str) -> None:
    params = [param for command in cli.commands.values() for param in command.params]
    assert any(f"--{name}" in param.opts for param in params)
    assert name not in settings_among(params)
    assert not any(param.envvar == variable(name) for param in params)


# The file


def test_the_file_sets_options_and_those_of_a_command() -> None:
    sets(
        'model = "resnet18"\ncolormap = "turbo"\ntarget = ["tabby", "tiger cat"]\n[live]\nfps = 30\ncolormap = "hot"\n'
    )
    annotate, live = options_of("annotate a.mp4"), options_of("live")
    assert (annotate["model"], annotate["colormap"], annotate["fps"]) == ("resnet18", "turbo", None)
    assert annotate["target"] == ("tabby", "tiger cat")
    assert (live["model"], live["colormap"], live["fps"]) == ("resnet18", "hot", 30)
    assert options_of("layers")["model"] == "resnet18"


@pytest.mark.parametrize(
    ("toml", "name", "value"),
    [
        ("mean = [0.5, 0.4, 0.3]", "mean", (0.5, 0.4, 0.3)),
        ('layer = ["evidence", "-1"]', "layer", "evidence,-1"),
        ('target = "tabby"', "target", ("tabby",)),
        ("input-size = 224", "input_size", (224, 224)),
        ("steady = false", "steady", False),
        ("caption = false", "caption", False),
        ("threshold = 0.2", "threshold", 0.2),
    ],
)
def test_values_of_the_file_may_have_their_own_type(toml: str, name: str, value: object) -> None:
    sets(toml)
    assert options_of("annotate a.mp4")[name] == value


def test_what_is_typed_comes_before_a_variable_and_that_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    sets('colormap = "turbo"')
    assert options_of("live")["colormap"] == "turbo"
    monkeypatch.setenv("LIVECAM_COLORMAP", "hot")
    assert options_of("live")["colormap"] == "hot"
    assert options_of("live --colormap magma")["colormap"] == "magma"


@pytest.mark.parametrize(
    ("toml", "line"),
    {
        'colourmap = "jet"': "there is no setting colourmap; did you mean colormap?",
        "nonsense = 1": "there is no setting nonsense; it has the names of options, such as model and colormap",
        "[anotate]": "there is no setting anotate; did you mean annotate?",
        "[live]\nevery = 3": "there is no setting every in [live]; it has",
        "live = 3": "live is a command; its settings come below [live]",
        "opacity = 3": "opacity: 3.0 is not in the range 0<=x<=1",
        'method = "cam"': "method: 'cam' is not one of 'gradcam'",
        'caption = "no"': "caption is true or false, not 'no'",
        "mean = [1, 2]": "mean: '1,2' is neither a number nor three of them",
        "model =": "cannot read livecam.toml: Invalid value (at",
    }.items(),
)
def test_a_mistake_in_the_file_is_told_with_its_place(livecam: Livecam, toml: str, line: str) -> None:
    sets(toml)
    result = livecam("annotate", "a.mp4")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "livecam.toml" in result.stderr
    assert line in result.stderr
    assert livecam("annotate", "--help").exit_code == 0


@pytest.mark.parametrize("model", ["nets:make", "net.pt2", "./net.pt2", "folder/net", "net.torchscript"])
def test_a_file_that_comes_with_a_folder_runs_no_code(livecam: Livecam, model: str) -> None:
    Path("nets.py").write_text("raise SystemExit('code ran')")
    sets(f'model = "{model}"')
    result = livecam("annotate", *SHORT)
    assert result.exit_code == 2
    assert f"the model {model} could run code, so it has to be typed" in result.stderr


@pytest.mark.parametrize("model", ["resnet18", "timm:vit_small_patch16_224.augreg_in1k", "hf:google/vit-base"])
def test_the_file_may_name_models_that_run_none(model: str) -> None:
    sets(f'model = "{model}"')
    assert options_of("live")["model"] == model


@pytest.mark.parametrize("name", TYPED)
def test_the_file_writes_replaces_and_hides_nothing(livecam: Livecam, name: str) -> None:
    sets(f'{name} = "x"')
    assert f"{name} has to be typed, as --{name}" in livecam("annotate", *SHORT).stderr


def test_a_note_tells_what_the_file_sets(livecam: Livecam, monkeypatch: pytest.MonkeyPatch) -> None:
    sets('colormap = "turbo"\ncaption = false\ntarget = ["circle", "square"]\n[live]\nfps = 30')
    monkeypatch.setenv("LIVECAM_OPACITY", "0.7")
    note = "livecam: note: livecam.toml sets target = circle, square, colormap = turbo, caption = false\n"
    assert livecam("annotate", *SHORT).stderr.startswith(note)
    assert "colormap" not in livecam("annotate", *SHORT, "--colormap", "hot").stderr
    assert "the environment sets opacity = 0.7" in livecam("annotate", *SHORT, "-v").stderr


def test_what_is_typed_replaces_a_setting_that_excludes_it(livecam: Livecam) -> None:
    sets('target = "circle"')
    assert livecam("annotate", *SHORT, "--top", "2").exit_code == 0
    sets("top = 2")
    assert livecam("annotate", *SHORT, "--target", "circle").exit_code == 0
    sets('top = 2\ntarget = "circle"')
    assert "exclude each other" in livecam("annotate", *SHORT).stderr


def test_a_variable_replaces_a_setting_of_the_file_that_excludes_it(
    livecam: Livecam, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets('target = "circle"')
    monkeypatch.setenv("LIVECAM_TOP", "2")
    assert livecam("annotate", *SHORT).exit_code == 0
    monkeypatch.setenv("LIVECAM_TARGET", "square")
    assert "exclude each other" in livecam("annotate", *SHORT).stderr


def test_settings_for_videos_leave_pictures_alone(livecam: Livecam, clip: Clip) -> None:
    Image.new("RGB", (64, 64)).save("a.png")
    sets('codec = "mpeg4"\nevery = 3\nfps = 12\nmax-megapixels = 50\n')
    assert livecam("annotate", "a.png", "-o", "out.png").exit_code == 0
    assert livecam("annotate", *SHORT).exit_code == 0
    clip("a.mp4", frames=3)
    result = livecam("annotate", "a.mp4", "a.png", "-o", "out", "--predictions", "p.jsonl")
    assert "describe one run" in result.stderr
    result = livecam("annotate", "a.mp4", "--report", "r.json")
    assert result.exit_code == 0, result.stderr
    assert '"mpeg4"' in Path("r.json").read_text()
    assert "every is for videos" in livecam("annotate", "a.png", "--every", "2").stderr


# How much is told


def test_quiet_tells_only_errors(livecam: Livecam) -> None:
    sets('colormap = "turbo"')
    assert "read" in livecam("annotate", *SHORT).stderr
    assert livecam("annotate", *SHORT, "-q").output == ""
    assert "does not exist" in livecam("annotate", "a.mp4", "--quiet").stderr
    assert livecam("models", "shapes", "-q").stdout.startswith("CLASSES OF A PICTURE")


def test_verbose_tells_the_model_and_the_times(livecam: Livecam) -> None:
    lines = livecam("annotate", *SHORT, "--verbose").stderr.splitlines()
    assert any(line.startswith("livecam: detail: shapes was loaded in") for line in lines)
    assert any("layer evidence, method gradcam, device cpu" in line for line in lines)
    assert any(line.startswith("livecam: detail: milliseconds a frame: capture ") for line in lines)
    assert "detail" not in livecam("annotate", *SHORT).stderr


def test_quiet_and_verbose_exclude_each_other(livecam: Livecam) -> None:
    assert livecam("models", "-q", "-v").stderr == "livecam: --quiet and --verbose exclude each other; leave out one\n"


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_a_terminal_gets_colours_unless_it_wants_none(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], is_coloured: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for arguments in (["annotate", "a.mp4"], ["annotate"], ["models", "shapes"]):
        result = CliRunner().invoke(cli, arguments, color=True)  # as at a terminal
        assert ("\x1b[" in result.output) is is_coloured, result.output


def test_what_is_no_terminal_gets_no_colours(livecam: Livecam) -> None:
    assert "\x1b" not in livecam("annotate", "a.mp4").output + livecam("models", "shapes").output
