"""Which model is taken where none is named, and what is told of the one that knows eight shapes."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from livecam import Explainer, LivecamError
from livecam.cli import cli
from livecam.models.default import IMAGENET, MOTION, PACKAGES, SHAPES, default_model

Clip = Callable[..., Path]
DOG = Path(__file__).parents[1] / "data" / "dog.jpg"
DEMO = "demo:?size=64x48&seconds=0.1"
LIMITS = "shapes knows 8 shapes only, those of demo: (circle, triangle, "


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name == PACKAGES[1] else find_spec(name, package)

    monkeypatch.setattr("importlib.util.find_spec", find)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_shapes_is_for_generated_scenes_alone(caplog: pytest.LogCaptureFixture) -> None:
    assert default_model([DEMO]) == default_model([DEMO, DEMO]) == SHAPES
    for others in ([], ["0"], ["clip.mp4"], ["clip.mp4", "0"]):
        assert default_model(others) == IMAGENET
    assert not caplog.messages
    assert default_model(["clip.mp4", DEMO]) == IMAGENET
    assert caplog.messages == [
        f"demo: is explained by {IMAGENET} like the other inputs; --model shapes knows its shapes"
    ]


def test_motion_is_for_scenes_of_motions_alone() -> None:
    moving = "demo:motion?seconds=1"
    assert default_model([moving]) == default_model([moving, "demo:motion"]) == MOTION
    assert default_model([moving, DEMO]) == SHAPES
    assert default_model([moving, "clip.mp4"]) == IMAGENET


@pytest.mark.usefixtures("not_installed")
def test_without_the_extra_it_is_always_shapes(caplog: pytest.LogCaptureFixture) -> None:
    assert [default_model(sources) for sources in ([], ["clip.mp4"], [DEMO], ["0", DEMO])] == [SHAPES] * 4
    assert not caplog.messages


def test_commands_explain_by_it(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    for command, model in {
        ("annotate", DOG, "-o", "null:"): IMAGENET,
        ("annotate", DEMO, "-o", "null:"): SHAPES,
        ("live", DEMO, "--no-window", "--engine", "eager"): SHAPES,
    }.items():
        result = run(*command, "--report", report)
        assert result.exit_code == 0, result.output
        assert json.loads(report.read_text())["model"] == model
        assert "knows" not in result.output
    assert "_blocks.0 " in run("layers").output


@pytest.mark.usefixtures("not_installed")
def test_what_shapes_knows_is_told_once_with_the_way_to_more(clip: Clip, tmp_path: Path) -> None:
    result = run("annotate", clip("a.mp4", frames=2), clip("b.mp4", frames=2), "-o", tmp_path / "explained")
    assert result.exit_code == 0, result.output
    assert result.output.count(LIMITS) == 1
    assert f"take another model, such as {IMAGENET} (pip install 'livecam[imagenet]')" in result.output


def test_shapes_is_told_to_be_limited_wherever_a_picture_is_no_scene(
    clip: Clip, livecam: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    source = clip(frames=2)
    live = livecam("live", source, "--no-window", "--report", source.with_suffix(".json"), "--engine", "eager")
    assert live.output.count(LIMITS) == 1
    caplog.clear()
    next(Explainer(SHAPES).stream(DEMO))
    assert not caplog.messages
    explainer = Explainer(SHAPES)
    for _ in range(2):
        explainer(DOG)
    assert [message[: len(LIMITS)] for message in caplog.messages] == [LIMITS]


@pytest.mark.parametrize("weights", ["none", "default"])
def test_random_weights_are_told_also_of_a_scene(weights: str, livecam: Callable[..., Result]) -> None:
    result = livecam("annotate", "demo:?seconds=0.1", "-o", "null:", "--weights", weights)
    assert result.exit_code == 0, result.output
    note = f"{SHAPES} has random weights, so what it says and its heatmaps mean nothing"
    assert (note in result.stderr) == (weights == "none")


def test_an_unknown_target_lists_all_of_a_few_names() -> None:
    with pytest.raises(LivecamError, match="it has circle [(]0[)], triangle [(]1[)], .*, moon [(]6[)], arrow [(]7[)]$"):
        Explainer(SHAPES, target="dog")
