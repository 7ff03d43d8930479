"""`livecam models` and `livecam layers`: lists to choose from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click
from click import Option

from livecam.cli.errors import ends_well
from livecam.cli.loading import loading
from livecam.cli.options import AS_JSON, FILE, INPUT, LABELS, Command, preprocessing_changes
from livecam.cli.terminal import inform, print_table, print_text, waiting
from livecam.models.default import default_model
from livecam.models.known import CLIP, check_name

if TYPE_CHECKING:
    from livecam.models.catalog import Entry
    from livecam.models.survey.layers import Survey

HEADINGS = {
    "classes": ("CLASSES OF A PICTURE", "TOP-1"),
    "clips": ("CLASSES OF A CLIP", "TOP-1"),
    "masks": ("CLASSES OF PIXELS", "MIOU"),
    "boxes": ("OBJECTS IN BOXES", "AP"),
    "words": ("WORDS OF YOUR OWN", "ACCURACY"),
}
"""For each kind of models the heading of their names, and that of their accuracy."""


@click.command("models", cls=Command, params=[AS_JSON])
@click.argument("pattern", required=False)
@ends_well
def models_command(pattern: str | None, as_json: bool) -> None:
    """List the models that --model can name.

    PATTERN is a part of a name, or a shell pattern such as 'timm:*resnet*'. Models of timm and open_clip are listed for
    a pattern that no others match, such as one that begins with timm: or clip:. They are grouped by what they say. The
    accuracy is in percent: TOP-1 on ImageNet-1k, of clips on Kinetics-400; MIOU and AP on COCO; - stands for a figure
    that is unknown until the model is built.
    """
    from livecam.models.catalog import find_models, hints

    with waiting("reading the names of models …") if pattern else nullcontext():
        entries = find_models(pattern)
    if as_json:
        print_text(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
    else:
        _print_by_kind(entries)
    for hint in hints(pattern, entries):
        inform(hint)


def _print_by_kind(entries: Sequence[Entry]) -> None:
    """Print a table for each kind of models, with an empty line between two."""
    of_kinds = {kind: [entry for entry in entries if entry.kind == kind] for kind in HEADINGS}
    for number, (kind, listed) in enumerate((kind, listed) for kind, listed in of_kinds.items() if listed):
        names, accuracy = HEADINGS[kind]
        if number:
            print_text("")
        headings = (names, "PARAMETERS", "INPUT", accuracy, "WEIGHTS")
        print_table([headings, *map(_model_cells, listed)], numbers=(1, 2, 3))


def _model_cells(entry: Entry) -> tuple[str, ...]:
    return (
        entry.name,
        "-" if entry.parameters is None else f"{entry.parameters / 1e6:.2f} M",
        "-" if entry.input_size is None else f"{entry.input_size[1]}x{entry.input_size[0]}",
        "-" if entry.accuracy is None else f"{entry.accuracy:.1f}",
        entry.weights + ("" if entry.download_bytes is None else f", {entry.download_bytes / 1e6:.0f} MB"),
    )


WEIGHTS = Option(
    ["--weights"],
    type=FILE,
    metavar="default|none|FILE",
    show_default="none, which have the same layers",
    help="The weights: the published ones, random ones (none), or those in a file.",
)


@click.command("layers", cls=Command, params=[WEIGHTS, LABELS, *INPUT, AS_JSON])
@click.argument("model", required=False)
@ends_well
def layers_command(
    model: str | None, weights: str | None, labels: str | None, as_json: bool, **preprocessing: Any
) -> None:
    """List the layers of a model, and which can be explained.

    MODEL is named as for --model; by default it is efficientnet_lite0 if that is installed, else shapes. Its layers are
    listed in the order in which they run. Those that can be explained have a number; --layer takes the number or the
    name, and negative numbers count from the end. A star marks the automatic choice; methods that need features rather
    than class scores choose an earlier layer. CHECK tells if a layer responds where the picture changes, which proves
    its grid, and how well it does, from -1 to 1.
    """
    changes, model = preprocessing_changes(**preprocessing), model or default_model()
    check_name(model)
    with loading(model):
        from livecam.explain.explainer import Explainer
        from livecam.models.loading import weights_without_download

        weights = weights or weights_without_download(model)
        prompts = "a photo" if model.startswith(CLIP) else None  # the layers are the same for any
        explainer = Explainer(model, weights=weights, labels=labels, preprocessing=changes, prompts=prompts)
        rows = _layer_rows(explainer.survey)
    if as_json:
        print_text(json.dumps(rows, indent=2))
        return
    print_table([["", "NUMBER", "NAME", "TYPE", "OUTPUT", "GRID", "CHECK"], *map(_layer_cells, rows)])


def _layer_rows(survey: Survey) -> list[dict[str, Any]]:
    from livecam.models.survey.layers import names_of

    automatic = survey.automatic if survey.usable else []
    numbers = {layer.name: number for number, layer in enumerate(survey.usable)}
    explained = [survey.explained_calls(layer) for layer in survey.layers]
    return [
        {
            "name": name,
            "type": call.type,
            "output": call.size,
            "grid": [call.grid.height, call.grid.width] if call.grid else None,
            "number": numbers.get(call.name),
            "automatic": call in automatic,
            "obstacle": call.obstacle or None,
            "agreement": None if call.agreement is None else round(call.agreement, 3),
            "check": call.check if call.grid else None,
        }
        for calls in explained
        for call, name in zip(calls, names_of(calls), strict=True)
    ]


def _layer_cells(row: dict[str, Any]) -> list[str]:
    grid = "x".join(map(str, row["grid"])) if row["grid"] else f"- ({row['obstacle']})"
    number = "" if row["number"] is None else str(row["number"])
    check = f"{row['check']} ({row['agreement']:.2f})" if row["check"] else ""
    return ["*" if row["automatic"] else "", number, row["name"], row["type"], row["output"], grid, check]
