"""A fake GPU of tensors without values, which detects every wait and every copy from the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from livecam.picture.frame import Frame
from livecam.picture.planes import planes
from livecam.picture.transfer import DevicePlanes, Transfer
from tests.support.cuda_stand_in import WAITS


class Watch(TorchDispatchMode):
    """Operations that a GPU would have to be waited for, and copies from the host, among fake tensors on it."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        found = {each.device.type for each in tree_leaves((args, kwargs, outputs)) if isinstance(each, Tensor)}
        self.devices |= found
        if func.overloadpacket.__name__ in WAITS or len(found) > 1:
            self.waits.append(str(func))
        return outputs


class FakeTransfer(Transfer):
    """To a GPU whose tensors have shapes, dtypes and a device but no values."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.device = torch.device("cuda", 0)

    def send(self, arrays: Sequence[np.ndarray]) -> list[Tensor]:
        return [torch.empty(array.shape, device=self.device) for array in arrays]

    def download(self, memory: Tensor, into: Sequence[np.ndarray]) -> None:
        assert (memory.device, memory.dtype, len(memory)) == (self.device, torch.uint8, sum(each.size for each in into))


@contextmanager
def fake_gpu() -> Iterator[FakeTransfer]:
    """Give the way to a fake GPU; tensors that are made inside of the block may lie on it."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield FakeTransfer()


def fake_planes(frame: Frame, transfer: Transfer) -> DevicePlanes:
    """A frame's planes on a fake GPU."""
    shapes = [plane.shape for plane in planes(frame.picture)]
    memory = torch.empty(sum(h * w for h, w in shapes), dtype=torch.uint8, device=transfer.device)
    return DevicePlanes(memory, shapes, transfer)  # type: ignore[arg-type]
