"""Backward passes of which only a mean is needed go through no convolution, and give what they gave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import interpolate

from livecam import Explainer
from livecam.explain.engines import averages
from livecam.explain.engines.graph import trace
from livecam.models import Preprocessing
from tests.support.dense import dense, made
from tests.support.tiny import pictures, program_of

CONVOLUTIONS = {
    "1x1": nn.Conv2d(8, 12, 1),
    "3x3": nn.Conv2d(8, 12, 3, padding=1),
    "no padding": nn.Conv2d(8, 12, 3),
    "stride": nn.Conv2d(8, 12, 3, stride=2, padding=1),
    "stride that leaves out": nn.Conv2d(8, 12, 2, stride=3),
    "dilated beyond the border": nn.Conv2d(8, 12, 3, padding=12, dilation=12),
    "even, and mostly beyond the border": nn.Conv2d(8, 12, 2, stride=2, padding=12, dilation=13),
    "groups": nn.Conv2d(8, 12, 3, padding=1, groups=4),
    "depthwise": nn.Conv2d(8, 8, (3, 5), padding=(1, 2), groups=8),
}


class Behind(nn.Module):
    """Features, a convolution behind them, and scores that depend on places."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 5, 5)
        self.behind = convolution
        self.head = nn.LazyLinear(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.behind(self.features(x)).relu().flatten(1))


def operations(explainer: Explainer, images: Tensor) -> tuple[list[str], list[Tensor]]:
    graph = trace(program_of(explainer), explainer.classifier.module, images).module
    return [str(node.target) for node in graph.graph.nodes], list(graph(images, *explainer.task.inputs))


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_mean_behind_a_convolution_is_a_product_of_its_kernel(kind: str) -> None:
    torch.manual_seed(0)
    explainer = Explainer(Behind(CONVOLUTIONS[kind]), preprocessing=Preprocessing(size=(64, 64)), layer="features")
    images = pictures(2)
    names, given = operations(explainer, images)
    assert not any("convolution_backward" in name for name in names)
    torch.testing.assert_close(given[0], explainer.answer(images).maps, rtol=1e-5, atol=1e-7)


def test_what_a_pooling_gives_back_is_not_repeated_for_all_cells() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 5, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    explainer = Explainer(module, preprocessing=Preprocessing(size=(64, 64)), layer="0")
    images = pictures(2)
    names, given = operations(explainer, images)
    assert sum("mean" in name for name in names) == 1  # the pooling itself
    torch.testing.assert_close(given[0], explainer.answer(images).maps, rtol=1e-5, atol=1e-7)


def test_branches_are_averaged_each_by_itself() -> None:
    explainer, images = dense(made("deeplab")), pictures(1)
    names, given = operations(explainer, images)
    through = sum("convolution_backward" in name for name in names)
    # The head, the convolution before it, and the projection: its parts for four branches, which are behind the layer.
    # Of its part for the pooling a sum is enough; the convolution there has a single cell.
    assert through == 7
    torch.testing.assert_close(given[0], explainer.answer(images).maps, rtol=1e-5, atol=1e-7)


def test_methods_that_need_the_gradient_of_each_cell_keep_it() -> None:
    explainer = Explainer(
        Behind(CONVOLUTIONS["3x3"]), preprocessing=Preprocessing(size=(64, 64)), layer="features", method="layercam"
    )
    names, given = operations(explainer, pictures(1))
    assert any("convolution_backward" in name for name in names)
    torch.testing.assert_close(given[0], explainer.answer(pictures(1)).maps, rtol=1e-5, atol=1e-7)


def test_scores_are_stretched_back_as_one_channel() -> None:
    explainer, images = dense(made("plain")), pictures(1)
    graph = trace(program_of(explainer), explainer.classifier.module, images).module.graph
    sizes = [node.args[2] for node in graph.nodes if "upsample_bilinear2d_backward" in str(node.target)]
    assert sizes == [[1, 1, 8, 8]]


@pytest.mark.parametrize("shape", [(2, 4, 1, 1), (1, 4, 1, 1), (2, 1, 1, 1)])
def test_a_mean_of_repeated_numbers_has_a_number_for_each_picture_and_channel(shape: tuple[int, ...]) -> None:
    check_rewritten(lambda numbers: numbers.expand(2, 4, 6, 6).mean((2, 3), keepdim=True) * 3, torch.rand(shape))


def test_a_mean_in_another_precision_stays_in_it() -> None:
    numbers = torch.rand(2, 4, 1, 1)
    check_rewritten(lambda each: each.expand(2, 4, 6, 6).mean((2, 3), keepdim=True, dtype=torch.float64), numbers)


@pytest.mark.parametrize("size", [(1, 1), (1, 3)])
@pytest.mark.parametrize("align_corners", [False, True])
def test_what_stretching_gives_back_is_a_sum_for_a_single_cell(size: tuple[int, int], align_corners: bool) -> None:
    behind = nn.Conv2d(4, 8, 1)

    def given_back(cells: Tensor) -> Tensor:
        cells = cells.detach().requires_grad_()
        stretched = interpolate(cells, (6, 5), mode="bilinear", align_corners=align_corners)
        score = (behind(stretched).square() * torch.arange(30).view(6, 5)).sum()
        return torch.autograd.grad(score, cells)[0]

    check_rewritten(given_back, torch.rand(2, 4, *size))


def test_a_mean_behind_a_convolution_that_is_stretched_for_another() -> None:
    """Both are rewritten, one after the other."""
    pooled, behind = nn.Conv2d(4, 5, 1), nn.Conv2d(5, 3, 1)

    def mean_of_gradient(cells: Tensor) -> Tensor:
        cells = cells.detach().requires_grad_()
        scores = behind(interpolate(pooled(cells), (6, 6), mode="bilinear"))
        return torch.autograd.grad(scores[:, 1].square().sum(), cells)[0].mean((2, 3), keepdim=True)

    check_rewritten(mean_of_gradient, torch.rand(2, 4, 1, 1))


@pytest.mark.parametrize("scales", [(2, 4, 1, 1), (1, 4, 1, 1), (2, 1, 1, 1)])
@pytest.mark.parametrize("shared", [(2, 1, 6, 5), (1, 1, 6, 5), (2, 1, 1, 5)])
def test_what_is_shared_by_channels_is_stretched_back_in_the_shape_that_it_has(
    scales: tuple[int, ...], shared: tuple[int, ...]
) -> None:
    def given_back(numbers: Tensor, common: Tensor) -> Tensor:
        cells = torch.zeros(2, 4, 3, 2, requires_grad=True)
        stretched = interpolate(cells, (6, 5), mode="bilinear")
        return torch.autograd.grad(stretched, cells, numbers.expand(2, 4, 6, 5) * common)[0]

    check_rewritten(given_back, torch.rand(scales), torch.rand(shared))


def check_rewritten(function: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Check that a function of tensors returns the same after its operations were rewritten."""
    module = make_fx(function, tracing_mode="real")(*inputs)
    averages.rewrite(module.graph)
    module.recompile()
    torch.testing.assert_close(module(*inputs), function(*inputs))
