"""The options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from livecam.choices import COLORMAPS, FITS

MODEL_OPTION_NAMES = ("model", "weights", "labels", "target", "method", "layer", "device", "fit")

_MODEL_OPTIONS = (
    click.option(
        "--model",
        default="shapes",
        show_default=True,
        help="'shapes' (ships with livecam), a classifier of torchvision, timm:NAME, or package.module:callable for "
        "your own; `livecam models` lists them.",
    ),
    click.option(
        "--weights", default="default", show_default=True, metavar="default|none|FILE", help="The model's weights."
    ),
    click.option("--labels", metavar="FILE", help="The names of the classes, one a line."),
    click.option(
        "--target", metavar="CLASS", help="Explain this class, by number or label, instead of each frame's best."
    ),
    click.option("--method", default="gradcam", show_default=True, help="How to explain; so far there is gradcam."),
    click.option("--layer", metavar="NAME", help="The layer to look at, instead of the automatic choice."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
    click.option(
        "--fit",
        type=click.Choice(FITS),
        default="stretch",
        show_default=True,
        help="How the picture gets the shape of the model's input.",
    ),
)

_DRAWING_OPTIONS = (
    click.option(
        "--colormap",
        type=click.Choice(COLORMAPS),
        default="jet",
        show_default=True,
        help="The colours of the heatmap.",
    ),
    click.option("--opacity", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of the heatmap."),
    click.option("--caption/--no-caption", default=True, help="The line with class and score."),
)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is explained, and how."""
    return _with(command, _MODEL_OPTIONS)


def drawing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How it looks."""
    return _with(command, _DRAWING_OPTIONS)


def _with(command: Callable[..., Any], options: tuple[Callable[..., Any], ...]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command
