"""A stand-in for torch.cuda: code that is written for a GPU runs on a machine without one.

Tensors stay in the memory of the CPU. Devices of type "cuda" are accepted and mean that memory, so `to(device)` gives
back the very tensor, as it does on a GPU for a tensor that is there already. Only memory that is known to be the
host's, which is what `torch.from_numpy` gives and what is page-locked, is copied on its way to a device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

WAITS = {"_local_scalar_dense", "_linalg_eigh", "_linalg_svd", "equal", "masked_select", "nonzero", "_unique2"}
"""Operations that wait for the device, which no CUDA graph can hold. (Nor can it hold indexing by a mask.)"""
_FACTORIES = ("arange", "as_tensor", "empty", "empty_like", "full", "full_like", "tensor", "zeros", "zeros_like")


class CudaStandIn:
    """What stands in for torch.cuda for as long as `patch` holds, and what was seen of its use.

    `launches` are pairs of what was started, an operation that was captured, "replay", "record" or "wait", and the
    index of the device that was current at that moment. `open_captures` are the graphs whose capture began and did not
    end, `failed_captures` counts those that ended by an error. `synchronisations` counts the waits for a whole device,
    `waits` all waits of the host. `uploads` and `downloads` are, for each copy by `to` and `cpu`, and within `counted`
    by `copy_`, whether the host's side was page-locked. `kernels` are the operations on a device within `counted`.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.launches: list[tuple[str, int]] = []
        self.open_captures: list[Any] = []
        self.failed_captures = self.synchronisations = self.waits = 0
        self.uploads: list[bool] = []
        self.downloads: list[bool] = []
        self.kernels: list[str] = []
        self._thread = threading.local()
        self._host: dict[int, tuple[Tensor, bool]] = {}  # by address; held, so that no address comes twice
        cuda = self

        class Event:
            def __init__(self, *args: object, **kwargs: object) -> None: ...
            def record(self, stream: object = None) -> None:
                self.seconds = time.perf_counter()
                cuda._launch("record")

            def elapsed_time(self, end: Any) -> float:
                return 1000 * (end.seconds - self.seconds)

            def wait(self, stream: object = None) -> None:
                cuda._launch("wait")

            def synchronize(self) -> None:
                cuda._wait()

            def query(self) -> bool:
                return True

        class Stream(Event):
            def __init__(self, device: object = None, **kwargs: object) -> None:
                self.device = torch.device("cuda", cuda._index(device))

            def wait_stream(self, stream: object) -> None:
                cuda._launch("wait")

            def wait_event(self, event: object) -> None:
                cuda._launch("wait")

            def record_event(self, event: Any = None) -> Any:
                event = event or Event()
                event.record(self)
                return event

        class CUDAGraph(_Graph):
            def __init__(self, keep_graph: bool = False) -> None:
                super().__init__(cuda)

        @contextmanager
        def stream(stream: Any) -> Any:
            before, cuda._thread.stream = getattr(cuda._thread, "stream", None), stream
            try:
                with cuda.current(stream.device if stream else None):  # a stream brings its device with it
                    yield
            finally:
                cuda._thread.stream = before

        @contextmanager
        def graph(graph: Any, pool: object = None, stream: Any = None, capture_error_mode: str = "global") -> Any:
            torch.cuda.synchronize()
            with torch.cuda.stream(stream or Stream()):
                graph.capture_begin(capture_error_mode=capture_error_mode)
                try:
                    yield
                finally:
                    graph.capture_end()

        standing_in: dict[str, Any] = {
            "Event": Event,
            "Stream": Stream,
            "CUDAGraph": CUDAGraph,
            "stream": stream,
            "graph": graph,
            "device": self.current,
            "get_device_name": lambda device=None: "a stand-in",
            "current_device": lambda: self.index,
            "current_stream": lambda device=None: getattr(self._thread, "stream", None) or Stream(device),
            "is_current_stream_capturing": lambda: self._capturing is not None,
            "synchronize": self._synchronise,
            "empty_cache": lambda: None,
            "get_rng_state": lambda device=None: torch.get_rng_state(),
        }
        for name, replacement in standing_in.items():
            patch.setattr(torch.cuda, name, replacement)
        _device_constructors()  # it keeps the factories that it sees first, for `with torch.device(...)`
        for name in _FACTORIES:
            patch.setattr(torch, name, self._made(getattr(torch, name)))
        patch.setattr(torch, "from_numpy", self._on_host(torch.from_numpy))
        patch.setattr(torch.Tensor, "to", self._to(torch.Tensor.to))
        patch.setattr(torch.Tensor, "cpu", lambda tensor: self._cpu(tensor))
        patch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)

    @property
    def index(self) -> int:
        """The current device of this thread."""
        return getattr(self._thread, "index", 0)

    @contextmanager
    def current(self, device: object) -> Any:
        """The guard: a device is the current one inside the block; None leaves it as it is."""
        before, self._thread.index = self.index, self._index(device)
        try:
            yield
        finally:
            self._thread.index = before

    @contextmanager
    def counted(self) -> Any:
        """What this thread does inside the block is counted, from nothing on."""
        self.launches, self.kernels, self.uploads, self.downloads, self.waits = [], [], [], [], 0
        with _Counting(self):
            yield

    @property
    def devices(self) -> set[int]:
        """The indices of the devices on which something was launched."""
        return {device for _, device in self.launches}

    def is_on_host(self, tensor: Tensor) -> bool:
        """If it lies in memory that is known to be the host's."""
        return _address(tensor) in self._host

    def is_pinned(self, tensor: Tensor) -> bool:
        """If it lies in page-locked memory."""
        return self.is_on_host(tensor) and self._host[_address(tensor)][1]

    @property
    def _capturing(self) -> _Graph | None:
        return getattr(self._thread, "capturing", None)

    def _index(self, device: Any) -> int:
        if isinstance(device, int):
            return device
        index = None if device is None else torch.device(device).index
        return self.index if index is None else index

    def _launch(self, what: str) -> None:
        self.launches.append((what, self.index))

    def _wait(self) -> None:
        self.waits += 1
        if self._capturing is not None:
            self._capturing.refuse("waiting for the device")

    def _synchronise(self, device: object = None) -> None:
        self.synchronisations += 1
        self._wait()

    def _made(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A function that makes a tensor, with its device and page-locked memory stood in for."""

        def make(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Tensor:
            if pin_memory and self._capturing is not None:
                self._capturing.refuse("making page-locked memory")
            made = function(*args, **{name: _on_cpu(value) for name, value in kwargs.items()})
            return self._keep(made, is_pinned=True) if pin_memory else made

        return make

    def _on_host(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda array: self._keep(function(array), is_pinned=False)

    def _keep(self, tensor: Tensor, is_pinned: bool) -> Tensor:
        self._host[_address(tensor)] = tensor, is_pinned
        return tensor

    def _to(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if any(map(self._is_there, (*args, *kwargs.values()))) and self.is_on_host(tensor):
                self.uploads.append(self.is_pinned(tensor))
                if not self.is_pinned(tensor):
                    self._wait()
                tensor = _copied(tensor)
            return function(tensor, *map(_on_cpu, args), **{name: _on_cpu(value) for name, value in kwargs.items()})

        return to

    def _is_there(self, value: object) -> bool:
        """If it is a device, or a tensor on one."""
        return _is_cuda(value) or (isinstance(value, Tensor) and not self.is_on_host(value))

    def _cpu(self, tensor: Tensor) -> Tensor:
        self.downloads.append(False)
        self._wait()
        return _copied(tensor)


class _Graph:
    """A CUDA graph: the operations on tensors of the thread that captures, run again on the very memory by `replay`."""

    def __init__(self, cuda: CudaStandIn) -> None:
        self._cuda = cuda
        self._recording = _Recording(self)
        self._problem: str | None = None

    def capture_begin(self, pool: object = None, capture_error_mode: str = "global") -> None:
        if self._cuda._capturing is not None:
            raise RuntimeError("stand-in: this thread is capturing already")
        self._cuda.open_captures.append(self)
        self._cuda._thread.capturing = self
        self._recording.__enter__()

    def capture_end(self) -> None:
        self._recording.__exit__(None, None, None)
        self._cuda._thread.capturing = None
        self._cuda.open_captures.remove(self)
        if self._problem:
            self._cuda.failed_captures += 1
            raise RuntimeError(f"stand-in: the capture failed earlier: {self._problem}")

    def refuse(self, problem: str) -> None:
        self._problem = problem
        raise RuntimeError(f"stand-in: operation not permitted when stream is capturing: {problem}")

    def record(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation and keep it for `replay`."""
        name = func.overloadpacket.__name__
        masks = any(isinstance(each, Tensor) and each.dtype == torch.bool for each in tree_leaves(args[1:]))
        if name in WAITS or (name in ("index", "index_put", "index_put_") and masks):
            self.refuse(name)
        self._cuda._launch(name)
        outputs = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, outputs))
        return outputs

    @property
    def operations(self) -> list[tuple[Any, Any, Any, Any]]:
        """(operation, arguments, keywords, outputs), in their order."""
        return self._recording.operations

    def replay(self) -> None:
        self._cuda._launch("replay")
        with torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, outputs in self.operations:
                again = tree_leaves(func(*args, **kwargs))
                for recorded, new in zip(tree_leaves(outputs), again, strict=True):
                    if isinstance(recorded, Tensor) and _address(recorded) != _address(new):  # else a view, or in place
                        recorded.copy_(new)

    def reset(self) -> None:
        self.operations.clear()

    def pool(self) -> tuple[int, int]:
        return (0, id(self))


