"""Where the map comes from: grids that the network has shown, tokens wherever they are, and what is no grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam import Explainer
from livecam.errors import ModelError
from livecam.models import Preprocessing
from tests.support.witness import gradcam_witness, least_cosine

SMALL = Preprocessing(size=(64, 64))
Fold = Callable[[Tensor], Tensor]


def explained(model: nn.Module, preprocessing: Preprocessing = SMALL, **options: Any) -> Explainer:
    return Explainer(model, preprocessing=preprocessing, target=2, engine="eager", **options)


def check(
    explainer: Explainer,
    layer: str,
    fold: Fold = lambda output: output,
    score: Callable[[Any], Tensor] = lambda output: output[:, 2],
    shift: float = 0,
) -> None:
    """The layer is chosen by itself, and its maps of a batch are those of the witness."""
    assert explainer.layer == layer
    classifier = explainer.classifier
    batch = shift + torch.randn(3, 3, *classifier.preprocessing.size, generator=torch.Generator().manual_seed(1))
    witness = gradcam_witness(classifier.module, layer, batch, score, fold)
    assert least_cosine(explainer.cam(batch), witness) > 0.9999
    assert witness.flatten(1).std(dim=1).min() > 0


def stages(channels: int = 8) -> nn.Sequential:
    """(B, 3, 64, 64) to (B, channels, 8, 8)."""
    return nn.Sequential(nn.Conv2d(3, channels, 3, 4, 1), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1), nn.ReLU())


class Block(nn.Module):
    """A block of a vision transformer, with tokens (B, N, C), or (N, B, C)."""

    def __init__(self, channels: int, *, batch_first: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=batch_first)
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.GELU())

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        tokens = tokens + self.attention(normed, normed, normed)[0]
        return tokens + self.mlp(self.norm2(tokens))


class Patches(nn.Module):
    """Patches of 8 x 8 pixels as tokens (B, N, C), by reshaping."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.project = nn.Linear(192, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2))


class Unfolded(nn.Module):
    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.unfold, self.project = nn.Unfold(8, stride=8), nn.Linear(192, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.unfold(x).transpose(1, 2))


class Convolved(nn.Module):
    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, channels, 8, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x).flatten(2).transpose(1, 2)


class TinyViT(nn.Module):
    """A vision transformer with other tokens among its patches.

    Args:
        others: The places of these tokens; the first is the class token.
        embed: Makes the patches.
        size: (rows, columns) of the patches.
        sequence_first: The blocks see (N, B, C).
    """

    def __init__(
        self,
        others: list[int],
        embed: nn.Module | None = None,
        size: tuple[int, int] = (8, 8),
        *,
        sequence_first: bool = False,
    ) -> None:
        super().__init__()
        self.others, self.size, self.sequence_first = others, size, sequence_first
        count = len(others) + size[0] * size[1]
        self.patches = [place for place in range(count) if place not in others]
        self.embed = embed or Convolved()
        self.extra = nn.Parameter(torch.randn(1, len(others), 16))
        self.positions = nn.Parameter(torch.randn(1, count, 16))
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.Sequential(*(Block(16, batch_first=not sequence_first) for _ in range(2)))
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x)
        order = torch.tensor([*self.others, *self.patches]).argsort()
        tokens = torch.cat([self.extra.expand(len(x), -1, -1), patches], dim=1)[:, order]
        tokens = self.drop(tokens + self.positions)
        tokens = self.blocks(tokens.transpose(0, 1)).transpose(0, 1) if self.sequence_first else self.blocks(tokens)
        return self.head(tokens[:, self.others[0]] if self.others else tokens.mean(dim=1))

    def fold(self, output: Tensor) -> Tensor:
        tokens = output.transpose(0, 1) if self.sequence_first else output
        return tokens[:, self.patches].transpose(1, 2).unflatten(2, self.size)


@pytest.mark.parametrize(
    "others",
    [[0], [0, 1, 2, 3, 4], [0, *range(1, 21)], [32], [64], [0, 65], [64, 65, 66], [20, 21]],
    ids=["front", "registers", "prompts", "middle", "end", "both", "three at the end", "within"],
)
def test_class_and_other_tokens_are_found_where_they_are(others: list[int]) -> None:
    torch.manual_seed(0)
    model = TinyViT(others)
    explainer = explained(model)
    check(explainer, "blocks.1.norm1", model.fold)
    grid = next(layer.grid for layer in explainer.survey.layers if layer.name == "blocks.1.norm1")
    assert grid is not None
    assert [place for first, end in grid.spans for place in range(first, end)] == model.patches


