"""The kinds of models that people bring: each is explained right, or refused with its true cause."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from livecam import Explainer
from livecam.models import Preprocessing
from tests.support.witness import gradcam_witness, least_cosine

SIDE, CELLS, WIDTH, CLASSES = 64, 8, 12, 5


def nchw(output: Tensor) -> Tensor:
    return output


def tokens(before: int = 0, after: int = 0) -> Callable[[Tensor], Tensor]:
    def fold(output: Tensor) -> Tensor:
        patches = output[:, before : output.shape[1] - after].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], CELLS, CELLS)

    return fold


def around_the_middle(output: Tensor) -> Tensor:
    half = CELLS * CELLS // 2
    return tokens()(torch.cat([output[:, :half], output[:, half + 1 :]], dim=1))


def sequence_first(output: Tensor) -> Tensor:
    return tokens(before=1)(output.transpose(0, 1))


class Kind(NamedTuple):
    """A model, the layer that a person would choose, how its output becomes (B, C, h, w), and which of its calls."""

    build: Callable[[], nn.Module]
    layer: str
    fold: Callable[[Tensor], Tensor] = nchw
    call: int = -1


class Stem(nn.Sequential):
    """A convolutional backbone, (B, 3, 64, 64) to (B, 12, 8, 8)."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(
            nn.Conv2d(channels, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, WIDTH, 3, 2, 1), nn.ReLU()
        )


class Net(nn.Module):
    """A backbone and a linear head."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem, self.head = Stem(), nn.Linear(WIDTH, classes)

    def pooled(self, x: Tensor) -> Tensor:
        return self.stem(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.pooled(x))


class Block(nn.Module):
    """A transformer block, pre-norm, with its attention written out."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Linear(24, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """A vision transformer with extra tokens before, in the middle of, or after those of the patches."""

    def __init__(self, before: int = 1, middle: int = 0, after: int = 0) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.extra = nn.ParameterList([nn.Parameter(torch.randn(1, n, WIDTH)) for n in (before, middle, after)])
        self.positions = nn.Parameter(torch.randn(1, CELLS**2 + before + middle + after, WIDTH) / 4)
        self.blocks, self.norm = nn.Sequential(Block(), Block()), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.place = 0 if before else CELLS**2 // 2 if middle else CELLS**2

    def embedded(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        first, second = x.tensor_split(2, dim=1)
        before, middle, after = (part.expand(len(x), -1, -1) for part in self.extra)
        return torch.cat([before, first, middle, second, after], dim=1) + self.positions

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedded(x)))[:, self.place])


class Pooled1d(Net):
    """Pools a sequence of tokens by AdaptiveAvgPool1d, as Swin does in Hugging Face's code; its output is (B, C, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.pool = nn.LayerNorm(WIDTH), nn.AdaptiveAvgPool1d(1)

    def pooled(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x).flatten(2).transpose(1, 2))
        return self.pool(x.transpose(1, 2)).flatten(1)


class Queries(nn.Module):
    """One query a class attends to the features: 80 tokens that are 8 x 10 cells by their number alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.decoder = Stem(), nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.queries, self.norm, self.score = (
            nn.Parameter(torch.randn(1, 80, WIDTH)),
            nn.LayerNorm(WIDTH),
            nn.Linear(WIDTH, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        memory = self.stem(x).flatten(2).transpose(1, 2)
        queries = self.queries.expand(len(x), -1, -1)
        return self.score(self.norm(queries + self.decoder(queries, memory, memory)[0]))[:, :, 0]


class Recurrent(Net):
    """Reads the columns of the features by an LSTM, and normalises its steps."""

    def __init__(self, repeats: int = 1) -> None:
        super().__init__()
        self.lstm, self.norm, self.repeats = nn.LSTM(WIDTH, WIDTH, batch_first=True), nn.LayerNorm(WIDTH), repeats

    def pooled(self, x: Tensor) -> Tensor:
        steps = self.stem(x).mean(dim=2).transpose(1, 2).repeat(1, self.repeats, 1)
        return self.norm(self.lstm(steps)[0])[:, -1]


class Siamese(Net):
    """Compares the frame with a stored reference, which runs second."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("reference", torch.randn(1, 3, SIDE, SIDE))

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.pooled(x) - self.pooled(self.reference)).abs())