class _Recording(TorchDispatchMode):
    def __init__(self, graph: _Graph) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self._graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._graph.record(func, args, kwargs or {})


class _Counting(TorchDispatchMode):
    def __init__(self, cuda: CudaStandIn) -> None:
        super().__init__()
        self._cuda = cuda

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        name, cuda = func.overloadpacket.__name__, self._cuda
        if func.is_view or name in ("_unsafe_view", "detach", "empty", "empty_like", "lift_fresh"):
            return outputs
        to_host, *from_host = [cuda.is_on_host(each) for each in (outputs, *args[:2]) if isinstance(each, Tensor)]
        if name == "copy_" and to_host != from_host[-1]:
            (cuda.downloads if to_host else cuda.uploads).append(cuda.is_pinned(args[0] if to_host else args[1]))
        else:
            cuda.kernels.append(name)
        return outputs


def _copied(tensor: Tensor) -> Tensor:
    with _disable_current_modes():
        return tensor.clone()


def _address(tensor: Tensor) -> int:
    """Where its memory begins, that of all of its views as well."""
    return tensor.untyped_storage().data_ptr()


def _is_cuda(value: object) -> bool:
    return (isinstance(value, torch.device) and value.type == "cuda") or (
        isinstance(value, str) and value.startswith("cuda")
    )


def _on_cpu(value: Any) -> Any:
    return torch.device("cpu") if _is_cuda(value) else value
