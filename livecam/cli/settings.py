"""Options that are not typed: variables such as LIVECAM_MODEL, and the file livecam.toml in the current folder."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from livecam.cli.hints import OneLine
from livecam.errors import in_one_line
from livecam.system.paths import exists
from livecam.text import similar

log = logging.getLogger("livecam")

FILE = Path("livecam.toml")
TYPED = (
    *("output", "overwrite", "resume", "shard", "watch", "on", "predictions", "save-map", "report", "record"),
    *("metrics", "json", "start", "duration", "stream", "insecure", "certificate", "key", "behind-proxy"),
    *("quiet", "verbose", "debug"),
)
"""Options that have to be typed: those of a single run, and those that write files or leave out a check.

livecam.toml may come with a folder from anybody.
"""
_RUNS_NO_CODE = re.compile(r"\w+|(timm|hf):.+")


def name_of(param: click.Parameter) -> str:
    """Return the name of an option without the hyphens in front."""
    return max(param.opts, key=len).lstrip("-")


def settings_among(params: Iterable[click.Parameter]) -> dict[str, click.Parameter]:
    """Return the parameters that need not be typed, by their names: all but `TYPED`, and no argument but the model."""
    named = {name_of(param): param for param in params if isinstance(param, click.Option) or param.name == "model"}
    return {name: param for name, param in named.items() if name not in TYPED}


def variable(name: str) -> str:
    """Return the environment variable that sets an option."""
    return f"LIVECAM_{name.upper().replace('-', '_')}"


def from_file(program: click.Group, command: click.Command) -> dict[str, Any]:
    """Return what livecam.toml sets for a command, as click's `default_map`. Raises OneLine."""
    table = _read()
    of_commands = {name: settings_among(each.params) for name, each in program.commands.items()}
    known = {key: param for settings in of_commands.values() for key, param in settings.items()}
    values = {key: value for key, value in table.items() if key not in of_commands}
    for section in of_commands.keys() & table.keys():
        if not isinstance(table[section], dict):
            raise OneLine(f"{FILE}: {section} is a command; its settings come below [{section}]")
        for key in table[section]:
            _check_key(key, of_commands[section], f"[{section}]")
    for key in values:
        _check_key(key, known, sections=program.commands)
    values |= table.get(str(command.name), {})
    params = {param.name: (key, param) for key, param in settings_among(command.params).items() if key in values}
    return {name: _value(command, key, param, values[key]) for name, (key, param) in params.items()}


def is_typed(name: str) -> bool:
    """Return True if an option of the current command is typed, and not set by a variable or the file."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def precedence(name: str) -> int:
    """Return the place of an option of the current command where some exclude it: the least is what is typed."""
    source = click.get_current_context().get_parameter_source(name)
    ordered = ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP
    return next(place for place, each in enumerate(ordered) if each is source)


def tell_settings(ctx: click.Context) -> None:
    """Log which settings were not typed: those of the file as a note, those of variables as a detail."""
    for place, level, source, value_of in (
        (FILE, logging.INFO, ParameterSource.DEFAULT_MAP, lambda param: ctx.lookup_default(param.name)),
        ("the environment", logging.DEBUG, ParameterSource.ENVIRONMENT, lambda param: os.environ[param.envvar]),
    ):
        shown = [
            f"{key} = {_shown(value_of(param))}"
            for key, param in settings_among(ctx.command.params).items()
            if ctx.get_parameter_source(str(param.name)) is source
        ]
        if shown:
            log.log(level, "%s sets %s", place, ", ".join(shown))


def _shown(value: Any) -> str:
    """Return a value as livecam.toml has it, a list without its brackets."""
    if isinstance(value, list):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read() -> dict[str, Any]:
    if not exists(FILE):
        return {}
    import tomllib

    try:
        return tomllib.loads(FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:  # ValueError: neither UTF-8 nor TOML
        raise OneLine(f"cannot read {FILE}: {in_one_line(exc)}") from exc


def _check_key(key: str, known: Iterable[str], section: str = "", sections: Iterable[str] = ()) -> None:
    if key in TYPED:
        raise OneLine(f"{FILE}: {key} has to be typed, as --{key}, since such a file may come from anybody")
    if key not in known:
        near = similar(key, (*known, *sections), 1)
        advice = f"did you mean {near[0]}?" if near else "it has the names of options, such as model and colormap"
        place = f" in {section}" if section else ""
        raise OneLine(f"{FILE}: there is no setting {key}{place}; {advice}")


def _value(command: click.Command, key: str, param: click.Parameter, value: Any) -> Any:
    """Return a value as click takes it: as it would be typed, or True or False."""
    if param.name == "model" and not _RUNS_NO_CODE.fullmatch(str(value)):
        raise OneLine(
            f"{FILE}: the model {value} could run code, so it has to be typed; give --model, or set LIVECAM_MODEL"
        )
    if isinstance(param, click.Option) and param.is_flag:
        if not isinstance(value, bool):
            raise OneLine(f"{FILE}: {key} is true or false, not {value!r}")
        return value
    given = value if isinstance(value, list) else [value]
    typed: Any = [str(each) for each in given] if param.multiple else ",".join(map(str, given))
    try:
        param.type_cast_value(click.Context(command), typed)
    except click.BadParameter as exc:
        raise OneLine(f"{FILE}: {key}: {exc.message.rstrip('.')}") from exc
    return typed
