"""The commands of the user: a table of keys, a command for each, and changes of settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from livecam.errors import LivecamError
from livecam.live.display import Request
from livecam.live.feed import Feed
from livecam.live.recorder import Recorder
from livecam.live.screen import Screen
from livecam.live.settings import Settings, checked
from livecam.names import COLORMAPS, VIEWS

if TYPE_CHECKING:  # it imports torch, which takes seconds: the window opens before
    from livecam.live.explainer_thread import ExplainerThread

_OPACITY_STEP = 0.1
_ENTER, _BACKSPACE, _ESCAPE = ("\r", "\n"), ("\b", "\x7f"), "\x1b"
QUIT_KEYS = ("q", _ESCAPE)

Choice = TypeVar("Choice")


class Commands:
    """Executes the requests of the user. For the main thread only."""

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
        self.settings = Settings(feeds, explaining, screen)

    def execute(self, request: Request) -> None:
        """Execute a request, the command of a key or a change of settings, and show the answer."""
        if isinstance(request, str):
            self.press(request)
            return
        try:
            self.settings.change(**checked(request))
        except LivecamError as exc:
            self._screen.answer(str(exc))

    def press(self, key: str) -> None:
        """Execute the command of a key, and show its answer; while a prompt is typed, add the key to it."""
        if self._screen.typed is not None:
            self._type(key)
            return
        entry = next((entry for entry in KEYS if key in entry.keys), None)
        answer = entry.command(self) if entry else f"{key} is no key; h shows the keys" if key.isprintable() else ""
        if answer:
            self._screen.answer(answer)

    def quit(self) -> str:
        """End the run."""
        self._quit_run()
        return "closing"

    def pause(self) -> str:
        """Pause the pictures, or resume."""
        is_paused = not self._feeds[0].is_paused
        self.settings.change(paused=is_paused)
        return "" if is_paused else "goes on"

    def step(self) -> str:
        """Show one more frame of each source, then pause."""
        for feed in self._feeds:
            feed.step()
        return "one more frame"

    def snapshot(self) -> str:
        """Write what is shown to files."""
        return self._screen.snapshot()

    def record(self) -> str:
        """Begin to record, or stop."""
        if self._recorder.is_on:
            self._recorder.stop()
            return "recording stopped"
        self._recorder.start()
        return "recording from the next picture on"

    def next_method(self, step: int = 1) -> str:
        """Explain by the next method, at the layer and for the class that were chosen."""
        # The next after the last one asked for, even if that was refused, so that the methods after it can be reached.
        method, place = _next(self._explaining.methods, self.settings.asked_method, step)
        self.settings.change(method=method)
        return f"method {method}, {place}"

    def next_layer(self, step: int = 1) -> str:
        """Explain at the next stage, nearer to the input."""
        layers = self._explaining.layers
        layer, place = _next(layers, self._explaining.question.layer, step)
        self.settings.change(layer=layer)
        title = self._explaining.layer_titles[layers.index(layer)]
        return f"layer {title}{'' if layer is not None else ', the usual one'}, {place}"

    def next_class(self, step: int = 1) -> str:
        """Explain the next of the model's five best classes; before them come the classes that were asked for."""
        target, place = _next(self._explaining.targets, self._explaining.question.target, step)
        self.settings.change(target=target)
        return f"class {target or 'as asked for'}, {place}"

    def lock_class(self) -> str:
        """Lock the class on the screen, so that it is explained whichever is best; or unlock it."""
        if isinstance(self._explaining.question.target, int):
            self.settings.change(target=None)
            return "class let go"
        shown = self._screen.shown_class()
        if shown is None:
            return "no class is shown yet"
        if shown.index is None:
            return f"{shown.title}: there is no class to keep to"
        if not shown.members:  # a group is kept to anyway
            self.settings.change(target=shown.index)
        return f"keeps to {shown.label}"

    def begin_prompt(self) -> str:
        """Let the user type a prompt, by the keys that follow."""
        if not self._explaining.question.prompts:
            return "the model has classes of its own, so it takes no prompt"
        self._screen.typed = ""
        return ""

    def _type(self, key: str) -> None:
        """Add a key to the prompt that is typed; Enter explains it, Esc gives it up."""
        typed = self._screen.typed or ""
        if key in _ENTER and typed.strip():
            self.execute({"target": typed.strip()})
        is_over = key in _ENTER or key == _ESCAPE
        longer = typed[:-1] if key in _BACKSPACE else typed + key * key.isprintable()
        self._screen.typed = None if is_over else longer
        self._screen.refresh()

    def change_opacity(self, step: float) -> str:
        """Draw the heatmap more or less opaque."""
        opacity = round(min(max(self._screen.style.opacity + step, 0), 1), 2)
        self.settings.change(opacity=opacity)
        return f"opacity {opacity:.0%}"

    def next_colormap(self) -> str:
        """Draw the heatmap in the next colours."""
        colormap, place = _next(COLORMAPS, self._screen.style.colormap, 1)
        self.settings.change(colormap=colormap)
        return f"colours {colormap}, {place}"

    def next_view(self, step: int = 1) -> str:
        """Draw the next view."""
        view, place = _next(VIEWS, self._screen.style.view, step)
        self.settings.change(view=view)
        return f"view {view}, {place}"

    def mirror(self) -> str:
        """Mirror the picture, for the model as well."""
        is_mirrored = not self._feeds[0].is_mirrored
        self.settings.change(mirror=is_mirrored)
        return "mirrored" if is_mirrored else "not mirrored"

    def full_screen(self) -> str:
        """Fill the whole screen, or go back to a window."""
        self._screen.switch_full_screen()
        return "f leaves the full screen" if self._screen.is_full_screen else ""

    def figures(self) -> str:
        """Show or hide the figures."""
        self._screen.shows_figures = not self._screen.shows_figures
        return "" if self._screen.shows_figures else "i shows the figures"

    def help(self) -> str:
        """Show the help on keys, then what there was no room for, then hide it."""
        rows = [(entry.name, entry.help) for entry in KEYS]
        rows += MOUSE if self._explaining.takes_points else []
        self._screen.help = self._screen.help[self._screen.help_shown :] if self._screen.help else rows
        return ""


def _next(choices: Sequence[Choice], current: Choice, step: int) -> tuple[Choice, str]:
    """Return the next choice, and its place as text; after the last comes the first."""
    count = len(choices)
    if count == 1:
        return choices[0], "the only one"
    place = (choices.index(current) if current in choices else 0) + step
    wrapped = ", begins again" if place == count else ", from the end" if place < 0 else ""
    return choices[place % count], f"{place % count + 1} of {count}{wrapped}"


class Key(NamedTuple):
    """An entry of the key table: the characters that a display returns, their name, a description, and the command,
    which returns a line that tells what it did, or nothing if that is seen anyway."""

    keys: tuple[str, ...]
    name: str
    help: str
    command: Callable[[Commands], str]


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
    Key(("/",), "/", "type a prompt (clip: models)", Commands.begin_prompt),
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
MOUSE = (("click", "explain what is there; right: no longer"),)
"""What the mouse does where a point of the picture can be explained, as in the help."""
