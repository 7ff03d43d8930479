"""Options that several commands share, the types of their values, and a command whose help shows them in sections."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

import click
from click import Option

from livecam.cli.hints import HELP, check_inputs, check_pairs
from livecam.cli.settings import from_file, precedence, settings_among, variable
from livecam.errors import LivecamError, ModelError
from livecam.models.default import default_model
from livecam.models.known import check_name
from livecam.names import (
    BLENDS,
    COLORMAPS,
    ENGINES,
    FITS,
    LARGEST_BLUR_CELLS,
    LOOPBACK,
    METHODS,
    PRECISIONS,
    SCORES,
    VIEWS,
)
from livecam.run.shards import Shard


@dataclass(frozen=True)
class Section:
    """Options that the help of a command shows under one heading."""

    title: str
    options: tuple[Option, ...]


class Command(click.Command):
    """A command whose help shows its options in sections, and which refuses values that are empty.

    Args:
        sections: The options in the order of the help; those without a section, such as --help, come last.
    """

    def __init__(
        self, name: str | None, *, params: Sequence[click.Parameter], sections: Sequence[Section] = (), **more: Any
    ) -> None:
        in_sections = [option for section in sections for option in section.options]
        super().__init__(name, params=[*params, *in_sections], **more)
        self._sections = sections
        for setting, param in settings_among(self.params).items():
            param.envvar = variable(setting)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of options for each section."""
        placed = [option for section in self._sections for option in section.options]
        rest = [param for param in self.get_params(ctx) if isinstance(param, Option) and param not in placed]
        for section in (*self._sections, Section("Other options" if placed else "Options", tuple(rest))):
            with formatter.section(section.title):
                formatter.write_dl([record for option in section.options if (record := option.get_help_record(ctx))])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **more: Any
    ) -> click.Context:
        """Return the context of a command line; what is not typed may be in livecam.toml."""
        if parent is not None and isinstance(parent.command, click.Group) and not set(args) & set(HELP):
            more["default_map"] = from_file(parent.command, self)
        return super().make_context(info_name, args, parent, **more)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, among which nothing may be typed as an input that is something else."""
        typed = list(args)  # which click takes apart
        rest = super().parse_args(ctx, args)
        check_pairs(ctx)
        check_inputs(ctx, typed)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, but refuse an empty value, such as that of an unset shell variable."""
        for param in self.params:
            value = ctx.params.get(param.name)
            if "" in (value if isinstance(value, tuple) else (value,)):
                raise click.BadParameter("it is empty; give a value or leave it out", ctx, param)
        return super().invoke(ctx)


class NumberOr(click.ParamType):
    """A number, or one of a few words."""

    def __init__(self, *words: str) -> None:
        self.name = "|".join((*words, "number"))
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Convert the text to a number unless it is one of the words."""
        if value in self._words:
            return str(value)
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor {' or '.join(self._words)}", param, ctx)


class Names(click.types.StringParamType):
    """Text; names of classes have spaces, at which click would split the value of a variable."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the value of a variable as a single one."""
        return [rv]


class Seconds(click.FloatRange):
    """A time in seconds. Unlike click's own number type it refuses NaN and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class Size(click.ParamType):
    """A size in pixels, typed as WIDTHxHEIGHT."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return width and height."""
        width, _, height = str(value).partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is not WIDTHxHEIGHT, such as 1280x720", param, ctx)
        return int(width), int(height)


class InputSize(Size):
    """The size of a model's input in pixels, typed as WIDTHxHEIGHT, or as one number for a square."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return height and width, as models have them."""
        if str(value).isdecimal() and int(value):
            return int(value), int(value)
        width, height = super().convert(value, param, ctx)
        return height, width


class ForChannels(click.ParamType):
    """A number for each channel of a picture, separated by commas, or one for all channels."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return one number or three."""
        try:
            numbers = tuple(map(float, str(value).split(",")))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
            self.fail(f"{value!r} is neither a number nor three of them, such as 0.485,0.456,0.406", param, ctx)
        return numbers


