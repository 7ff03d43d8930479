"""The keys: each does what the table says, and the table is what the help shows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from livecam.live.commands import KEYS
from livecam.names import COLORMAPS, METHODS, VIEWS
from tests.live.harness import LiveRun, Parts, explained
from tests.support.doubles import NumberedSource, NumberReader
from tests.support.explanations import explanation_of

FRAMES = list(NumberedSource(3).frames(None))


@pytest.fixture
def parts() -> Parts:
    return Parts(NumberedSource(9, is_live=True))


def show_class(parts: Parts, labels: tuple[str, ...]) -> None:
    """Put a frame on the screen of which the first of these classes is explained."""
    (feed,) = parts.feeds
    feed.put(FRAMES[0])
    said = explanation_of(np.ones((8, 8), np.float32), labels=labels)
    feed.put_explained(explained(feed.take_to_explain(), said))
    parts.screen.present()


def test_no_key_is_in_the_table_twice() -> None:
    keys = [key for entry in KEYS for key in entry.keys]
    assert len(keys) == len(set(keys))
    assert all(entry.help for entry in KEYS)


ANSWERS = {
    "m": f"method {METHODS[1]}, 2 of {len(METHODS)}",
    "M": f"method {METHODS[-1]}, {len(METHODS)} of {len(METHODS)}, from the end",
    "l": "layer features, 2 of 2",
    "L": "layer features, 2 of 2, from the end",
    "ll": "layer evidence, the usual one, 1 of 2, begins again",
    "c": "class top2, 2 of 5",
    "C": "class top5, 5 of 5, from the end",
    "/": "the model has classes of its own, so it takes no prompt",
    "k": "keeps to dog",
    "kk": "class let go",
    "]": "opacity 60%",
    "[": "opacity 40%",
    "[-": "opacity 30%",
    "p": f"colours {COLORMAPS[1]}, 2 of {len(COLORMAPS)}",
    "v": f"view {VIEWS[1]}, 2 of {len(VIEWS)}",
    "vV": f"view {VIEWS[0]}, 1 of {len(VIEWS)}",
    "x": "mirrored",
    "xx": "not mirrored",
    "f": "f leaves the full screen",
    "i": "i shows the figures",
    "  ": "goes on",
    ".": "one more frame",
    "r": "recording from the next picture on",
    "rr": "recording stopped",
    "j": "j is no key; h shows the keys",
}


@pytest.mark.parametrize(("keys", "answer"), ANSWERS.items())
def test_a_key_answers_on_the_screen_for_a_while(parts: Parts, keys: str, answer: str) -> None:
    show_class(parts, ("dog",))
    parts.press(keys)
    assert parts.notices.lines == [answer]


def test_a_group_is_kept_to_without_a_new_question(parts: Parts) -> None:
    show_class(parts, ("dog",))
    assert parts.screen.shown_class() is not None
    drawn = parts.screen.panes[0].drawn
    assert drawn is not None
    group = dataclasses.replace(drawn.explanation.classes[0], index=8, members=(0, 1))
    parts.screen.panes[0].drawn = dataclasses.replace(
        drawn, explanation=dataclasses.replace(drawn.explanation, classes=(group,))
    )
    before = parts.explaining.question
    parts.press("k")
    assert parts.explaining.question == before
    assert parts.notices.lines == ["keeps to dog"]


def test_nothing_found_is_no_class_to_keep_to(parts: Parts) -> None:
    show_class(parts, ("dog",))
    drawn = parts.screen.panes[0].drawn
    assert drawn is not None
    nothing = dataclasses.replace(drawn.explanation.classes[0], index=None, label="nothing", title="nothing found")
    explanation = dataclasses.replace(drawn.explanation, classes=(nothing,))
    parts.screen.panes[0].drawn = dataclasses.replace(drawn, explanation=explanation)
    before = parts.explaining.question
    parts.press("k")
    assert parts.explaining.question == before
    assert parts.notices.lines == ["nothing found: there is no class to keep to"]


def test_every_key_answers_or_is_seen_to_do_something(parts: Parts) -> None:
    answered = {keys[-1] for keys in ANSWERS}
    seen_by_themselves = {"q", "s", "h"}
    assert {entry.keys[0] for entry in KEYS} - answered - seen_by_themselves == set()


def test_a_key_that_is_not_in_the_table_does_nothing(parts: Parts) -> None:
    before = parts.explaining.question, parts.screen.style
    parts.press("\x00j5")
    assert (parts.explaining.question, parts.screen.style, parts.quits) == (*before, 0)


@pytest.mark.parametrize("key", ["q", "\x1b"])
def test_quit(parts: Parts, key: str) -> None:
    parts.press(key)
    assert parts.quits == 1


def test_pause_and_step(parts: Parts) -> None:
    (feed,) = parts.feeds
    parts.press(" ")
    assert feed.is_paused
    parts.press(" ")
    assert not feed.is_paused
    parts.press(".")
    assert feed.is_paused


def test_opacity_goes_up_and_down_within_its_range(parts: Parts) -> None:
    parts.press("]+")
    assert parts.screen.style.opacity == 0.7
    parts.press("[-[")
    assert parts.screen.style.opacity == 0.4
    parts.press("]" * 10)
    assert parts.screen.style.opacity == 1
    parts.press("[" * 20)
    assert parts.screen.style.opacity == 0


def test_colours_and_views_go_round(parts: Parts) -> None:
    parts.press("pv")
    assert (parts.screen.style.colormap, parts.screen.style.view) == (COLORMAPS[1], VIEWS[1])
    parts.press("VV")
    assert parts.screen.style.view == VIEWS[-1]
    parts.press("v" + "p" * (len(COLORMAPS) - 1))
    assert (parts.screen.style.colormap, parts.screen.style.view) == (COLORMAPS[0], VIEWS[0])


def test_methods_and_layers_are_asked_for(parts: Parts) -> None:
    parts.press("m")
    assert parts.explaining.question.method == METHODS[1]
    parts.press("MM")
    assert parts.explaining.question.method == METHODS[-1]
    asked = []
    for key in "llL":
        parts.press(key)
        asked.append(parts.explaining.question.layer)
    assert asked == ["features", None, "features"]
    assert parts.explaining.question.method == METHODS[-1]


def test_classes_are_asked_for_by_rank_and_kept_by_number(parts: Parts) -> None:
    parts.press("c")
    assert parts.explaining.question.target == "top2"
    parts.press("CC")
    assert parts.explaining.question.target == "top5"
    show_class(parts, ("dog",))
    parts.press("k")
    assert parts.explaining.question.target == 0
    parts.press("k")
    assert parts.explaining.question.target is None


def test_classes_that_were_asked_for_come_before_the_best_ones() -> None:
    reader = NumberReader()
    reader.explains_best = False
    parts = Parts(NumberedSource(9), reader=reader)
    asked = []
    for key in "cCC":
        parts.press(key)
        asked.append(parts.explaining.question.target)
    assert asked == ["top1", None, "top5"]
    parts.press("c")
    assert parts.notices.lines == ["class as asked for, 1 of 6, begins again"]


def test_the_picture_is_mirrored_and_fills_the_screen(parts: Parts) -> None:
    parts.press("xf")
    assert parts.feeds[0].is_mirrored
    assert parts.display.is_full_screen
    parts.press("xf")
    assert not parts.feeds[0].is_mirrored
    assert not parts.display.is_full_screen


def test_figures_and_help_come_and_go(parts: Parts) -> None:
    def seen() -> np.ndarray:
        parts.screen.refresh()
        return parts.display.pictures[-1]

    show_class(parts, ("dog",))
    parts.press("i")
    plain = seen()
    parts.press("i")
    assert not np.array_equal(seen(), plain)
    parts.press("ih")
    assert not np.array_equal(seen(), plain)
    parts.press("h")
    assert np.array_equal(seen(), plain)


def test_the_help_has_a_row_for_every_key(parts: Parts) -> None:
    parts.press("h")
    assert parts.screen.help == [(entry.name, entry.help) for entry in KEYS]
    parts.screen.refresh()
    parts.press("?")
    assert not parts.screen.help


def test_keys_change_a_run_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = LiveRun(NumberedSource(30), keys={2: "v", 5: "r", 20: "r"})()
    (recording,) = run.session.recorder.recordings
    assert recording.written == 15
    assert len(list(tmp_path.iterdir())) == 1
