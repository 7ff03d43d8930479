"""Points of the picture that are chosen during a run."""

from __future__ import annotations

from typing import Any

import pytest

from livecam.errors import ModelError
from livecam.explanation import Explanation
from tests.live.harness import Parts, wait_until
from tests.support.doubles import NumberedSource, NumberReader

TOLD = "the point lies where the model does not see the picture"


class Narrow(NumberReader):
    """In place of an explainer that does not see the picture where the user points."""

    takes_points = True

    def change(self, *arguments: Any) -> None:
        super().change(*arguments)
        *_, self.point = arguments

    def explain(self, *arguments: Any, **options: Any) -> list[Explanation]:
        if self.point:
            raise ModelError(TOLD)
        return super().explain(*arguments, **options)


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_point_that_the_model_does_not_see_is_told_and_left(is_paused: bool) -> None:
    source = NumberedSource(9, is_live=True)
    parts = Parts(source, reader=Narrow())
    (feed,) = parts.feeds
    with parts.explaining_thread():
        frames = source.frames(None)
        feed.put(next(frames))
        wait_until(lambda: parts.screen.present() is not None and feed.on_screen)
        feed.pause(is_paused)
        parts.commands.execute({"at": "1%,1%"})
        feed.put(next(frames))
        wait_until(lambda: parts.notices.lines)
        feed.pause(False)
        feed.put(next(frames))
        wait_until(lambda: feed.ledger.explained > 1)
    assert TOLD in parts.notices.lines[-1]
    assert parts.explaining.question.at is None


class Detecting(NumberReader):
    """In place of an explainer of a detector."""

    takes_points = detects = True


@pytest.mark.parametrize(("reader", "at"), [(Detecting(), None), (NumberReader(), "1%,1%")])
@pytest.mark.parametrize("ask", [lambda commands: commands.press("c"), lambda commands: commands.execute({"top": 2})])
def test_another_class_lets_go_of_a_point_that_stands_for_a_box(reader: NumberReader, at: Any, ask: Any) -> None:
    parts = Parts(NumberedSource(9, is_live=True), reader=reader)
    parts.commands.execute({"at": "1%,1%"})
    parts.press("p")
    assert parts.explaining.question.at == "1%,1%"
    ask(parts.commands)
    assert parts.explaining.question.at == at
    parts.commands.execute({"target": "one", "at": "2%,2%"})
    assert parts.explaining.question.at == "2%,2%"
