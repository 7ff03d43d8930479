"""The program on a GPU: recorded once and started as a whole. At batch 1 it is starting kernels that takes time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule

from livecam.errors import ModelError

_WARM_UPS = 3
_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "_linalg_eigh", "_linalg_svd", "equal")
"""Operations that wait for the GPU. (A capture that fails makes PyTorch 2.11 leak memory: it is not even tried.)"""


def check_capturable(graph: GraphModule) -> None:
    """Raise ModelError where the graph has an operation that a CUDA graph cannot hold."""
    for node in graph.graph.nodes:
        packet = getattr(node.target, "overloadpacket", None)
        if packet is not None and packet.__name__ in _WAITING:
            raise ModelError(f"{packet.__name__} waits for the GPU, and cannot be captured")


class CapturedProgram:
    """A program in a CUDA graph on a stream of its own; every buffer is made once and keeps its address.

    `program` takes pictures (batch, h, w, channels) uint8 on the device, and gives tensors there; it may neither wait
    for the device nor copy from it. `images` are such pictures. Not for use by several threads at once.
    """

    def __init__(self, program: Callable[[Tensor], Sequence[Tensor]], images: Tensor, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._staging = torch.empty_like(images, device="cpu", pin_memory=True)
        self._input = torch.empty_like(images, device=device)  # its own: another program may be at work meanwhile
        self._graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream(device)
        with torch.no_grad(), torch.cuda.stream(self._stream):
            self._stream.wait_stream(before)
            self._input.copy_(images)
            for _ in range(_WARM_UPS):
                program(self._input)
            self._capture(program)
        self._results = [torch.empty_like(output, device="cpu", pin_memory=True) for output in self._outputs]

    def _capture(self, program: Callable[[Tensor], Sequence[Tensor]]) -> None:
        # Not by `torch.cuda.graph`, which first waits for all of the device and empties its cache: a live run would
        # stand still. Other threads go on using the device; only what this one does is recorded.
        self._graph.capture_begin(capture_error_mode="thread_local")
        try:
            self._outputs = tuple(program(self._input))
        except BaseException:
            with suppress(RuntimeError):  # that the capture has failed
                self._graph.capture_end()
            raise
        self._graph.capture_end()

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pictures as it was made for, on the CPU or there -> what it gives, on the CPU."""
        if images.device.type == "cpu":
            images = self._staging.copy_(images)
        before = torch.cuda.current_stream(self._input.device)
        with torch.cuda.stream(self._stream):
            self._stream.wait_stream(before)
            self._input.copy_(images, non_blocking=True)
            self._graph.replay()
            for result, output in zip(self._results, self._outputs, strict=True):
                result.copy_(output, non_blocking=True)
            self._done.record()
        self._done.synchronize()  # the one wait
        return tuple(result.clone() for result in self._results)


def load_package(package: Path, device: torch.device) -> Callable[[Tensor], Sequence[Tensor]]:
    """A package that was compiled for this device, as a function of pictures there. Raises RuntimeError."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch._inductor.aoti_load_package(str(package), run_single_threaded=True, device_index=index)


def toolkit() -> Path | None:
    """The folder of CUDA's headers, which compiling needs: a toolkit, or what pip installs with torch."""
    packages = Path(torch.__file__).parent.parent / "nvidia"
    named = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    places = [*named, Path("/usr/local/cuda"), *sorted(packages.glob("cu[0-9]*")), packages / "cuda_runtime"]
    return next((place for place in places if (place / "include" / "cuda.h").exists()), None)
