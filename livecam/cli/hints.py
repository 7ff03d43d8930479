"""Hints on wrong usage: the command line that was probably meant, found by correcting one mistake after the other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource
from click.exceptions import NoArgsIsHelpError, NoSuchCommand

from livecam.cli.terminal import ERROR, tell
from livecam.names import PICTURE_ENDINGS, READ_PICTURE_ENDINGS, READ_VIDEO_ENDINGS, SHOWN_IN, VIDEO_ENDINGS
from livecam.system.paths import exists, is_file_name
from livecam.text import similar

COMMANDS = {
    **dict.fromkeys(("predict", "detect", "classify", "explain", "run", "convert", "video", "image"), "annotate"),
    **dict.fromkeys(("webcam", "camera", "cam", "stream", "watch", "show"), "live"),
    **{"list": "models", "benchmark": "bench", "check": "doctor", "checks": "doctor"},
}
"""The commands of livecam by the names that other programs give them."""
OPTIONS = {
    **dict.fromkeys(("-i", "--input", "--source", "--file", "--image", "--video", "--camera", "--show", "--save"), ""),
    **{"--model": "", "-m": "--model", "--arch": "--model", "--checkpoint": "--weights", "--imgsz": "--input-size"},
    **{"--class": "--target", "--classes": "--target", "--cam": "--method", "--conf": "--threshold"},
    **{"-o": "--record", "--output": "--record", "--record": "--output"},
    **{"--alpha": "--opacity", "--cmap": "--colormap", "-y": "--overwrite", "--force": "--overwrite"},
    **dict.fromkeys(("--continue", "--skip-existing"), "--resume"),
}
"""The options of livecam by the names that other programs or commands give them; "" if at most the value is needed."""
OF_LIVE = ("--show", "--camera")
"""Options of other programs that mean `livecam live`."""
REASONS = {
    "--show": "livecam live shows a window, and livecam annotate writes files",
    "--save": "livecam annotate always writes a file, which -o names, and livecam live has --record",
    "--conf": "--confidence is for boxes, the best class is explained even if its score is low",
}
"""Why livecam has no such option."""
EXAMPLE = "clip.mp4"
MOST_MISTAKES = 10
FLAGS = ("--show", "--save")
"""Options of other programs that may be followed by true or false."""
TRUTHS = ("true", "false")
FILE_OPTIONS = ("--record", "--output")
"""The options of commands that name a file to write."""
WRITTEN_ENDINGS = (*VIDEO_ENDINGS, *PICTURE_ENDINGS)
HELP = ("-h", "--help")

_PAIR = re.compile(r"([A-Za-z][\w-]*)=([^*?\[%]*)")
_CAMERA = re.compile(r"\d{1,2}|browser:|/dev/video.*|(rtsps?|rtmps?|udp|rtp)://.*", re.DOTALL)
_NUMBER, _WORD = re.compile(r"\d{1,2}"), re.compile(r"[\w -]+")
_NO_CAMERA = re.compile(r"demo:.*|https?://.*|.*[*?].*", re.DOTALL)
_OF_PROGRAM = (*HELP, "--version")
_FLOAT, _INTEGER = re.compile(r"a valid float( range)?"), re.compile(r"a valid integer( range)?")


class Pairs(click.UsageError):
    """Options are typed as name=value."""


class NoInput(click.UsageError):
    """What is typed as an input does not exist, and was probably meant as something else."""

    def __init__(self, name: str, ctx: click.Context) -> None:
        super().__init__(f"{name} does not exist", ctx)
        self.name = name


class OneLine(click.UsageError):
    """Wrong usage, told in one line."""

    def show(self, file: object = None) -> None:
        """Print the line."""
        tell(f"livecam: {self.message}", **ERROR)


@contextmanager
def hinted(program: click.Group, words: Sequence[str]) -> Iterator[None]:
    """Raise OneLine, with a hint, if the block raises the wrong usage of a program with these arguments."""
    try:
        yield
    except (OneLine, NoArgsIsHelpError):
        raise
    except click.UsageError as exc:
        raise OneLine(_problem(exc) + _advice(program, words, exc), exc.ctx) from exc


def check_pairs(ctx: click.Context) -> None:
    """Raise Pairs if an argument of the command is name=value, and not a file of this name."""
    for param in ctx.command.params:
        values = ctx.params.get(param.name) if isinstance(param, click.Argument) else None
        for value in values if isinstance(values, tuple) else (values,):
            if value and _PAIR.fullmatch(value) and not exists(value):
                raise Pairs(f"{value} is no input, and options are typed as --name value", ctx)


def check_inputs(ctx: click.Context, words: Sequence[str]) -> None:
    """Raise NoInput for an input that does not exist if its place among the words tells what it was meant as."""
    for name in ctx.params.get("sources") or ():
        if not exists(name) and _with_no_input(["", *words], name, ctx):
            raise NoInput(name, ctx)


def _problem(exc: click.UsageError) -> str:
    if isinstance(exc, NoSuchCommand):
        return f"there is no command {exc.command_name!r}"
    if isinstance(exc, click.NoSuchOption):
        reason = REASONS.get(exc.option_name)
        return f"there is no option {exc.option_name}" + (f": {reason}" if reason else "")
    if isinstance(exc, click.MissingParameter) and exc.param and exc.ctx:
        return f"{exc.ctx.info_name} needs an {exc.param.make_metavar(exc.ctx).rstrip('.')}"
    if isinstance(exc, click.BadParameter) and exc.param and exc.ctx:
        name, message = _typed_or_set(exc.param, exc.ctx), exc.message.rstrip(".")
        if _choice(exc):
            return f"{name} takes no {message.partition(' is not ')[0]}"
        return f"{name}: {_INTEGER.sub('a whole number', _FLOAT.sub('a number', message))}"
    message = exc.format_message().rstrip(".")
    return message[0].lower() + message[1:]


def _typed_or_set(param: click.Parameter, ctx: click.Context) -> str:
    """Return the name that a value was given to: that of an option, an argument or an environment variable."""
    if ctx.get_parameter_source(str(param.name)) is ParameterSource.ENVIRONMENT:
        return str(param.envvar)
    return max(param.opts, key=len) if isinstance(param, click.Option) else param.make_metavar(ctx).strip("[].")


def _advice(program: click.Group, words: Sequence[str], exc: click.UsageError) -> str:
    meant = corrected(program, words)
    if meant is None and isinstance(exc, click.BadParameter):
        choice = _choice(exc)
        return f"; it takes {', '.join(choice.type.choices)}" if choice else ""
    if meant is None:
        command = words[0] if words and words[0] in program.commands else ""
        return f"; `{' '.join(filter(None, ['livecam', command]))} --help` tells what can be typed"
    if meant == list(words):  # what is wrong is told with the advice: it does not lie in single words
        return ""
    return f"; {'for example' if isinstance(exc, click.MissingParameter) else 'try'}: {shlex.join(['livecam', *meant])}"


def corrected(program: click.Group, words: Sequence[str]) -> list[str] | None:
    """Return the arguments that were probably meant by some that cannot be used; None if that cannot be guessed."""
    meant: list[str] | None = list(words)
    for _ in range(MOST_MISTAKES):
        if not meant or (mistake := _mistake(program, meant)) is None:
            return meant or None
        meant = _mended(program, meant, mistake)
    return None


def _mistake(program: click.Group, words: Sequence[str]) -> click.UsageError | None:
    """Return what is wrong first."""
    ctx = click.Context(program, info_name="livecam")
    try:
        if words[0] in _OF_PROGRAM:
            return None
        if words[0].startswith("-"):
            raise click.NoSuchOption(words[0].partition("=")[0], ctx=ctx)
        name, command, rest = program.resolve_command(ctx, list(words))
        if command is not None and not any(word in HELP for word in rest):
            command.make_context(name, rest, parent=ctx)
    except click.UsageError as exc:
        return exc
    return None


def _mended(program: click.Group, words: list[str], mistake: click.UsageError) -> list[str] | None:
    """Return the words without this mistake; None if it cannot be guessed how."""
    if mistake.ctx is None:
        return None
    if mistake.ctx.command is program:
        return _with_command(program, words)
    if isinstance(mistake, Pairs):
        return [each for word in words for each in _without_pair(word)]
    if isinstance(mistake, NoInput):
        return _with_no_input(words, mistake.name, mistake.ctx)
    if isinstance(mistake, click.MissingParameter):
        return [*words, EXAMPLE]
    if isinstance(mistake, click.NoSuchOption):
        return _with_option(words, mistake.option_name, mistake.ctx.command)
    choice = _choice(mistake)
    return _with_value(words, choice.opts, choice.type.choices) if choice else None


def _choice(mistake: click.UsageError) -> Any:
    """Return the parameter of which one of a few values has to be typed, None if something else is wrong."""
    param = mistake.param if isinstance(mistake, click.BadParameter) else None
    return param if param and isinstance(param.type, click.Choice) else None


def _with_command(program: click.Group, words: list[str]) -> list[str] | None:
    first = words[0]
    if first == "help":
        return [*words[1:2], "--help"]
    known = _OF_PROGRAM if first.startswith("-") else program.commands
    if meant := COMMANDS.get(first) or "".join(similar(first, known, 1)):
        return [meant, *words[1:]]
    if typed := [word for word in words if word in program.commands]:  # the options came first
        return [typed[0], *(word for word in words if word != typed[0])]
    named = [word.partition("=")[2] or word for word in words]
    if any(map(_CAMERA.fullmatch, named)) or any(word in OF_LIVE for word in words):
        return ["live", *words]
    return ["annotate", *words] if any(map(_is_input, named)) else None


def _is_input(name: str) -> bool:
    endings = (*READ_VIDEO_ENDINGS, *READ_PICTURE_ENDINGS)
    return bool(_NO_CAMERA.fullmatch(name)) or name.lower().endswith(endings) or exists(name)


def _without_pair(word: str) -> list[str]:
    pair = _PAIR.fullmatch(word)
    if pair is None or exists(word):
        return [word]
    option, value = f"--{pair[1].replace('_', '-')}", pair[2]
    return {"true": [option], "false": []}.get(value.lower(), [option, value])


def _with_no_input(words: list[str], name: str, ctx: click.Context) -> list[str] | None:
    """Return a command line with an input as what it was meant: a camera, one more class, or the file to write."""
    place, inputs = words.index(name), ctx.params["sources"]
    others, written = [*words[:place], *words[place + 1 :]], _file_option(ctx.command)
    if _NUMBER.fullmatch(name) and written == "--output":
        return ["live", *words[1:]]
    if COMMANDS.get(name) == "live" and written == "--record":
        return others
    if words[place - 2] in _lists(ctx.command) and _WORD.fullmatch(name):
        return [*words[: place - 1], f"{words[place - 1]},{name}", *words[place + 1 :]]
    may_be_output = name.lower().endswith(WRITTEN_ENDINGS) and is_file_name(name)
    is_written = may_be_output and name == inputs[-1] and len(inputs) == 2
    return [*others, written, name] if is_written and written and not ctx.params[written.strip("-")] else None


def _file_option(command: click.Command) -> str:
    """Return the option that names the file to write, empty if there is none."""
    known = [option for param in command.params for option in param.opts]
    return next((option for option in FILE_OPTIONS if option in known), "")


def _lists(command: click.Command) -> list[str]:
    """Return the options that take several values, separated by commas."""
    return [
        option
        for param in command.params
        if isinstance(param, click.Option) and str(param.metavar).endswith(",...")
        for option in param.opts
    ]


def _with_option(words: list[str], name: str, command: click.Command) -> list[str] | None:
    known = [option for param in command.params for option in (*param.opts, *param.secondary_opts)]
    meant = OPTIONS[name] if name in OPTIONS else "".join(similar(name, known, 1))
    if not meant and name not in OPTIONS:
        return None
    place = [word.partition("=")[0] for word in words].index(name)
    value, before, after = words[place].partition("=")[2], words[1:place], words[place + 1 :]
    if name == "--show" and (shown := next((word for word in (value, *after[:1]) if word in SHOWN_IN), "")):
        return ["live", *before, name, shown, *after[0 if value else 1 :]]
    if name in FLAGS:
        value = "" if value.lower() in TRUTHS else value
        after = after[1:] if after and after[0].lower() in TRUTHS else after
    if name == "--save" and (value or _names_output(before, after)):
        meant = _file_option(command)
    put = [each for each in (meant, value) if each]
    return ["live" if name in OF_LIVE else words[0], *before, *put, *after]


def _names_output(before: Sequence[str], after: Sequence[str]) -> bool:
    """Return True if the word after an option is a file, and the words before it name the input already."""
    return any(map(_is_input, after[:1])) and any(_is_input(word) or _CAMERA.fullmatch(word) for word in before)


def _with_value(words: list[str], options: Sequence[str], values: Sequence[str]) -> list[str] | None:
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in options:
            at = place if equals else place + 1
            typed, after = value if equals else words[at], words[at + 1 :]
            if option in FLAGS and typed.lower() in TRUTHS:
                return [*words[:place], *after]
            if option in FLAGS and (_is_input(typed) or _CAMERA.fullmatch(typed)):
                return [*words[:place], typed, *after]
            near = similar(typed, values, 1)
            return [*words[:at], (f"{option}={near[0]}" if equals else near[0]), *after] if near else None
    return None
