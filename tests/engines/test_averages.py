"""Backward passes of which only a mean is needed go through no convolution, and give what they gave."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from livecam import Explainer
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
