"""Planes on their way between the host and a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle

import numpy as np
import torch
from torch import Tensor

_STAGES = 3
"""Enough that one is filled while the one before is copied and the next is free."""


class Transfer:
    """Takes planes to a device and back. One thread may upload while another draws and downloads."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._is_cuda = device.type == "cuda"
        if self._is_cuda:
            self._copying, self._drawing = _stream(device), _stream(device)
            self._uploads = cycle([_Stage() for _ in range(_STAGES)])
            # One is enough: whoever downloads waits for the pixels before going on.
            self._download = _Stage()

    def upload(self, planes: Sequence[np.ndarray]) -> DevicePlanes:
        """Planes (h, w) uint8 on the device. They are not to change any more: on the CPU they are not copied.

        On CUDA this only starts the copy, on a stream of its own and from page-locked memory that is used again.
        """
        if not self._is_cuda:
            return DevicePlanes([torch.from_numpy(plane).to(self.device) for plane in planes], self)
        stage = next(self._uploads)
        shapes = [plane.shape for plane in planes]
        staged = stage.memory(sum(plane.size for plane in planes))
        for part, plane in zip(_parts(staged, shapes), planes, strict=True):
            np.copyto(part.numpy(), plane)
        with torch.cuda.stream(self._copying):
            copied = staged.to(self.device, non_blocking=True)
        stage.done = self._copying.record_event()
        return DevicePlanes(list(_parts(copied, shapes)), self, stage.done)

    def download(self, planes: Sequence[Tensor], into: Sequence[np.ndarray]) -> None:
        """Copy planes from the device once what makes them, on the current stream, is done."""
        if not self._is_cuda:
            for plane, target in zip(planes, into, strict=True):
                np.copyto(target, plane.cpu().numpy())
            return
        staged = self._download.memory(sum(plane.numel() for plane in planes))
        parts = list(_parts(staged, [plane.shape for plane in planes]))
        for part, plane in zip(parts, planes, strict=True):
            part.copy_(plane, non_blocking=True)
        # Sleeping until then: a thread that spins takes a core from the encoder.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self.device))
        done.synchronize()
        for part, target in zip(parts, into, strict=True):
            np.copyto(target, part.numpy())

    def drawing(self) -> AbstractContextManager[object]:
        """Work inside the block is queued beside, not behind, the model's."""
        return torch.cuda.stream(self._drawing) if self._is_cuda else nullcontext()


class DevicePlanes:
    """Planes (h, w) uint8 of a picture that are on the device, or will be when `here` is asked for. Only to be read."""

    def __init__(self, planes: list[Tensor], transfer: Transfer, arrived: torch.cuda.Event | None = None) -> None:
        self._planes = planes
        self._arrived = arrived
        self.transfer = transfer

    def here(self) -> list[Tensor]:
        """The planes, for work on the current stream, which waits for them; the host does not."""
        if self._arrived is not None:
            stream = torch.cuda.current_stream(self.transfer.device)
            stream.wait_event(self._arrived)
            for plane in self._planes:
                plane.record_stream(stream)  # or their memory could be given away while this stream still reads
        return self._planes


class _Stage:
    """Page-locked memory that copies go through, allocated anew only when a picture is larger than those before."""

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)
        self.done: torch.cuda.Event | None = None
        """When the last copy is over."""

    def memory(self, size: int) -> Tensor:
        """(size,) uint8, once the copy before is over."""
        if self.done is not None:
            self.done.synchronize()
        if len(self._memory) < size:
            self._memory = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        return self._memory[:size]


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _parts(memory: Tensor, shapes: Sequence[Sequence[int]]) -> Iterator[Tensor]:
    """Views of planes (h, w) that lie one behind the other."""
    start = 0
    for height, width in shapes:
        yield memory[start : start + height * width].view(height, width)
        start += height * width
