"""Models of clips in OpenVINO: convolutions and pooling over time give what they give in PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from livecam import Explainer
from livecam.explain.answer import agreement
from livecam.explain.preprocess import noise
from livecam.models import load_model
from tests.engines.test_conversion import in_openvino


class Pooled(nn.Module):
    """Has maxima and means over windows of frames behind its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(3, 8, 3, (1, 4, 4), 1, bias=False), nn.BatchNorm3d(8), nn.ReLU())
        self.maxima, self.means = nn.MaxPool3d(3, (2, 1, 1), 1), nn.AvgPool3d((2, 4, 4), 1)
        self.end = nn.Sequential(nn.Conv3d(8, 8, (3, 1, 1), 1, (1, 0, 0), groups=4), nn.AdaptiveAvgPool3d(1))
        self.head = nn.Linear(8, 5)

    def forward(self, clip: Tensor) -> Tensor:
        scores: Tensor = self.head(self.end(self.means(self.maxima(self.stem(clip)))).flatten(1))
        return scores


@pytest.mark.parametrize("layer", ["stem", "stem,maxima", "means"])
def test_pooling_over_time_has_its_gradient(layer: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"layer": layer, "preprocessing": {"frames": 8, "size": (32, 32)}, "target": "2,0"}
    explainer = Explainer(Pooled(), engine="eager", precision="fp32", **options)
    images = noise(explainer.classifier.preprocessing, 2)
    converted, answer = in_openvino(explainer, images, tmp_path), explainer.answer(images)
    assert answer.maps.ndim == 5
    for given, expected in zip(converted.tensors, answer.tensors, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("name", ["mc3_18", "s3d", "swin3d_t", pytest.param("r3d_18", marks=pytest.mark.slow)])
def test_architectures_of_torchvision_agree(name: str, tmp_path: Path) -> None:
    model = load_model(name, weights="none")
    changes = {"size": (64, 64), "frames": 8} if name != "s3d" else {}
    explainer = Explainer(
        model.module, preprocessing=model.preprocessing.changed(changes), engine="eager", precision="fp32"
    )
    images = noise(explainer.classifier.preprocessing)
    agreed = agreement([in_openvino(explainer, images, tmp_path)], [explainer.answer(images)])
    assert agreed.cosine > 0.9999
    assert agreed.same_best
