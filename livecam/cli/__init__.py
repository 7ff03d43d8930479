"""The command line: parsing and assembly only, one file a command.

Nothing heavy is imported before a command runs, so that help comes at once.
"""

from __future__ import annotations

import click

from livecam.cli.annotate import annotate_command
from livecam.cli.bench import bench_command
from livecam.cli.doctor import doctor_command
from livecam.cli.live import live_command
from livecam.cli.models import layers_command, models_command
from livecam.system.cores import before_torch_loads, spare_collector


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="livecam")
def cli() -> None:
    """Show what an image classifier looks at, on every frame of a video and on pictures."""


cli.add_command(annotate_command)
cli.add_command(bench_command)
cli.add_command(doctor_command)
cli.add_command(layers_command)
cli.add_command(live_command)
cli.add_command(models_command)


def main() -> None:
    """The program `livecam`."""
    before_torch_loads()
    spare_collector()
    cli(prog_name="livecam")
