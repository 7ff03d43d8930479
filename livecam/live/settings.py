"""Settings that change while a run goes on, by name. Keys and pages change them in this one way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Protocol

from livecam.errors import LivecamError, in_one_line
from livecam.explain.heat import HeatOptions
from livecam.live.feed import Feed
from livecam.live.question import Explaining, Question
from livecam.render import Style

TYPES: Mapping[str, tuple[type, ...]] = {
    **{"method": (str,), "layer": (str, NoneType), "target": (str, NoneType), "top": (int, NoneType)},
    "at": (str, NoneType),
    **{"view": (str,), "colormap": (str,), "opacity": (int, float), "threshold": (int, float, str)},
    **{"steady": (bool,), "mirror": (bool,), "paused": (bool,)},
}
"""The settings by name, with the types of their values as JSON has them."""
_LONGEST_TEXT = 1000
_OF_STYLE = ("view", "colormap", "opacity")


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that come from elsewhere, if they exist and their values have the right types.

    A `target` of None, which is the best class, becomes a `top` of 1. Raises LivecamError.
    """
    for name, value in values.items():
        if name not in TYPES:
            raise LivecamError(f"there is no setting {in_one_line(repr(name))}; there are {', '.join(TYPES)}")
        if type(value) not in TYPES[name]:
            raise LivecamError(f"{name} cannot be {in_one_line(repr(value))}")
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise LivecamError(f"{name} has at most {_LONGEST_TEXT} characters")
    classes = [values[name] for name in ("target", "top") if name in values]
    return {**values, "top": 1} if classes and not any(classes) else dict(values)


class Styled(Protocol):
    """Draws frames in a style, as `livecam.live.screen` does."""

    style: Style


class Settings:
    """The settings of a run that goes on. For the main thread only."""

    def __init__(self, feeds: Sequence[Feed], explaining: Explaining, screen: Styled) -> None:
        self._feeds, self._explaining, self._screen = feeds, explaining, screen
        self.asked_method = explaining.question.method
        """The last method that was asked for, even if it did not fit the model."""

    def change(self, **values: Any) -> None:
        """Change settings from the next frame on.

        `target` is as in `Explainer`, and None for the explainer's own; a model that compares pictures with words takes
        any text as a prompt, as in `Question.about`. `top` is the number of best classes to explain in place of a
        target; `at` is a point of the picture, or None for none; the other values are those of the options of
        `livecam live`. A target or top lets go of the point that stands for a box in its place.

        A method, a layer or a target that does not fit the model is taken back as soon as the explainer finds out, and
        the user is told why.

        Raises:
            LivecamError: A value is out of range. Then nothing is changed.
        """
        if self._explaining.detects and values.keys() & {"target", "top"}:
            values = {"at": None, **values}
        style = dataclasses.replace(self._screen.style, **{name: values[name] for name in _OF_STYLE if name in values})
        question = self._asked(dataclasses.replace(self._explaining.question, **_of_question(values)))
        HeatOptions(threshold=question.threshold)
        if style != self._screen.style:
            self._screen.style = style
        if question != self._explaining.question:
            self.asked_method = question.method
            self._explaining.ask(question)
        for feed in self._feeds:
            feed.is_mirrored = values.get("mirror", feed.is_mirrored)
            if "paused" in values:
                feed.pause(values["paused"])

    def _asked(self, question: Question) -> Question:
        """Return the question with a target that is a text taken as a prompt, if the model is for these."""
        target = question.target
        if not question.prompts or not isinstance(target, str) or target in self._explaining.targets:
            return question
        return question.about(target)

    def values(self) -> dict[str, Any]:
        """Return the settings that are asked for, with values as in `TYPES`."""
        question, style = self._explaining.question, self._screen.style
        wanted = self._explaining.own_targets if question.target is None else (question.target,)
        target, top = (None, question.top) if question.top else _typed(wanted, self._explaining.labels)
        return {
            "method": question.method,
            "layer": layer_name(question.layer),
            "target": target,
            "top": top,
            "at": question.at,
            "threshold": question.threshold,
            "steady": question.is_steady,
            **{name: getattr(style, name) for name in _OF_STYLE},
            "mirror": self._feeds[0].is_mirrored,
            "paused": self._feeds[0].is_paused,
        }


def layer_name(layer: str | int | Sequence[str | int] | None) -> str | None:
    """Return a choice of layers as the option `--layer` has it; None for the automatic choice."""
    if layer is None or isinstance(layer, str):
        return layer
    return ",".join(map(str, [layer] if isinstance(layer, int) else layer))


def _typed(wanted: Sequence[Any], labels: Sequence[str]) -> tuple[str | None, int | None]:
    """Return targets as the options `--target` and `--top` have them, of which one is None."""
    if list(wanted) == [f"top{rank}" for rank in range(1, len(wanted) + 1)]:
        return None, len(wanted)
    return ",".join(labels[one] if isinstance(one, int) and labels else str(one) for one in wanted), None


def _of_question(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `Question` for settings, by name."""
    fields = {"steady": "is_steady"}
    changes = {
        fields.get(name, name): values[name]
        for name in ("method", "layer", "at", "threshold", "steady")
        if name in values
    }
    target = {name: values.get(name) for name in ("target", "top")}
    return changes | (target if values.keys() & target else {})