@pytest.mark.parametrize("embed", [Patches, Unfolded])
@pytest.mark.parametrize("others", [[], [0], [64]])
def test_patches_that_no_convolution_makes(embed: Callable[[], nn.Module], others: list[int]) -> None:
    torch.manual_seed(0)
    model = TinyViT(others, embed())
    check(explained(model), "blocks.1.norm1" if others else "blocks", model.fold)


@pytest.mark.parametrize("method", ["gradcam", "ablationcam"])
def test_tokens_before_the_batch(method: str) -> None:
    torch.manual_seed(0)
    model = TinyViT([0], sequence_first=True)
    explainer = explained(model, method=method)
    if method == "gradcam":
        check(explainer, "blocks.1.norm1", model.fold)
    batch = torch.randn(3, 3, 64, 64)
    one_by_one = torch.cat([explainer.cam(each[None]) for each in batch])
    torch.testing.assert_close(explainer.cam(batch), one_by_one, rtol=1e-3, atol=1e-5)


def test_a_picture_that_is_not_square() -> None:
    torch.manual_seed(0)
    model = TinyViT([0], size=(12, 40))
    check(explained(model, Preprocessing(size=(96, 320))), "blocks.1.norm1", model.fold)


class Resized(nn.Module):
    """Makes the picture square before its layers see it."""

    def __init__(self, resize: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.resize, self.features, self.head = resize, stages(), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(self.resize(x)).mean(dim=(2, 3)))


