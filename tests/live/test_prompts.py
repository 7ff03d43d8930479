"""Prompts that the user types during a run of a model that compares pictures with words."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from livecam import Explainer
from tests.live.harness import LiveRun, Parts, wait_until
from tests.support import tiny_clip
from tests.support.doubles import NumberedSource, NumberReader

PROMPTS = ("a dog", "a bowl")


class WordReader(NumberReader):
    """In place of an explainer of words."""

    prompts = labels = PROMPTS


@pytest.fixture
def parts() -> Parts:
    return Parts(NumberedSource(9, is_live=True), reader=WordReader())


TYPED: dict[str, tuple[tuple[str, ...], Any]] = {
    "/a quick fox\r": ((*PROMPTS, "a quick fox"), 2),
    "/ a bowl \n": (PROMPTS, 1),
    "/a cop\b\bt\x7ft\r": ((*PROMPTS, "a ct"), 2),
    "/a cat, asleep\r": ((*PROMPTS, "a cat, asleep"), 2),
    "/top2\r": (PROMPTS, "top2"),
    "/a cat\x1b": (PROMPTS, None),
    "/  \r": (PROMPTS, None),
    "/-a dog\r": (("a bowl",), None),
    "/a cat\r/-a dog\r": (("a bowl", "a cat"), None),
    "/-a dog\r/-a bowl\r": (("a bowl",), None),
    "/-40 degrees\r": ((*PROMPTS, "-40 degrees"), 2),
}


@pytest.mark.parametrize(("keys", "asked"), TYPED.items())
def test_a_prompt_is_typed_by_keys(parts: Parts, keys: str, asked: tuple[tuple[str, ...], Any]) -> None:
    parts.press(keys)
    question = parts.explaining.question
    assert (question.prompts, question.target) == asked
    assert (parts.quits, parts.screen.typed) == (0, None)
    assert parts.notices.lines == []


def test_what_is_typed_is_shown(parts: Parts) -> None:
    parts.press("/a fix")
    assert "prompt: a fix_" in parts.screen._notices(0, parts.screen.panes[0])


def test_a_prompt_comes_from_a_page_as_a_class_does(parts: Parts) -> None:
    parts.commands.execute({"target": "a cat, asleep"})
    assert parts.explaining.question.prompts == (*PROMPTS, "a cat, asleep")
    assert parts.commands.settings.values()["target"] == "a cat, asleep"
    parts.commands.execute({"target": "a dog"})
    assert (parts.explaining.question.target, len(parts.explaining.question.prompts)) == (0, 3)


def test_a_prompt_that_does_not_fit_is_taken_back(parts: Parts) -> None:
    with parts.explaining_thread():
        parts.press("/wrong\r")
        wait_until(lambda: parts.notices.lines)
    assert parts.notices.lines == ["wrong is no prompt"]
    assert parts.explaining.question.prompts == parts.explaining.labels == PROMPTS


def test_frames_have_the_prompts_that_they_were_compared_with(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        tiny_clip.register(patch, tmp_path)
        explainer = Explainer("clip:tiny-vit", weights="none", prompts=PROMPTS, engine="eager")
    run = LiveRun(NumberedSource(20), explainer=explainer, keys={3: "/a cat\r", 10: "/-a bowl\r"})()
    seen = [{prediction.label for prediction in explanation.predictions} for _, _, explanation in run.shown]
    assert [each for each, _ in groupby(seen)] == [{*PROMPTS}, {*PROMPTS, "a cat"}, {"a dog", "a cat"}]
    assert {explanation.label for _, _, explanation in run.shown if len(explanation.predictions) == 3} == {"a cat"}
