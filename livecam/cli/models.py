"""`livecam models`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from livecam.cli.errors import ends_well
from livecam.cli.tables import print_table, print_text

if TYPE_CHECKING:
    from livecam.models.catalog import Entry

HEADINGS = ("NAME", "PARAMETERS", "INPUT", "TOP-1", "WEIGHTS")


@click.command("models")
@click.argument("pattern", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@ends_well
def models_command(pattern: str | None, as_json: bool) -> None:
    """List the models that --model can name.

    PATTERN is a part of a name or a shell pattern, such as 'timm:*resnet*'; without it, timm's are left out. TOP-1 is
    the accuracy on ImageNet-1k in percent; a - stands for what nobody tells before a model is built.
    """
    from livecam.models.catalog import find_models, hints

    entries = find_models(pattern)
    if as_json:
        print_text(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
    else:
        print_table([HEADINGS, *map(_cells, entries)], numbers=(1, 2, 3))
    if pattern is None:
        click.echo("\n".join(hints()), err=True)


def _cells(entry: Entry) -> tuple[str, ...]:
    height, width = entry.input_size
    return (
        entry.name,
        "-" if entry.parameters is None else f"{entry.parameters / 1e6:.2f} M",
        f"{width}x{height}",
        "-" if entry.top1 is None else f"{entry.top1:.1f}",
        entry.weights + ("" if entry.download_bytes is None else f", {entry.download_bytes / 1e6:.0f} MB"),
    )
