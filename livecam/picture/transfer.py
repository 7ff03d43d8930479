"""Copies of pictures between the host and a torch device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle, groupby

import av
import numpy as np
import torch
from torch import Tensor

from livecam.picture.planes import drawn_format, planes

_BUFFERS = 3
"""Page-locked buffers of one stream of copies: one is filled while the previous one is copied and the next is free."""


class Transfer:
    """Copies pictures to a device and back.

    One thread may upload while another draws, that is, calls `drawing`, `send` and `download`. On CUDA, copies use
    streams of their own and page-locked memory that is reused.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._is_cuda = device.type == "cuda"
        if self._is_cuda:
            self._uploading, self._drawing = _Lane(device), _Lane(device)
            # One is enough: a download waits for its pixels before it returns.
            self._download = _Buffer()
            # Blocking: a thread that spins while it waits takes a core from the encoder.
            self._downloaded = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def upload(self, arrays: Sequence[np.ndarray]) -> DevicePlanes:
        """Copy planes, (h, w) uint8 each, to the device. On CUDA this starts the copy without waiting for it."""
        shapes = [(array.shape[0], array.shape[1]) for array in arrays]
        if self._is_cuda:
            memory, arrived = self._uploading.send(arrays)
            return DevicePlanes(memory, shapes, self, arrived)
        return DevicePlanes(_packed(arrays).to(self.device), shapes, self)

    def send(self, arrays: Sequence[np.ndarray]) -> list[Tensor]:
        """Copy small float32 arrays to the device in one transfer, for work inside of `drawing`."""
        memory = self._drawing.send(arrays)[0] if self._is_cuda else _packed(arrays).to(self.device)
        parts = memory.view(torch.float32).split([array.size for array in arrays])  # type: ignore[no-untyped-call]
        return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]

    def download(self, memory: Tensor, into: Sequence[np.ndarray]) -> None:
        """Copy planes to the host, after the work that is queued on the current stream.

        Args:
            memory: The planes one after the other, (n,) uint8 on the device.
            into: The arrays to fill, (h, w) uint8 each.
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
        """Queue the work inside of the block on a stream of its own, not behind the model's."""
        return torch.cuda.stream(self._drawing.stream) if self._is_cuda else nullcontext()


class DevicePlanes:
    """The planes of a picture on a device, to be read only.

    Args:
        memory: The planes one after the other, (n,) uint8.
        shapes: The shape, (h, w), of each.
        transfer: The transfer that uploaded them and that downloads the drawn picture.
        arrived: The CUDA event after which they are complete; None if they are complete already.
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
        """Return the memory, (n,) uint8, for the current stream, which waits for the upload; the host does not."""
        if self._arrived is not None:
            with torch.cuda.device(self.transfer.device):
                stream = torch.cuda.current_stream(self.transfer.device)
                stream.wait_event(self._arrived)
            self._memory.record_stream(stream)  # else it could be reused while this stream still reads
        return self._memory


def transfer_to(device: torch.device) -> Transfer | None:
    """Return a transfer to a CUDA device; None for other devices, on which drawing does not pay off."""
    return Transfer(device) if device.type == "cuda" else None


def uploaded(picture: av.VideoFrame, transfer: Transfer | None) -> DevicePlanes | None:
    """Start to upload a picture's planes; None without a transfer, or for a pixel format that is not drawn on."""
    if transfer is None or drawn_format(picture) is None:
        return None
    return transfer.upload(planes(picture))


def stacked(memory: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """View memory as the planes that it contains one after the other.

    Args:
        memory: (..., n) of any dtype.
        shapes: The shape, (h, w), of each plane.

    Returns:
        A tensor (..., planes, h, w) for each run of planes of one shape: all three, or the luma and the two of chroma.
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
        self._buffers = cycle([_Buffer() for _ in range(_BUFFERS)])

    def send(self, arrays: Sequence[np.ndarray]) -> tuple[Tensor, torch.cuda.Event]:
        """Start to copy arrays; return their bytes on the device, (n,) uint8, and the event of their arrival."""
        buffer = next(self._buffers)
        with torch.cuda.stream(self.stream):
            staged = buffer.memory(sum(array.nbytes for array in arrays))
            for part, array in zip(_parts(staged, arrays), arrays, strict=True):
                np.copyto(part, array)
            memory = staged.to(self._device, non_blocking=True)
            buffer.done = self.stream.record_event()
        return memory, buffer.done


class _Buffer:
    """A page-locked buffer that copies go through; it grows with the largest picture."""

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)
        self.done: torch.cuda.Event | None = None
        """The end of the last copy."""

    def memory(self, size: int) -> Tensor:
        """Wait for the last copy, then return the buffer as (size,) uint8."""
        if self.done is not None:
            self.done.synchronize()
        if len(self._memory) < size:
            self._memory = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        return self._memory[:size]


def _packed(arrays: Sequence[np.ndarray]) -> Tensor:
    """Return the concatenated bytes of arrays: (n,) uint8 on the CPU."""
    return torch.from_numpy(np.concatenate([np.ascontiguousarray(array).view(np.uint8).ravel() for array in arrays]))


def _parts(memory: Tensor, like: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """View memory, (n,) uint8 on the CPU, as consecutive arrays with the shapes and dtypes of others."""
    start = 0
    for array in like:
        yield memory[start : start + array.nbytes].numpy().view(array.dtype).reshape(array.shape)
        start += array.nbytes
