"""A program on a GPU, recorded once and started as a whole: at batch 1 it is starting its kernels that takes time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_WARM_UPS = 3


class CapturedProgram:
    """A program in a CUDA graph on a stream of its own; every buffer is made once and keeps its address.

    `program` takes pictures (batch, h, w, channels) uint8 on the device, and gives tensors there; it may neither wait
    for the device nor copy from it. `images` are such pictures. Not for use by several threads at once.
    """

    def __init__(self, program: Callable[[Tensor], Sequence[Tensor]], images: Tensor, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._staging = torch.empty_like(images, device="cpu", pin_memory=True)
        self._input = images.to(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.no_grad(), torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                program(self._input)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads of the pipeline go on using the device meanwhile; only what this one does is recorded.
        with (
            torch.no_grad(),
            torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            self._outputs = tuple(program(self._input))
        self._results = [torch.empty_like(output, device="cpu", pin_memory=True) for output in self._outputs]

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pictures as it was made for, on the CPU or there -> what it gives, on the CPU."""
        if images.device.type == "cpu":
            images = self._staging.copy_(images)
        self._stream.wait_stream(torch.cuda.current_stream(self._input.device))
        with torch.cuda.stream(self._stream):
            self._input.copy_(images, non_blocking=True)
            self._graph.replay()
            for result, output in zip(self._results, self._outputs, strict=True):
                result.copy_(output, non_blocking=True)
            self._done.record()
        self._done.synchronize()  # the one wait
        return tuple(result.clone() for result in self._results)
