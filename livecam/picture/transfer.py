"""Pictures on their way between the host and a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle, groupby

import av
import numpy as np
import torch
from torch import Tensor

from livecam.picture.planes import drawn_format, planes

_STAGES = 3
"""Enough that one is filled while the one before is copied and the next is free."""


class Transfer:
    """Takes pictures to a device and back.

    One thread may upload while another draws: sends what it draws with, and downloads. `device` is any; on CUDA, copies
    go through page-locked memory that is used again, and on streams of their own.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._is_cuda = device.type == "cuda"
        if self._is_cuda:
            self._uploading, self._drawing = _Lane(device), _Lane(device)
            # One is enough: whoever downloads waits for the pixels before going on.
            self._download = _Stage()
            # Sleeping until then: a thread that spins takes a core from the encoder.
            self._downloaded = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def upload(self, arrays: Sequence[np.ndarray]) -> DevicePlanes:
        """Copy planes, (h, w) uint8, to the device. On CUDA this only starts the copy."""
        shapes = [(array.shape[0], array.shape[1]) for array in arrays]
        if self._is_cuda:
            memory, arrived = self._uploading.send(arrays)
            return DevicePlanes(memory, shapes, self, arrived)
        return DevicePlanes(_packed(arrays).to(self.device), shapes, self)

    def send(self, arrays: Sequence[np.ndarray]) -> list[Tensor]:
        """Copy small arrays, all float32, to the device in one go, for work inside of `drawing`."""
        memory = self._drawing.send(arrays)[0] if self._is_cuda else _packed(arrays).to(self.device)
        parts = memory.view(torch.float32).split([array.size for array in arrays])  # type: ignore[no-untyped-call]
        return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]

    def download(self, memory: Tensor, into: Sequence[np.ndarray]) -> None:
        """Copy planes that lie one behind the other in `memory`, (n,) uint8 on the device, into arrays (h, w) uint8.

        It waits until what is queued on the current stream, and makes them, is done.
        """
        if self._is_cuda:
            with torch.cuda.device(self.device):
                staged = self._download.memory(len(memory)).copy_(memory, non_blocking=True)
                self._downloaded.record(torch.cuda.current_stream(self.device))
                self._downloaded.synchronize()
        else:
            staged = memory.cpu()
        for part, target in zip(_parts(staged, into), into, strict=True):
            np.copyto(target, part)

    def drawing(self) -> AbstractContextManager[object]:
        """Work inside the block is queued beside, not behind, the model's."""
        return torch.cuda.stream(self._drawing.stream) if self._is_cuda else nullcontext()


class DevicePlanes:
    """The planes of a picture on a device. They are only to be read.

    `memory`, (n,) uint8, holds planes of `shapes`, (h, w) each, one behind the other, as soon as `arrived` is over.
    """

    def __init__(
        self,
        memory: Tensor,
        shapes: Sequence[tuple[int, int]],
        transfer: Transfer,
        arrived: torch.cuda.Event | None = None,
    ) -> None:
        self.shapes = tuple(shapes)
        self.transfer = transfer
        self._memory = memory
        self._arrived = arrived

    def here(self) -> Tensor:
        """The memory, (n,) uint8, for work on the current stream, which waits until it is filled; the host does not."""
        if self._arrived is not None:
            with torch.cuda.device(self.transfer.device):
                stream = torch.cuda.current_stream(self.transfer.device)
                stream.wait_event(self._arrived)
            self._memory.record_stream(stream)  # or it could be given away while this stream still reads
        return self._memory


def transfer_to(device: torch.device) -> Transfer | None:
    """The way to a device where drawing there pays, which is CUDA; None for any other."""
    return Transfer(device) if device.type == "cuda" else None


def uploaded(picture: av.VideoFrame, transfer: Transfer | None) -> DevicePlanes | None:
    """A picture's planes on the device, or on their way; None without one, or for a format that is not drawn on."""
    if transfer is None or drawn_format(picture) is None:
        return None
    return transfer.upload(planes(picture))


def stacked(memory: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """View memory (..., n) as the planes of `shapes` that lie in it one behind the other.

    Neighbours of one shape are one tensor, (..., planes, h, w): all three planes, or the luma, and the two of chroma.
    """
    views, start = [], 0
    for (height, width), alike in groupby(shapes):
        count = len(list(alike))
        end = start + count * height * width
        views.append(memory[..., start:end].unflatten(-1, (count, height, width)))  # type: ignore[no-untyped-call]
        start = end
    return views


class _Lane:
    """A stream of copies to a CUDA device, through page-locked memory."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._device = device
        self._stages = cycle([_Stage() for _ in range(_STAGES)])

    def send(self, arrays: Sequence[np.ndarray]) -> tuple[Tensor, torch.cuda.Event]:
        """Start to copy arrays. Returns their bytes on the device, (n,) uint8, and the event of their arrival."""
        stage = next(self._stages)
        with torch.cuda.stream(self.stream):
            staged = stage.memory(sum(array.nbytes for array in arrays))
            for part, array in zip(_parts(staged, arrays), arrays, strict=True):
                np.copyto(part, array)
            memory = staged.to(self._device, non_blocking=True)
            stage.done = self.stream.record_event()
        return memory, stage.done


class _Stage:
    """Page-locked memory that copies go through, allocated anew only for a picture that is larger than those before."""

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


def _packed(arrays: Sequence[np.ndarray]) -> Tensor:
    """The bytes of arrays, one behind the other: (n,) uint8 on the CPU."""
    return torch.from_numpy(np.concatenate([np.ascontiguousarray(array).view(np.uint8).ravel() for array in arrays]))


def _parts(memory: Tensor, like: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """View memory, (n,) uint8 on the CPU, as arrays of the shapes and dtypes of others, one behind the other."""
    start = 0
    for array in like:
        yield memory[start : start + array.nbytes].numpy().view(array.dtype).reshape(array.shape)
        start += array.nbytes