@pytest.mark.parametrize("size", [(96, 64), (64, 192)])
def test_a_model_that_makes_the_picture_square(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    check(explained(Resized(lambda x: functional.interpolate(x, (64, 64))), Preprocessing(size=size)), "features")


def letterboxed(x: Tensor) -> Tensor:
    return functional.interpolate(functional.pad(x, (0, 32)), (64, 64))


@pytest.mark.parametrize("resize", [letterboxed, lambda x: x[:, :, torch.arange(16, 80)]], ids=["padded", "cropped"])
def test_a_map_of_a_padded_or_cropped_picture_has_no_place(resize: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    with pytest.raises(ModelError, match="has no place on the picture|without its"):
        explained(Resized(resize), Preprocessing(size=(96, 64)))


@pytest.mark.parametrize("size", [(32, 128), (64, 64)])
def test_strides_that_change_the_aspect(size: tuple[int, int]) -> None:
    """As in networks that read lines of text."""
    torch.manual_seed(0)
    model = nn.Sequential(
        stages(), nn.Conv2d(8, 8, (4, 1), (4, 1)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    check(explained(model, Preprocessing(size=size)), "1")


class PooledTokens(nn.Module):
    """Hiera: the tokens, window by window, are pooled to those of a grid that is coarser by 4."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Conv2d(3, 16, 4, stride=4), nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        windows = self.embed(x).unflatten(3, (4, 4)).unflatten(2, (4, 4)).permute(0, 3, 5, 2, 4, 1)
        return self.head(self.norm(windows.flatten(1, 2).amax(1).flatten(1, 2)).mean(dim=1))


def test_tokens_of_a_grid_that_is_coarser_by_4() -> None:
    torch.manual_seed(0)
    check(explained(PooledTokens()), "norm", lambda output: output.transpose(1, 2).unflatten(2, (4, 4)))


class Reordered(nn.Module):
    """Its blocks see the patches in another order than row by row."""

    def __init__(self, reorder: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.reorder, self.embed = reorder, nn.Conv2d(3, 16, 8, stride=8)
        self.blocks, self.head = nn.Sequential(Block(16), Block(16)), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.reorder(self.embed(x)).flatten(2).transpose(1, 2)).mean(dim=1))


class OneDimensional(nn.Module):
    """Convolves its cells as a series, (B, C, N)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 16, 8, stride=8), nn.Linear(16, 5)
        self.series = nn.Sequential(nn.Conv1d(16, 16, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.series(self.embed(x).flatten(2)).mean(dim=2))


@pytest.mark.parametrize(
    "make", [lambda: Reordered(lambda x: x.transpose(2, 3)), OneDimensional], ids=["by columns", "series"]
)
def test_a_layer_far_from_the_output_is_told(make: Callable[[], nn.Module], caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    check(explained(make()), "embed")
    assert caplog.messages[0].startswith("no grid was found in the layers behind embed, so a layer far from the output")


class Pooled(nn.Module):
    """Hugging Face's Swin, SwinV2 and FocalNet end like this: the tokens are pooled to (B, C, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = Convolved(), nn.LayerNorm(16)
        self.pool, self.head = nn.AdaptiveAvgPool1d(1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.norm(self.embed(x)).transpose(1, 2)).flatten(1))


class PooledToSteps(nn.Module):
    """Pools maps to 4 numbers a channel, (B, C, 4), and looks at the channels as if they were tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.pool = stages(16), nn.AdaptiveAvgPool1d(4)
        self.mix, self.head = nn.Linear(4, 4), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.pool(self.features(x).flatten(2))).flatten(1))


class Queries(nn.Module):
    """A decoder with a query for each of 80 classes, which look at the map: (B, 80, C)."""

    def __init__(self, count: int = 80) -> None:
        super().__init__()
        self.features = stages(16)
        self.queries, self.norm = nn.Parameter(torch.randn(1, count, 16)), nn.LayerNorm(16)
        self.hidden, self.head = nn.Linear(16, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.features(x).flatten(2).transpose(1, 2)
        queries = self.norm(self.queries).expand(len(x), -1, -1)
        found = functional.scaled_dot_product_attention(queries, tokens, tokens)
        return self.head(self.hidden(self.norm(found))).squeeze(2)


class Steps(nn.Module):
    """Reads the columns of a map one after the other, as many as the map has rows."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.steps = stages(), nn.Linear(8, 16)
        self.recurrent, self.norm, self.head = nn.GRU(16, 16, batch_first=True), nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.norm(self.recurrent(self.steps(self.features(x).mean(dim=2).transpose(1, 2)))[0])
        return self.head(steps.mean(dim=1))


class Gated(nn.Module):
    """CBAM: the features are multiplied by a map of one channel, which is computed after them."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = stages(), nn.Linear(8, 5)
        self.gate = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        gate = self.gate(torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], dim=1))
        return self.head((features * gate).mean(dim=(2, 3)))


def unfolded(output: Tensor) -> Tensor:
    return output.transpose(1, 2).unflatten(2, (8, 8))


@pytest.mark.parametrize(
    ("make", "layer", "fold"),
    [
        (Pooled, "norm", unfolded),
        (PooledToSteps, "features", lambda output: output),
        (Queries, "features", lambda output: output),
        (lambda: Queries(64), "features", lambda output: output),  # as many as there are cells
        (lambda: Queries(65), "features", lambda output: output),  # as with a class token
        (Steps, "features", lambda output: output),
        (Gated, "features", lambda output: output),
    ],
    ids=["pooled", "channels", "queries", "64 queries", "65 queries", "steps", "gate"],
)
def test_what_comes_behind_the_map_is_no_grid(make: Callable[[], nn.Module], layer: str, fold: Fold) -> None:
    torch.manual_seed(0)
    check(explained(make()), layer, fold)


@pytest.mark.parametrize("make", [lambda: Reordered(lambda x: x), Pooled, PooledToSteps, Steps])
def test_heads_behind_the_layer_are_not_told(make: Callable[[], nn.Module], caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    explained(make())
    assert not caplog.messages


class Silent(nn.Module):
    """Answers to large bright areas, which not every picture has."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = stages(), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        large = functional.interpolate(functional.avg_pool2d(x, 32), scale_factor=32)
        return self.head((self.features(x * (large - 0.5).relu())).mean(dim=(2, 3)))


def test_a_model_that_is_silent_on_a_picture_sees_others() -> None:
    torch.manual_seed(0)
    model = Silent()
    for layer in model.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.bias)
    check(explained(model), "features", shift=1)


class Shuffled(nn.Module):
    """The cells of its map lie in another order than in the picture."""

    def __init__(self, move: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.move, self.features, self.head = move, stages(), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(self.move(x)).mean(dim=(2, 3)))


def in_random_order(x: Tensor) -> Tensor:
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    return functional.fold(functional.unfold(x, 8, stride=8)[:, :, order], x.shape[2:], 8, stride=8)


@pytest.mark.parametrize("move", [in_random_order, lambda x: x.transpose(2, 3)], ids=["shuffled", "transposed"])
@pytest.mark.parametrize("layer", [None, "features.1"])
def test_what_cannot_be_placed_is_refused(move: Callable[[Tensor], Tensor], layer: str | None) -> None:
    torch.manual_seed(0)
    with pytest.raises(ModelError, match="sees the picture warped, turned or moved"):
        explained(Shuffled(move), layer=layer)


def test_a_grid_of_4_cells_is_too_coarse_to_pass_as_mirrored_or_not(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 32, 32), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    model = Shuffled(lambda x: x.flip(3))
    model.features, model.head = nn.Sequential(*layers), nn.Linear(16, 5)
    explained(model)
    assert "does not respond" in caplog.messages[0]


def test_a_mirrored_map_is_turned_back() -> None:
    torch.manual_seed(0)
    check(explained(Shuffled(lambda x: x.flip(3))), "features", lambda output: output.flip(3))
