"""CUDA graphs: a program is recorded once and launched as a whole, since at batch 1 kernel launches dominate."""

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
"""Operations that wait for the GPU. Checked before capturing, since a failed capture leaks memory in PyTorch 2.11."""


def check_capturable(graph: GraphModule) -> None:
    """Raise ModelError if an operation of the traced graph cannot be captured in a CUDA graph."""
    for node in graph.graph.nodes:
        packet = getattr(node.target, "overloadpacket", None)
        if packet is not None and packet.__name__ in _WAITING:
            raise ModelError(f"{packet.__name__} waits for the GPU, and cannot be captured")


class CapturedProgram:
    """A program captured in a CUDA graph, with its own stream and buffers. Not thread-safe.

    Args:
        program: A function of pictures (batch, h, w, channels) uint8 on the device that returns tensors there. It may
            neither wait for the device nor copy from it.
        images: Example pictures of the shape to capture for.
        device: The GPU.
        inputs: Examples of the program's further inputs, on the device.
    """

    def __init__(
        self,
        program: Callable[..., Sequence[Tensor]],
        images: Tensor,
        device: torch.device,
        inputs: Sequence[Tensor] = (),
    ) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._staging = torch.empty_like(images, device="cpu", pin_memory=True)
        # A pool of its own: another program may run meanwhile.
        self._inputs = [torch.empty_like(each, device=device) for each in (images, *inputs)]
        self._graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream(device)
        with torch.no_grad(), torch.cuda.stream(self._stream):
            self._stream.wait_stream(before)
            self._fill(images, *inputs)
            for _ in range(_WARM_UPS):
                program(*self._inputs)
            self._capture(program)
        self._results = [torch.empty_like(output, device="cpu", pin_memory=True) for output in self._outputs]

    def _fill(self, *inputs: Tensor) -> None:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)

    def _capture(self, program: Callable[..., Sequence[Tensor]]) -> None:
        # Not by `torch.cuda.graph`, which waits for the whole device and empties its cache first: a live run would
        # stand still. Other threads go on using the device; only the work of this thread is recorded.
        self._graph.capture_begin(capture_error_mode="thread_local")
        try:
            self._outputs = tuple(program(*self._inputs))
        except BaseException:
            with suppress(RuntimeError):  # the error that the failed capture left behind
                self._graph.capture_end()
            raise
        self._graph.capture_end()

    def __call__(self, images: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the program on pictures of the captured shape, on the CPU or the device; the results are on the CPU."""
        if images.device.type == "cpu":
            images = self._staging.copy_(images)
        before = torch.cuda.current_stream(self._inputs[0].device)
        with torch.cuda.stream(self._stream):
            self._stream.wait_stream(before)
            self._fill(images, *inputs)
            self._graph.replay()
            for result, output in zip(self._results, self._outputs, strict=True):
                result.copy_(output, non_blocking=True)
            self._done.record()
        self._done.synchronize()  # the only wait
        return tuple(result.clone() for result in self._results)


def load_package(package: Path, device: torch.device) -> Callable[..., Sequence[Tensor]]:
    """Load a package of TorchInductor as a function of pictures on the device. Raises RuntimeError if it is damaged."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch._inductor.aoti_load_package(str(package), run_single_threaded=True, device_index=index)


def toolkit() -> Path | None:
    """Return the folder with CUDA's headers, which compiling needs: from a toolkit or a pip package."""
    packages = Path(torch.__file__).parent.parent / "nvidia"
    named = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    places = [*named, Path("/usr/local/cuda"), *sorted(packages.glob("cu[0-9]*")), packages / "cuda_runtime"]
    return next((place for place in places if (place / "include" / "cuda.h").exists()), None)
