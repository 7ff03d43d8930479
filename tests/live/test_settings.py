"""Settings of a run that goes on, changed by name as a page changes them."""

from __future__ import annotations

from typing import Any

import pytest

from livecam import Explainer
from livecam.live.settings import TYPES
from livecam.render import Style
from tests.live.harness import LiveRun, Parts, wait_until
from tests.support.doubles import NumberedSource, NumberReader

AT_FIRST = {
    **{"method": "gradcam", "layer": None, "target": None, "top": 1, "at": None, "threshold": 0.0, "steady": False},
    **{"view": "overlay", "colormap": "jet", "opacity": 0.5, "mirror": False, "paused": False},
}
CHANGES: list[dict[str, Any]] = [
    {"method": "fem"},
    {"layer": "features"},
    {"target": "dog,cat", "top": None},
    {"top": 3},
    {"at": "25%,50%"},
    {"view": "panels", "colormap": "hot", "opacity": 1},
    {"threshold": -0.25},
    {"threshold": "auto", "steady": True},
    {"mirror": True, "paused": True},
]
REFUSALS: dict[str, dict[str, Any]] = {
    "there is no setting 'size'; there are method, layer,": {"size": 3},
    "opacity is from 0 to 1, not 2": {"opacity": 2},
    "opacity is from 0 to 1, not nan": {"opacity": float("nan")},
    "opacity cannot be True": {"opacity": True},
    "view is one of overlay,": {"view": "tree"},
    "view cannot be ['overlay']": {"view": ["overlay"]},
    "threshold is auto, min, or a number": {"threshold": "some"},
    "paused cannot be 1": {"paused": 1},
    "method cannot be None": {"method": None},
    "target has at most 1000 characters": {"target": "a" * 1001},
}


@pytest.fixture
def parts() -> Parts:
    return Parts(NumberedSource(9, is_live=True))


def test_every_setting_is_told_with_its_value(parts: Parts) -> None:
    assert parts.commands.settings.values() == AT_FIRST
    assert AT_FIRST.keys() == TYPES.keys()


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_is_told_from_then_on_and_others_stay(parts: Parts, change: dict[str, Any]) -> None:
    parts.commands.execute(change)
    default = {"top": None} if change.get("target") else {}
    assert parts.commands.settings.values() == {**AT_FIRST, **default, **change}
    assert parts.notices.lines == []


@pytest.mark.parametrize(("words", "change"), REFUSALS.items(), ids=REFUSALS)
def test_what_cannot_be_is_refused_with_the_reason_and_nothing_is_changed(
    parts: Parts, words: str, change: dict[str, Any]
) -> None:
    style, question = parts.screen.style, parts.explaining.question
    parts.commands.execute({"mirror": True, **change})
    (line,) = parts.notices.lines
    assert line.startswith(words)
    assert parts.commands.settings.values() == AT_FIRST
    assert parts.screen.style is style
    assert parts.explaining.question is question


def test_keys_and_names_change_one_thing(parts: Parts) -> None:
    parts.press("mvpx]")
    values = parts.commands.settings.values()
    assert (values["method"], values["view"], values["mirror"], values["opacity"]) == (
        "gradcam++",
        "heatmap",
        True,
        0.6,
    )
    style = parts.screen.style
    parts.commands.execute({"method": "layercam"})
    assert parts.screen.style is style  # else every frame on the screen would be drawn again
    parts.press("m")
    assert parts.commands.settings.values()["method"] == "xgradcam"


def test_no_target_means_the_best_class_and_not_what_was_asked_for_at_first() -> None:
    reader = NumberReader()
    reader.own_targets = ("dog", 1)
    parts = Parts(NumberedSource(9), reader=reader)
    assert parts.commands.settings.values()["target"] == "dog,one"
    parts.commands.execute({"target": None})
    assert (parts.explaining.question.target, parts.explaining.question.top) == (None, 1)
    assert parts.commands.settings.values()["target"] is None


def test_a_class_that_is_kept_is_told_by_its_name(parts: Parts) -> None:
    parts.commands.settings.change(target=1)
    assert parts.commands.settings.values()["target"] == "one"


def test_a_question_that_does_not_fit_is_taken_back_with_the_reason(parts: Parts) -> None:
    with parts.explaining_thread():
        parts.commands.execute({"method": "eigencam", "threshold": 0.5})
        wait_until(lambda: parts.notices.lines)
    assert parts.notices.lines == ["eigencam does not explain a class"]
    assert parts.commands.settings.values() == AT_FIRST
    assert parts.reader.heat_options.threshold == 0


def test_threshold_and_steadiness_change_without_a_new_question_to_the_model(parts: Parts) -> None:
    with parts.explaining_thread():
        parts.commands.execute({"threshold": 0.5, "steady": True})
        wait_until(lambda: parts.reader.heat_options.threshold == 0.5)
        assert parts.reader.changes == 0
        parts.commands.execute({"top": 2})
        wait_until(lambda: parts.reader.target == "top 2")


def test_the_explainer_keeps_what_is_compiled_if_nothing_changes(
    quick_shapes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer, aims = Explainer(engine="eager"), []
    monkeypatch.setattr(explainer, "_aim", lambda *aim: aims.append(aim))
    explainer.change("gradcam", None, top=1)
    assert aims == []
    explainer.change("gradcam", None, top=2)
    assert aims == [("gradcam", None, ("top1", "top2"))]


def test_a_threshold_hides_weak_heat_from_the_next_frame_on() -> None:
    def change() -> list[Any]:
        return [{"steady": True, "threshold": 0.9}] if len(run.shown) == 1 else []

    reader = NumberReader()
    run = LiveRun(NumberedSource(40), explainer=reader, is_steady=False, style=Style(caption=False))
    run.display.press = change
    run()
    assert reader.heat_options.threshold == 0.9
    assert run.shown[-1][2].classes[0].cutoff == pytest.approx(0.9)
