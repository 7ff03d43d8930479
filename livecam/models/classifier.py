"""What livecam knows of a model: the module, its labels, and how its input is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from torch import nn

from livecam.errors import LivecamError, ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_COLOURS = {1: "grey", 3: "colour"}


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an input.

    `size` is the input's (height, width) in pixels; `resize` is the length of the shorter side before the crop of that
    size is taken (for `fit="crop"`). `mean` and `std` are of RGB in 0..1, or, one number each, of its luma: such a
    model sees the picture in grey. Raises ModelError where they are for neither.
    """

    size: tuple[int, int] = (224, 224)
    resize: int = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise ModelError("a preprocessing has mean and std of red, green and blue, or one of each for grey")
        if not all(deviation > 0 for deviation in self.std):
            raise ModelError(f"a preprocessing divides by its std, which has to be above 0, not {self.std}")

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey."""
        return len(self.mean)

    def in_grey(self) -> Preprocessing:
        """The same for one channel, with the averages of mean and deviation over the three."""
        return replace(self, mean=(fmean(self.mean),), std=(fmean(self.std),))


@dataclass(frozen=True)
class Classifier:
    """A loaded model. `labels` is None where nobody named them; `multi_label` classes do not exclude each other."""

    name: str
    module: nn.Module
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing = Preprocessing()
    multi_label: bool = False


def input_channels(module: nn.Module) -> int:
    """How many channels the first convolution takes; 3 where there is none."""
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def usual_preprocessing(module: nn.Module) -> Preprocessing:
    """What a module gets of which nothing else is known: ImageNet's, in grey where it takes one channel."""
    return Preprocessing().in_grey() if input_channels(module) == 1 else Preprocessing()


def read_labels(path: Path) -> tuple[str, ...]:
    """The lines of a UTF-8 text file, one class a line, without empty ones. Raises ModelError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelError(
            f"cannot read the labels {path}: {getattr(exc, 'strerror', None) or 'not UTF-8 text'}"
        ) from exc
    labels = tuple(line.strip() for line in lines if line.strip())
    if not labels:
        raise ModelError(f"the label file {path} is empty: it needs one class a line")
    return labels


@contextmanager
def input_errors(classifier: Classifier) -> Iterator[None]:
    """Turn what a model raises when it stumbles over its first input into a ModelError that says what it takes."""
    try:
        yield
    except LivecamError:
        raise
    except Exception as exc:  # whatever a model raises that is not made for this input
        raise ModelError(_input_problem(classifier, exc)) from exc


def _input_problem(classifier: Classifier, exc: Exception) -> str:
    name, preprocessing, channels = classifier.name, classifier.preprocessing, input_channels(classifier.module)
    if channels not in (1, 3) and "channels" in str(exc):
        return f"{name} takes {channels} channels, and a picture has 3, or 1 in grey: it cannot be explained"
    if channels in _COLOURS and channels != preprocessing.channels:
        needed, given = _COLOURS[channels], _COLOURS[preprocessing.channels]
        return (
            f"{name} takes pictures in {needed}, and its preprocessing is for {given}; "
            "give mean and std of as many channels, for grey Preprocessing(mean=(0.5,), std=(0.5,))"
        )
    height, width = preprocessing.size
    return (
        f"{name} fails on an input of {channels} x {height} x {width} ({' '.join(str(exc).split())[:200]}); "
        "if it is made for another size, say so with Preprocessing(size=...)"
    )