class At(click.ParamType):
    """A point of the picture, typed as X,Y."""

    name = "point"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, if it is a point."""
        from livecam.explain.point import point_of  # with OpenCV, which takes long

        try:
            return str(point_of(value))
        except ModelError as exc:
            self.fail(str(exc), param, ctx)


class Address(click.ParamType):
    """An address to listen on, typed as ADDRESS:PORT, or as one of the two."""

    name = "address"

    def __init__(self, example: str = "127.0.0.1:8765") -> None:
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int | None]:
        """Return the address and the port; None for the usual port."""
        text = str(value)
        try:
            address = urlsplit(f"//:{text}" if text.isdecimal() else f"//{text}")
            if not re.fullmatch(r"[\w.:\[\]-]+", text) or address.netloc.endswith(":"):
                raise ValueError
            return address.hostname or LOOPBACK, address.port
        except ValueError:
            self.fail(f"{value!r} is not ADDRESS:PORT, such as {self._example}", param, ctx)


class Rate(click.ParamType):
    """An exact number of frames per second, typed as a number or a fraction."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Return the frames per second."""
        try:
            rate = Fraction(str(value)).limit_denominator(10_000)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            self.fail(f"{value!r} is not a rate above 0, up to 1000, such as 30 or 30000/1001", param, ctx)
        return rate


class OneShard(click.ParamType):
    """A shard of the inputs, typed as NUMBER/COUNT, or auto."""

    name = "number/count|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard | str:
        """Return the shard, or auto."""
        number, _, count = str(value).partition("/")
        if value == "auto":
            return str(value)
        if not (number.isdecimal() and count.isdecimal()):
            self.fail(f"{value!r} is neither NUMBER/COUNT, such as 3/40, nor auto", param, ctx)
        try:
            return Shard(int(number), int(count))
        except LivecamError as exc:
            self.fail(str(exc), param, ctx)


FILE = click.Path(readable=False)
"""Any path or URL; not checked by click, since livecam's own errors say more. The shell completes it as a file."""


