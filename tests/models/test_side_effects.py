"""Models that draw random numbers, or keep a state between pictures."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.tiny import Tiny, pictures, tiny


class Dropping(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.dropout(x))


class Flipping(Tiny):
    draw: Callable[[], float]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flip(3) if type(self).draw() < 0.5 else x)


class FlippingByNumPy(Flipping):
    draw = np.random.rand


class FlippingByPython(Flipping):
    draw = random.random


class Counting(Tiny):
    """Counts its pictures, and keeps a running mean of its features."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(1, 3, 64, 64))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.mean = (0.5 * self.mean + 0.5 * x).detach()
        return super().forward(x + self.mean)


class Caching(Tiny):
    """Writes the values into a buffer that it has already, and others into one that was empty."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ones", torch.ones(3, 1, 1))
        self.register_buffer("zeros", None)

    def forward(self, x: Tensor) -> Tensor:
        self.ones.fill_(1)
        self.zeros = torch.zeros(3, 1, 1)
        return super().forward(x * self.ones + self.zeros)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("model", [Dropping, FlippingByNumPy, FlippingByPython])
def test_random_numbers_are_told_once_and_the_batch_is_not_blamed(
    model: type[Tiny], caplog: pytest.LogCaptureFixture
) -> None:
    note = f"{model.__name__} draws random numbers: its maps change from run to run"
    explainer = tiny(model)
    assert len(explainer.answer(pictures()).maps) == 3
    assert [each for each in told(caplog) if "layer" not in each] == [note]


def test_a_state_is_told_and_holds_no_picture_of_the_first_look(caplog: pytest.LogCaptureFixture) -> None:
    model = Counting()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    explainer = tiny(lambda: model)
    torch.testing.assert_close(model.state_dict(), before)
    assert told(caplog) == ["Counting keeps a state between pictures (count, mean): its maps depend on those before"]
    assert len(explainer.answer(pictures(3)).maps) == 3
    assert int(model.count) == 3


@pytest.mark.parametrize("model", [FlippingByPython, Counting])
def test_what_a_trace_would_freeze_stays_eager(model: type[nn.Module], caplog: pytest.LogCaptureFixture) -> None:
    explainer = tiny(model, engine="compiled")
    explainer.answer(pictures(1))
    assert explainer.engine == "eager"
    assert any(each.startswith(f"explained by the eager engine: {model.__name__} ") for each in told(caplog))


@pytest.mark.parametrize("model", [Tiny, Caching])
def test_most_models_have_no_side_effects(model: type[Tiny], caplog: pytest.LogCaptureFixture) -> None:
    assert len(tiny(model).answer(pictures()).maps) == 3
    assert told(caplog) == []
