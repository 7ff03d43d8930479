"""The options that commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from livecam.names import COLORMAPS, ENGINES, FITS, LARGEST_BLUR_CELLS, METHODS, PRECISIONS, VIEWS

MODEL_OPTION_NAMES = (
    *("model", "weights", "labels", "target", "top", "against", "negative", "method", "layer"),
    *("threshold", "smooth", "scale", "device", "engine", "precision", "fit"),
)
DRAWING_OPTION_NAMES = ("view", "opacity", "colormap", "caption", "contour", "colorbar")


class NumberOr(click.ParamType):
    """A number or one of a few words, which are taken as they are."""

    def __init__(self, *words: str) -> None:
        self.name = "|".join((*words, "number"))
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value in self._words:
            return str(value)
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor {' or '.join(self._words)}", param, ctx)


_MODEL_OPTIONS = (
    click.option(
        "--model",
        default="shapes",
        show_default=True,
        help="'shapes' (ships with livecam), efficientnet_lite0 (real ImageNet weights, no download), a classifier of "
        "torchvision, timm:NAME, or package.module:callable for your own; `livecam models` lists them.",
    ),
    click.option(
        "--weights", default="default", show_default=True, metavar="default|none|FILE", help="The model's weights."
    ),
    click.option("--labels", metavar="FILE", help="The names of the classes, one a line."),
    click.option(
        "--target",
        metavar="CLASS,...",
        help="Explain these classes, by number, label or its beginning, or top1, top2...  [default: top1]",
    ),
    click.option("--top", type=int, metavar="K", help="Explain the K best classes of each frame."),
    click.option(
        "--against", metavar="CLASS", help="Contrast with this class: what speaks for one rather than the other."
    ),
    click.option("--negative", is_flag=True, help="Show what speaks against the class."),
    click.option("--method", type=click.Choice(METHODS), default="gradcam", show_default=True, help="How to explain."),
    click.option(
        "--layer",
        metavar="NAME,...",
        help="Look at this layer, by name or number, or fuse several; livecam layers lists them.  [default: automatic]",
    ),
    click.option(
        "--threshold",
        type=NumberOr("auto", "min"),
        default="0",
        show_default=True,
        help="Hide evidence below this fraction of full heat, -1 to 1; auto splits weak from strong, min hides none.",
    ),
    click.option(
        "--smooth",
        type=click.FloatRange(0, LARGEST_BLUR_CELLS),
        default=0.0,
        show_default=True,
        help="Blur the map, in cells of its grid.",
    ),
    click.option(
        "--scale",
        type=NumberOr("auto"),
        default="auto",
        show_default=True,
        help="What full heat is: a value of the map; auto: of a picture its maximum, in a video the highest of late.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="auto",
        show_default=True,
        help="eager: PyTorch. compiled: OpenVINO, or on a GPU CUDA graphs and TorchInductor; built once, in seconds. "
        "auto: start eager, switch when it pays.",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="What to compute in; auto takes the fastest in which maps and best classes stay the same.",
    ),
    click.option(
        "--fit",
        type=click.Choice(FITS),
        default="stretch",
        show_default=True,
        help="How the picture gets the shape of the model's input.",
    ),
)

_DRAWING_OPTIONS = (
    click.option("--view", type=click.Choice(VIEWS), default="overlay", show_default=True, help="What is drawn."),
    click.option(
        "--colormap",
        type=click.Choice(COLORMAPS),
        default="jet",
        show_default=True,
        help="The colours of the heatmap.",
    ),
    click.option("--opacity", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of the heatmap."),
    click.option("--caption/--no-caption", default=True, help="The line with class and score."),
    click.option("--contour", is_flag=True, help="Draw the border of the hottest region."),
    click.option("--colorbar", is_flag=True, help="Draw what the colours mean."),
)


def taken(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Those of these names, which are no longer among the options then."""
    return {name: options.pop(name) for name in names}


steady_option = click.option(
    "--steady",
    type=bool,
    default="on",
    show_default=True,
    metavar="on|off",
    help="Keep a video's maps from flickering, their scale and class from jumping; off shows each frame by itself.",
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