def taken(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Remove the options with these names and return them."""
    return {name: options.pop(name) for name in names}


def _names_of(*sections: Section) -> tuple[str, ...]:
    return tuple(option.name for section in sections for option in section.options)


LABELS = Option(
    ["--labels"],
    type=FILE,
    metavar="FILE",
    help="A file with the names of the classes: text, one a line, or JSON, CSV or TSV.",
)
INPUT = (
    Option(
        ["--input-size"],
        type=InputSize(),
        metavar="WIDTHxHEIGHT",
        show_default="that of the model",
        help="The size of the pictures that the model gets; one number for a square.",
    ),
    Option(
        ["--mean"],
        type=ForChannels(),
        metavar="R,G,B",
        show_default="that of the model",
        help="What is subtracted from red, green and blue, which are between 0 and 1; one number for all.",
    ),
    Option(
        ["--std"],
        type=ForChannels(),
        metavar="R,G,B",
        show_default="that of the model",
        help="What the result is divided by; one number for all.",
    ),
)
MODEL = Section(
    "Model",
    (
        Option(
            ["--model"],
            metavar="NAME",
            show_default="efficientnet_lite0 if it is installed; for demo: shapes",
            help="The model: efficientnet_lite0 (ImageNet, nothing to download), shapes (ships with livecam, "
            "knows only the shapes of demo:), a model of torchvision, timm:NAME, hf:NAME or hf:FOLDER of Hugging Face, "
            "a file (model.pt2), or package.module:callable for your own. `livecam models` lists names.",
        ),
        Option(
            ["--weights"],
            type=FILE,
            default="default",
            metavar="default|none|FILE",
            help="The weights: the published ones, random ones (none), or those in a file.",
        ),
        LABELS,
        Option(
            ["--scores"],
            type=click.Choice(SCORES),
            default="auto",
            help="What the outputs of the model are: logits that softmax or sigmoid makes probabilities of, or numbers "
            "that are shown as they are (raw). auto looks.",
        ),
        Option(
            ["--confidence"],
            type=float,
            metavar="NUMBER",
            show_default="0.5",
            help="The least score of a box, between 0 and 1, for models that detect objects.",
        ),
        Option(["--unit"], metavar="UNIT", help="The unit of outputs that are numbers, such as years."),
        Option(
            ["--fit"],
            type=click.Choice(FITS),
            show_default="stretch; for detectors as in their training",
            help="How a frame becomes the shape of the model's input: stretched, its middle cropped, or padded.",
        ),
        *INPUT,
    ),
)
EXPLANATION = Section(
    "What is explained",
    (
        Option(
            ["--target"],
            type=Names(),
            multiple=True,
            metavar="CLASS,...",
            show_default="top1",
            help="The classes to explain, each by its name or a word of it, by number, or by rank (top1, top2, ...); a "
            "group of them by its everyday name (dog, bird, car, ...), or as dog=151-268; may be repeated.",
        ),
        Option(
            ["--prompt", "prompts"],
            type=Names(),
            multiple=True,
            metavar="TEXT",
            help='What a model that compares pictures with words (clip:NAME) looks for, such as "a photo of a dog"; '
            "repeat it for several.",
        ),
        Option(
            ["--box"],
            type=click.IntRange(min=1),
            metavar="N",
            help="Explain one box of a model that detects objects, by its rank: 1 is the most probable.",
        ),
        Option(["--top"], type=int, metavar="K", help="Explain the K highest-scoring classes of each frame."),
        Option(
            ["--at"],
            type=At(),
            metavar="X,Y",
            help="Explain what is at this pixel, or at 50%,50% of the picture, by a model that segments or detects.",
        ),
        Option(
            ["--against"],
            metavar="CLASS",
            help="Explain what speaks for the class rather than for this other class or group.",
        ),
        Option(["--negative"], is_flag=True, help="Explain what speaks against the class."),
        Option(
            ["--method"],
            type=click.Choice(METHODS),
            metavar="NAME",
            show_default="gradcam; for boxes hirescam",
            help=f"The method that explains: {', '.join(METHODS)}.",
        ),
        Option(
            ["--layer"],
            metavar="NAME,...",
            show_default="automatic",
            help="The layer whose activations are explained, by name or number; several are fused. "
            "`livecam layers` lists them.",
        ),
    ),
)
HEAT = Section(
    "Heatmap",
    (
        Option(
            ["--threshold"],
            type=NumberOr("auto", "min"),
            default="0",
            help="Hide heat below this fraction of full heat, from -1 to 1. auto finds the border between weak and "
            "strong heat; min hides nothing.",
        ),
        Option(
            ["--smooth"],
            type=click.FloatRange(0, LARGEST_BLUR_CELLS),
            default=0,
            metavar="CELLS",
            help="Blur the map with a Gaussian of this standard deviation, in cells of the map.",
        ),
        Option(
            ["--scale"],
            type=NumberOr("auto"),
            default="auto",
            help="The map value drawn as full heat. auto: the map's maximum (pictures), the recent maximum (videos).",
        ),
    ),
)
DRAWING = Section(
    "How it looks",
    (
        Option(
            ["--view"],
            type=click.Choice(VIEWS),
            default="overlay",
            metavar="NAME",
            help=f"What is drawn: {', '.join(VIEWS)}.",
        ),
        Option(
            ["--columns"],
            type=click.IntRange(min=1),
            metavar="N",
            show_default="that keeps the shape of the picture",
            help="Draw this many panels side by side, in views with several.",
        ),
        Option(
            ["--blend"],
            type=click.Choice(BLENDS),
            default="evidence",
            help="How the heatmap is laid over the picture: evidence lets it fade where the evidence is weak, uniform "
            "draws it equally opaque everywhere.",
        ),
        Option(
            ["--colormap"],
            type=click.Choice(COLORMAPS),
            default="jet",
            metavar="NAME",
            help=f"The colours of the heatmap: {', '.join(COLORMAPS)}.",
        ),
        Option(
            ["--opacity"],
            type=click.FloatRange(0, 1),
            default=0.5,
            metavar="NUMBER",
            help="The opacity of the heatmap, where it is hottest.",
        ),
        Option(["--caption/--no-caption"], default=True, help="Draw a line with class and score."),
        Option(["--contour"], is_flag=True, help="Draw the outline of the region with at least half of full heat."),
        Option(
            ["--colorbar"],
            is_flag=True,
            help="Draw a bar that shows which colour means how much heat, and the threshold.",
        ),
    ),
)
SPEED = Section(
    "Speed",
    (
        Option(["--device"], default="auto", metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1 or mps."),
        Option(
            ["--engine"],
            type=click.Choice(ENGINES),
            default="auto",
            help="eager runs PyTorch. compiled runs OpenVINO, or on a GPU CUDA graphs and TorchInductor, after seconds "
            "of preparation. auto starts eager and switches when that pays off.",
        ),
        Option(
            ["--precision"],
            type=click.Choice(PRECISIONS),
            default="auto",
            help="The number format to compute in. auto takes the fastest that keeps maps and scores the same.",
        ),
    ),
)
BATCH = Option(
    ["--batch"],
    type=click.IntRange(min=1),
    metavar="N",
    show_default="what is fastest on the device",
    help="Explain this many frames at once.",
)
STRIDE = Option(
    ["--stride"],
    type=click.IntRange(min=1),
    metavar="N",
    show_default="the frames of a time cell",
    help="By a model that sees clips, explain a clip every N frames.",
)
STEADY = Option(
    ["--steady"],
    type=bool,
    default="on",
    metavar="on|off",
    help="Keep maps, scale and class of a video from flickering; off explains each frame by itself.",
)
INSECURE = Option(["--insecure"], is_flag=True, help="Do not check the certificate of a server.")
STREAM = Option(
    ["--stream"],
    type=click.IntRange(min=0),
    metavar="N",
    show_default="the video that players show",
    help="Explain this stream of a file with several videos, by its number among all streams, from 0.",
)
MAX_MEGAPIXELS = Option(
    ["--max-megapixels"],
    type=click.FloatRange(min=0, min_open=True),
    metavar="NUMBER",
    show_default="70",
    help="Refuse a video with larger pictures, which may exhaust the memory. 8K has 33.",
)
OVERWRITE = Option(["--overwrite"], is_flag=True, help="Replace outputs that exist.")
PREDICTIONS = Option(
    ["--predictions"],
    type=FILE,
    metavar="FILE.jsonl",
    help="Write the predictions, one JSON line a frame; replaces an existing file.",
)
REPORT = Option(
    ["--report"],
    type=FILE,
    metavar="FILE.json",
    help="Write counts, times and settings of the run; replaces an existing file.",
)
METRICS = Option(
    ["--metrics"],
    type=Address("127.0.0.1:9090"),
    metavar="[ADDRESS]:PORT",
    help="Serve counts and times for Prometheus at this port, to this machine alone unless an address such as 0.0.0.0 "
    "is named.",
)
AS_JSON = Option(["--json", "as_json"], is_flag=True, help="Print JSON instead of text.")

_WHAT_IS_EXPLAINED = {"target": "name the classes", "top": "say how many of the best", "box": "say which box"}
"""The options of which one may be given, and what to do by it."""
MODEL_SECTIONS = (MODEL, EXPLANATION, HEAT)
MODEL_OPTION_NAMES = _names_of(*MODEL_SECTIONS, SPEED)
DRAWING_OPTION_NAMES = _names_of(DRAWING)


def explainer_arguments(options: dict[str, Any], sources: Sequence[str] = ()) -> dict[str, Any]:
    """Remove the options of an `Explainer` and return them as its arguments; `sources` are what it is to explain.

    Raises ModelError for a model that does not exist.
    """
    arguments = taken(options, MODEL_OPTION_NAMES)
    given = [name for name in _WHAT_IS_EXPLAINED if arguments[name] not in (None, ())]
    nearest = [name for name in given if precedence(name) == min(map(precedence, given))]
    if len(nearest) > 1:
        one, other, *_ = nearest
        raise click.UsageError(
            f"--{one} and --{other} exclude each other: {_WHAT_IS_EXPLAINED[one]}, or {_WHAT_IS_EXPLAINED[other]}"
        )
    arguments |= {name: None for name in given if name not in nearest}
    if box := arguments.pop("box"):
        arguments["target"] = f"box{box}"
    model = arguments["model"] or default_model(sources)
    check_name(model)
    preprocessing = preprocessing_changes(**taken(arguments, [option.name for option in INPUT]))
    return {
        **arguments,
        "model": model,
        "target": arguments["target"] or None,
        "prompts": arguments["prompts"] or None,
        "preprocessing": preprocessing,
    }


def preprocessing_changes(
    input_size: tuple[int, int] | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> dict[str, Any]:
    """Return the values of the options in `INPUT` that were given, by the names of the fields of `Preprocessing`."""
    fields = {"size": input_size, "mean": mean, "std": std}
    return {name: value for name, value in fields.items() if value is not None}
