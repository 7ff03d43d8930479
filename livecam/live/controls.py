"""What the keys of the window change."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from livecam.names import COLORMAPS, METHODS, VIEWS
from livecam.render import Style

_OPACITY_STEP = 0.1
_MESSAGE_SECONDS = 4.0
_RANKS = ("top1", "top2", "top3", "top4", "top5")

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Question:
    """What the model is asked: by which method, at which layer (None: the automatic one), for which class.

    A `target` of None is the one that the explainer was made for.
    """

    method: str
    layer: str | int | Sequence[str | int] | None = None
    target: int | str | None = None


class Controls:
    """The state behind the keys, for any thread to read. The explainer's thread sets `answered` and `is_preparing`, and
    may `refuse` and `tell`; all else is the main thread's.

    `layers` are the names of those that can be explained; `shown_class` gives the number of the class on the screen.
    """

    def __init__(
        self,
        style: Style,
        question: Question,
        layers: Sequence[str],
        shown_class: Callable[[], int | None],
        *,
        is_recording: bool = False,
    ) -> None:
        self.style = style
        self.question = self.answered = question
        """What is asked, and what the explainer answers by now."""
        self.is_preparing = False
        """Whether the explainer makes itself ready to be faster."""
        self.is_over = False
        self.is_paused = False
        self.steps = 0
        """How many more frames to show although it is paused."""
        self.snapshots = 0
        """How many were asked for."""
        self.is_recording = is_recording
        self.is_mirrored = False
        self.is_full_screen = False
        self.shows_facts = True
        self.shows_help = False
        self._message = ""
        self._told_seconds = -math.inf
        self._method = question.method
        self._layers = layers
        self._shown_class = shown_class

    def press(self, key: str) -> None:
        """Do what the key is for; others are passed over."""
        for entry in KEYS:
            if key in entry.keys:
                entry.action(self)

    @property
    def is_asked(self) -> bool:
        """Whether there is a question that the explainer does not answer yet."""
        return self.question != self.answered

    @property
    def is_changing(self) -> bool:
        """Whether the explainer has something else to do than to explain."""
        return self.is_preparing or self.is_asked

    def refuse(self, question: Question, why: str) -> None:
        """This cannot be answered: go back to what was asked before, unless something else is asked by now."""
        self.tell(why)
        if self.question is question:
            self.question = self.answered

    @property
    def message(self) -> str:
        """What there is to be said of the last key, for some seconds."""
        return self._message if time.monotonic() - self._told_seconds < _MESSAGE_SECONDS else ""

    def tell(self, message: str) -> None:
        """Say this on the screen."""
        self._message, self._told_seconds = message, time.monotonic()

    def quit(self) -> None:
        """End the run."""
        self.is_over = True

    def pause(self) -> None:
        """Stop the picture, or let it go on."""
        self.is_paused, self.steps = not self.is_paused, 0

    def step(self) -> None:
        """One more frame, then stand still."""
        self.is_paused, self.steps = True, self.steps + 1

    def snapshot(self) -> None:
        """Keep the picture."""
        self.snapshots += 1

    def record(self) -> None:
        """Begin to record, or stop."""
        self.is_recording = not self.is_recording

    def next_method(self, step: int = 1) -> None:
        """The next of all methods, at the layer that was chosen, for the explainer's own class."""
        # On from the last one that was asked for, also where it was refused: there may be others behind it.
        self._method = _next(METHODS, self._method, step)
        self.question = dataclasses.replace(self.question, method=self._method)

    def next_layer(self, step: int = 1) -> None:
        """The next deeper layer, or a shallower one; beyond the ends it is the automatic choice."""
        layer = _next((None, *self._layers), self.question.layer, step)
        self.question = dataclasses.replace(self.question, layer=layer)

    def next_class(self, step: int = 1) -> None:
        """The model's next best class, of the first five."""
        self.question = dataclasses.replace(self.question, target=_next(_RANKS, self.question.target, step))

    def lock_class(self) -> None:
        """Stay with the class on the screen, whatever is best; or, if one is locked, let it go."""
        is_locked = isinstance(self.question.target, int)
        self.question = dataclasses.replace(self.question, target=None if is_locked else self._shown_class())

    def change_opacity(self, step: float) -> None:
        """Of the heatmap."""
        self.style = dataclasses.replace(self.style, opacity=round(min(max(self.style.opacity + step, 0), 1), 2))

    def next_colormap(self, step: int = 1) -> None:
        """The colours of the heatmap."""
        self.style = dataclasses.replace(self.style, colormap=_next(COLORMAPS, self.style.colormap, step))

    def next_view(self, step: int = 1) -> None:
        """What is drawn."""
        self.style = dataclasses.replace(self.style, view=_next(VIEWS, self.style.view, step))

    def mirror(self) -> None:
        """Turn left and right, for the model as well."""
        self.is_mirrored = not self.is_mirrored

    def full_screen(self) -> None:
        """All of the screen, or a window."""
        self.is_full_screen = not self.is_full_screen

    def facts(self) -> None:
        """Show or hide the figures."""
        self.shows_facts = not self.shows_facts

    def help(self) -> None:
        """Show or hide what the keys do."""
        self.shows_help = not self.shows_help


class Key(NamedTuple):
    """`keys` as the window gives them, of which all do the same; how they are called, and what they do, in words."""

    keys: tuple[str, ...]
    name: str
    help: str
    action: Callable[[Controls], None]


def _next(choices: Sequence[Choice], current: Choice, step: int) -> Choice:
    place = choices.index(current) if current in choices else 0
    return choices[(place + step) % len(choices)]


KEYS = (
    Key(("q", "\x1b"), "q, Esc", "quit", Controls.quit),
    Key((" ",), "space", "pause, go on", Controls.pause),
    Key((".",), ".", "step by one frame", Controls.step),
    Key(("s",), "s", "snapshot: PNG and JSON", Controls.snapshot),
    Key(("r",), "r", "record, stop recording", Controls.record),
    Key(("m",), "m", "next method", Controls.next_method),
    Key(("M",), "M", "previous method", lambda controls: controls.next_method(-1)),
    Key(("l",), "l", "next layer", Controls.next_layer),
    Key(("L",), "L", "previous layer", lambda controls: controls.next_layer(-1)),
    Key(("c",), "c", "next class: top 1, top 2, ...", Controls.next_class),
    Key(("C",), "C", "previous class", lambda controls: controls.next_class(-1)),
    Key(("k",), "k", "keep to this class, let it go", Controls.lock_class),
    Key(("]", "+", "="), "], +", "heatmap more opaque", lambda controls: controls.change_opacity(_OPACITY_STEP)),
    Key(("[", "-"), "[, -", "heatmap less opaque", lambda controls: controls.change_opacity(-_OPACITY_STEP)),
    Key(("p",), "p", "next colour map", Controls.next_colormap),
    Key(("v",), "v", "next view", Controls.next_view),
    Key(("V",), "V", "previous view", lambda controls: controls.next_view(-1)),
    Key(("x",), "x", "mirror", Controls.mirror),
    Key(("f",), "f", "full screen", Controls.full_screen),
    Key(("i",), "i", "show or hide the figures", Controls.facts),
    Key(("h", "?"), "h", "show or hide this help", Controls.help),
)
