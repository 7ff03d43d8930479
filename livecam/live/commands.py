"""What the keys do: a table of keys, and a command for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from livecam.live.feed import Feed
from livecam.live.recorder import Recorder
from livecam.live.screen import Screen
from livecam.names import COLORMAPS, METHODS, VIEWS

if TYPE_CHECKING:  # it imports torch, which takes seconds: the window opens before
    from livecam.live.explainer_thread import ExplainerThread

_OPACITY_STEP = 0.1
QUIT_KEYS = ("q", "\x1b")
_RANKS = ("top1", "top2", "top3", "top4", "top5")

Choice = TypeVar("Choice")


class Commands:
    """Executes the commands of the keys. For the main thread only."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        explaining: ExplainerThread,
        screen: Screen,
        recorder: Recorder,
        quit_run: Callable[[], None],
    ) -> None:
        self._feeds = feeds
        self._explaining = explaining
        self._screen = screen
        self._recorder = recorder
        self._quit_run = quit_run
        self._method = explaining.question.method

    def press(self, key: str) -> None:
        """Execute the command of a key; unknown keys do nothing."""
        for entry in KEYS:
            if key in entry.keys:
                entry.command(self)

    def quit(self) -> None:
        """End the run."""
        self._quit_run()

    def pause(self) -> None:
        """Pause the pictures, or resume."""
        is_paused = not self._feeds[0].is_paused
        for feed in self._feeds:
            feed.pause(is_paused)

    def step(self) -> None:
        """Show one more frame of each source, then pause."""
        for feed in self._feeds:
            feed.step()

    def snapshot(self) -> None:
        """Write what is shown to files."""
        self._screen.snapshot()

    def record(self) -> None:
        """Begin to record, or stop."""
        if self._recorder.is_on:
            self._recorder.stop()
        else:
            self._recorder.start()

    def next_method(self, step: int = 1) -> None:
        """Explain by the next method, at the layer and for the class that were chosen."""
        # The next after the last one asked for, even if that was refused, so that the methods after it can be reached.
        self._method = _next(METHODS, self._method, step)
        self._ask(method=self._method)

    def next_layer(self, step: int = 1) -> None:
        """Explain the next deeper layer; after the last comes the automatic choice."""
        self._ask(layer=_next((None, *self._explaining.layers), self._explaining.question.layer, step))

    def next_class(self, step: int = 1) -> None:
        """Explain the next of the model's five best classes."""
        self._ask(target=_next(_RANKS, self._explaining.question.target, step))

    def lock_class(self) -> None:
        """Lock the class on the screen, so that it is explained whichever is best; or unlock it."""
        is_locked = isinstance(self._explaining.question.target, int)
        self._ask(target=None if is_locked else self._screen.shown_class())

    def change_opacity(self, step: float) -> None:
        """Draw the heatmap more or less opaque."""
        self._restyle(opacity=round(min(max(self._screen.style.opacity + step, 0), 1), 2))

    def next_colormap(self) -> None:
        """Draw the heatmap in the next colours."""
        self._restyle(colormap=_next(COLORMAPS, self._screen.style.colormap, 1))

    def next_view(self, step: int = 1) -> None:
        """Draw the next view."""
        self._restyle(view=_next(VIEWS, self._screen.style.view, step))

    def mirror(self) -> None:
        """Mirror the picture, for the model as well."""
        for feed in self._feeds:
            feed.is_mirrored = not feed.is_mirrored

    def full_screen(self) -> None:
        """Fill the whole screen, or go back to a window."""
        self._screen.switch_full_screen()

    def figures(self) -> None:
        """Show or hide the figures."""
        self._screen.shows_figures = not self._screen.shows_figures

    def help(self) -> None:
        """Show or hide the help on keys."""
        self._screen.help = () if self._screen.help else [(entry.name, entry.help) for entry in KEYS]

    def _ask(self, **changes: Any) -> None:
        self._explaining.ask(dataclasses.replace(self._explaining.question, **changes))

    def _restyle(self, **changes: Any) -> None:
        self._screen.style = dataclasses.replace(self._screen.style, **changes)


def _next(choices: Sequence[Choice], current: Choice, step: int) -> Choice:
    place = choices.index(current) if current in choices else 0
    return choices[(place + step) % len(choices)]


class Key(NamedTuple):
    """An entry of the key table: the characters that a display returns, their name, a description and the command."""

    keys: tuple[str, ...]
    name: str
    help: str
    command: Callable[[Commands], None]


KEYS = (
    Key(QUIT_KEYS, "q, Esc", "quit", Commands.quit),
    Key((" ",), "space", "pause, go on", Commands.pause),
    Key((".",), ".", "step by one frame", Commands.step),
    Key(("s",), "s", "snapshot: PNG and JSON", Commands.snapshot),
    Key(("r",), "r", "record, stop recording", Commands.record),
    Key(("m",), "m", "next method", Commands.next_method),
    Key(("M",), "M", "previous method", lambda commands: commands.next_method(-1)),
    Key(("l",), "l", "next layer", Commands.next_layer),
    Key(("L",), "L", "previous layer", lambda commands: commands.next_layer(-1)),
    Key(("c",), "c", "next class: top 1, top 2, ...", Commands.next_class),
    Key(("C",), "C", "previous class", lambda commands: commands.next_class(-1)),
    Key(("k",), "k", "keep to this class, let it go", Commands.lock_class),
    Key(("]", "+", "="), "], +", "heatmap more opaque", lambda commands: commands.change_opacity(_OPACITY_STEP)),
    Key(("[", "-"), "[, -", "heatmap less opaque", lambda commands: commands.change_opacity(-_OPACITY_STEP)),
    Key(("p",), "p", "next colour map", Commands.next_colormap),
    Key(("v",), "v", "next view", Commands.next_view),
    Key(("V",), "V", "previous view", lambda commands: commands.next_view(-1)),
    Key(("x",), "x", "mirror", Commands.mirror),
    Key(("f",), "f", "full screen", Commands.full_screen),
    Key(("i",), "i", "show or hide the figures", Commands.figures),
    Key(("h", "?"), "h", "show or hide this help", Commands.help),
)
