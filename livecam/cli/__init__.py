"""The command line. Each command parses its options and calls the library.

Nothing heavy is imported before a command runs, so that help appears at once.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from livecam._version import __version__
from livecam.cli.annotate import annotate_command
from livecam.cli.bench import bench_command
from livecam.cli.doctor import doctor_command
from livecam.cli.errors import EXIT_ERROR, one_line
from livecam.cli.hints import hinted
from livecam.cli.live import live_command
from livecam.cli.models import layers_command, models_command
from livecam.cli.terminal import ERROR, open_missing_streams, output_errors, tell
from livecam.errors import OutputError
from livecam.system.cores import before_torch_loads, keep_freed_memory, spare_collector

EPILOG = """\b
Examples:
  livecam annotate holiday.mp4
  livecam annotate photos/ --model resnet50 --method layercam -o explained
  livecam live 0 --model efficientnet_lite0 --record webcam.mp4

\b
Options also come from variables such as LIVECAM_MODEL, and from livecam.toml in
the current folder.

\b
Tab completion, in ~/.bashrc (likewise zsh_source for zsh, fish_source for fish):
  eval "$(_LIVECAM_COMPLETE=bash_source livecam)"
"""


class Commands(click.Group):
    """The commands, listed in the order in which they are added. Wrong usage of them gets a hint."""

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **others: Any) -> click.Context:
        """Return the context of a command line."""
        words = tuple(args)
        with hinted(self, words):
            ctx = super().make_context(info_name, args, *more, **others)
        ctx.obj = words
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with hinted(self, ctx.obj):
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(self.commands)


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100},
)
@click.version_option(__version__, message="livecam %(version)s")
def cli() -> None:
    """Show what an image classifier looks at, in videos, in pictures and live."""


for command in (annotate_command, live_command, models_command, layers_command, bench_command, doctor_command):
    cli.add_command(command)


def main() -> None:
    """Run the program `livecam`."""
    before_torch_loads()
    spare_collector()
    keep_freed_memory()
    open_missing_streams()
    try:
        with output_errors():  # of click, which prints the help; those of a command end in it
            cli(prog_name="livecam")
    except OutputError as exc:
        tell(one_line(exc), **ERROR)
        sys.exit(EXIT_ERROR)
