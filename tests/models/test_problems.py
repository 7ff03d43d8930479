"""A model that fails on its first input is told the true cause, in one line that says what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from livecam import Explainer
from livecam.errors import ModelError
from livecam.models import Preprocessing


class Net(nn.Module):
    def __init__(self, channels: int = 3, features: int = 4) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 4, 3, 4), nn.Linear(features, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).mean(dim=(2, 3)))


class Masked(Net):
    def forward(self, x: Tensor, mask: Tensor, *, prompt: str, scale: float = 1.0) -> Tensor:
        return super().forward(x * mask)


class ByName(Net):
    def forward(self, input_ids: Tensor | None = None, pixel_values: Tensor | None = None) -> Tensor:
        assert pixel_values is not None
        return super().forward(pixel_values)


class Flattening(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).flatten(1))


class Picky(Net):
    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (96, 96)
        return super().forward(x)


class Buggy(Net):
    def forward(self, x: Tensor) -> Tensor:
        return {}["temperature"]


class BadlyShaped(Net):
    """Fails for every size with the same error, so no size is to blame."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.zeros(1, 7))


class WithPlainTensor(Net):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(1, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - self.mean)


class Halving(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).mean(dim=(2, 3)).half())


class PartlyHalf(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head.half()


class OverBatch(Net):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(super().forward(x), None, None, training=True)


class Returnless(Net):
    def forward(self, x: Tensor) -> None:  # type: ignore[override]
        super().forward(x)


class Forwardless(nn.Module):
    pass


def vit() -> nn.Module:
    return VisionTransformer(image_size=96, patch_size=16, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)


def digits() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 5))


WRAP = "wrap it in a module whose forward(self, picture) returns self.model"
PROBLEMS = [
    (Masked(), f"Masked also needs mask and prompt beside the picture; {WRAP}(picture, mask=..., prompt=...)"),
    (ByName(), f"ByName takes a picture as pixel_values; {WRAP}(pixel_values=picture)"),
    (
        Flattening(features=4 * 8 * 8),
        "an input of 3 x 224 x 224 and runs on 3 x 32 x 32; say so with Preprocessing(size",
    ),
    (
        Flattening(features=4 * 17 * 17),
        "if it is made for another size, say so with Preprocessing(size=...) or --input-size",
    ),
    (Picky(), "runs on 3 x 96 x 96; say so with Preprocessing(size=(96, 96)) or --input-size 96"),
    (vit(), "runs on 3 x 96 x 96; say so with Preprocessing(size=(96, 96))"),
    (digits(), "runs on 1 x 28 x 28; say so with Preprocessing(size=(28, 28), mean=(0.5,), std=(0.5,))"),
    (Buggy(), "Buggy fails on an input of 3 x 224 x 224: KeyError: 'temperature' (test_problems.py, line "),
    (BadlyShaped(), "mat1 and mat2 shapes cannot be multiplied (1x7 and 4x5) (test_problems.py, line "),
    (WithPlainTensor(), "WithPlainTensor runs on cpu and has tensors elsewhere (mean); keep them by register_buffer"),
    (Halving(), "Halving changes the precision on its way: RuntimeError: mat1 and mat2 must have the same dtype"),
    (PartlyHalf(), "PartlyHalf has weights in float16 and float32, in which it cannot run here"),
    (OverBatch(), "OverBatch normalises by the other pictures of its batch, even after eval()"),
    (Returnless(), "the model gives nothing instead of class scores (B, classes); let its forward return them"),
    (Forwardless(), 'is missing the required "forward" function'),
    (Net(channels=4), "Net takes 4 channels, and a picture has 3, or 1 in grey"),
]


@pytest.mark.parametrize(("model", "message"), PROBLEMS, ids=[type(model).__name__ for model, _ in PROBLEMS])
def test_the_true_cause(model: nn.Module, message: str) -> None:
    model.train()
    with pytest.raises(ModelError) as raised:
        Explainer(model)
    text = str(raised.value)
    assert message in text
    assert "\n" not in text
    assert ("another size" in text) == ("another size" in message)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("channels", "preprocessing", "message"),
    [
        (
            1,
            Preprocessing(),
            "takes pictures in grey, and its preprocessing is for colour; say so with Preprocessing(me",
        ),
        (3, Preprocessing().in_grey(), "takes pictures in colour, and its preprocessing is for grey; say so with Prep"),
    ],
)
def test_the_other_colours(channels: int, preprocessing: Preprocessing, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        Explainer(Net(channels), preprocessing=preprocessing)
    assert message in str(raised.value)


class Exhausted(Net):
    def forward(self, x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_gpu_without_enough_memory() -> None:
    with pytest.raises(ModelError, match="the memory of cpu is too small for this model"):
        Explainer(Exhausted())


class Failing(Net):
    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        if self.runs > 20:
            raise ValueError("the sensor\nis gone")
        return super().forward(x)


def test_a_model_that_fails_later_is_told_with_the_place_in_its_code() -> None:
    explainer = Explainer(Failing(), preprocessing=Preprocessing(size=(32, 32)), engine="eager")
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(
        ModelError, match=r"^Failing fails on a later picture: ValueError: the sensor is gone \(test_pr"
    ):
        for _ in range(20):
            explainer(picture)


class Rounding(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).round(decimals=1)


class OverPictures(Net):
    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores - scores.mean(dim=0)


@pytest.mark.parametrize("kind", [Rounding, OverPictures])
def test_scores_without_a_gradient(kind: type[Net]) -> None:
    with pytest.raises(ModelError, match="no gradient of the scores reaches a layer with a spatial extent; let the"):
        Explainer(kind(), preprocessing=Preprocessing(size=(64, 64)))