class Flipped(Net):
    """Test-time augmentation: the mean of the logits of the frame and of its mirror image."""

    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) + super().forward(x.flip(3))) / 2


class TwoStreams(nn.Module):
    """Two backbones side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = Stem(), Stem(), nn.Linear(2 * WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.first(x).mean(dim=(2, 3)), self.second(x).mean(dim=(2, 3))], dim=1))


class Ending(Net):
    """A net with an end of its own."""

    def __init__(self, end: Callable[[Tensor], Any], classes: int = CLASSES, sharpness: float = 1) -> None:
        super().__init__(classes)
        self.end = end
        self.head.weight.data.mul_(sharpness)

    def forward(self, x: Tensor) -> Any:
        return self.end(super().forward(x))


class SequenceFirst(ViT):
    """The image tower of OpenAI's CLIP: tokens run as (N, B, D)."""

    def __init__(self) -> None:
        super().__init__()
        for block in self.blocks:
            block.attention = nn.MultiheadAttention(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedded(x).transpose(0, 1))[0]))


class Gated(Net):
    """CBAM's spatial attention behind the features: a gate of one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.sigmoid = nn.Conv2d(2, 1, 3, padding=1), nn.Sigmoid()

    def pooled(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        summary = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return (x * self.sigmoid(self.gate(summary))).mean(dim=(2, 3))


class Checkpointed(Net):
    """Saves memory by computing the backbone twice."""

    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.use_reentrant = use_reentrant

    def pooled(self, x: Tensor) -> Tensor:
        return checkpoint(self.stem, x, use_reentrant=self.use_reentrant).mean(dim=(2, 3))


class GreyInside(nn.Module):
    """Takes colours and converts them; its stem and a filter registered before it take one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.blur, self.stem, self.head = nn.Conv2d(1, 1, 3, padding=1), Stem(1), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        red, green, blue = x.unbind(1)
        grey = (0.3 * red + 0.6 * green + 0.1 * blue)[:, None]
        return self.head(self.stem(grey + self.blur(grey)).mean(dim=(2, 3)))


class FilterFirst(Net):
    """Registers a filter of one channel, used on each colour, before the stem."""

    def __init__(self) -> None:
        super().__init__()
        stem, head = self.stem, self.head
        del self.stem, self.head
        self.blur, self.stem, self.head = nn.Conv2d(1, 1, 3, padding=1), stem, head

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cat([self.blur(x[:, i : i + 1]) for i in range(3)], dim=1))


class SilentOnNoise(Net):
    """Answers to large bright or dark areas only: noise, whose areas are all grey, leaves its features at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, WIDTH, 1, bias=False))

    def pooled(self, x: Tensor) -> Tensor:
        return functional.relu(self.stem(x).abs() - 0.4).mean(dim=(2, 3))


class Dark(Net):
    """Switches gradients off inside."""

    def __init__(self, context: Callable[[], Any]) -> None:
        super().__init__()
        self.context = context

    def forward(self, x: Tensor) -> Tensor:
        with self.context():
            return super().forward(x)


class Lazy(nn.Module):
    """Its layers take their sizes from the first input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.LazyConv2d(WIDTH, 8, 8), nn.ReLU())
        self.head = nn.LazyLinear(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).mean(dim=(2, 3)))


class OneAtATime(Net):
    """Takes a batch of one only."""

    def pooled(self, x: Tensor) -> Tensor:
        return self.stem(x).reshape(1, WIDTH, -1).mean(dim=2)


class Unfolded(ViT):
    """Cuts patches by reshaping, without a convolution: no layer gives the grid as rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Linear(3 * 64, WIDTH)

    def embedded(self, x: Tensor) -> Tensor:
        x = self.patches(functional.unfold(x, 8, stride=8).transpose(1, 2))
        return torch.cat([self.extra[0].expand(len(x), -1, -1), x], dim=1) + self.positions


SEQUENCE = "blocks.1.norm1"
RIGHT = {
    "plain": Kind(Net, "stem"),
    "a pooled vector behind the tokens": Kind(Pooled1d, "norm", tokens()),
    "one query a class": Kind(Queries, "stem"),
    "steps of a recurrent head": Kind(Recurrent, "stem"),
    "a sequence with as many steps as a map has rows": Kind(lambda: Recurrent(2), "stem"),
    "class token in front": Kind(ViT, SEQUENCE, tokens(before=1)),
    "50 prompts": Kind(lambda: ViT(51), SEQUENCE, tokens(before=51)),
    "class token in the middle": Kind(lambda: ViT(0, 1), SEQUENCE, around_the_middle),
    "class token at the end": Kind(lambda: ViT(0, 0, 1), SEQUENCE, tokens(after=1)),
    "patches cut by reshaping": Kind(Unfolded, SEQUENCE, tokens(before=1)),
    "sequence first": Kind(SequenceFirst, SEQUENCE, sequence_first),
    "a gate of one channel": Kind(Gated, "stem"),
    "siamese, the reference second": Kind(Siamese, "stem", call=0),
    "softmax": Kind(lambda: Ending(lambda y: y.softmax(1)), "stem"),
    "saturated softmax": Kind(lambda: Ending(lambda y: y.softmax(1), sharpness=1000), "stem"),
    "log_softmax": Kind(lambda: Ending(lambda y: y.log_softmax(1)), "stem"),
    "one sigmoid": Kind(lambda: Ending(torch.sigmoid, 1), "stem"),
    "many sigmoids": Kind(lambda: Ending(torch.sigmoid), "stem"),
    "regression": Kind(lambda: Ending(lambda y: 10 * y + 58.2, 1), "stem"),
    ".logits": Kind(lambda: Ending(lambda y: SimpleNamespace(logits=y)), "stem"),
    "[logits]": Kind(lambda: Ending(lambda y: {"logits": y}), "stem"),
    "a tuple": Kind(lambda: Ending(lambda y: (y, y[:, :, None])), "stem"),
    "(B,)": Kind(lambda: Ending(lambda y: y[:, 0], 1), "stem"),
    "checkpointed": Kind(lambda: Checkpointed(False), "stem"),
    "checkpointed, re-entrant": Kind(lambda: Checkpointed(True), "stem"),
    "grey inside": Kind(GreyInside, "stem"),
    "a filter before the stem": Kind(FilterFirst, "stem"),
    "silent on noise": Kind(SilentOnNoise, "stem"),
    "no_grad inside": Kind(lambda: Dark(torch.no_grad), "stem"),
    "lazy": Kind(Lazy, "stem"),
    "batch of one": Kind(OneAtATime, "stem"),
    "frozen": Kind(lambda: Net().requires_grad_(False), "stem"),
    "averaged": Kind(lambda: torch.optim.swa_utils.AveragedModel(Net()), "module.stem"),
    "data parallel": Kind(lambda: nn.DataParallel(Net()), "module.stem"),
    "weight norm": Kind(lambda: weight_normed(Net()), "stem"),
}


def weight_normed(net: Net) -> Net:
    nn.utils.parametrizations.weight_norm(net.head)
    return net


@pytest.mark.parametrize("name", RIGHT)
def test_a_model_is_explained_at_the_layer_that_a_person_would_choose(name: str) -> None:
    kind = RIGHT[name]
    torch.manual_seed(0)
    model = kind.build()
    explainer = Explainer(model, preprocessing=Preprocessing(size=(SIDE, SIDE)), target=0, engine="eager")
    inputs = functional.avg_pool2d(2 * torch.randn(1, 3, SIDE, SIDE), 3, 1, 1)
    if name == "silent on noise":
        inputs = torch.linspace(0, 2, SIDE).expand(1, 3, SIDE, SIDE)
    maps = explainer.cam(inputs)
    expected = gradcam_witness(bare(model), kind.layer, inputs, first_class, kind.fold, kind.call)
    assert expected.abs().max() > 0
    assert least_cosine(maps, expected) >= 0.9999, explainer.layer


def first_class(output: Tensor) -> Tensor:
    return output[:, 0]


def bare(model: nn.Module) -> nn.Module:
    """Return the model with gradients and without the function at its end."""
    if isinstance(model, Ending):
        model.end = nn.Identity()
    if isinstance(model, Checkpointed):
        model.use_reentrant = False
    if isinstance(model, Dark):
        model.context = torch.enable_grad
    return model
