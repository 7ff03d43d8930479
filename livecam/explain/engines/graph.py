"""The traced program: plain tensor operations, without hooks, autograd, or the model's Python code."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode

from livecam.errors import ModelError
from livecam.explain.answer import Program
from livecam.explain.engines import averages


@dataclass(frozen=True)
class Graph:
    """A traced program, which can run in the precision of the trace and in float32.

    Attributes:
        module: The program as a module: a function of pictures of one shape, and of its further `inputs`.
        weights: The names of the attributes of `module` that hold the model's weights, in the model's own precision.
        dtype: The precision that it was traced in.
        inputs: The further inputs that it was traced with, as examples of their shapes and dtypes.
    """

    module: GraphModule
    weights: tuple[str, ...]
    dtype: torch.dtype
    inputs: tuple[Tensor, ...] = ()

    def digest(self) -> bytes:
        """Return the SHA-256 of the operations, the weights, and the shapes and dtypes of the further inputs."""
        digest = hashlib.sha256(self.module.code.encode())
        digest.update("".join(f"{each.dtype} {tuple(each.shape)}" for each in self.inputs).encode())
        for name in self._attributes:
            tensor = getattr(self.module, name).detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy())
        return digest.digest()

    def in_precision(self, dtype: torch.dtype) -> GraphModule:
        """Return the graph in float32 or in the precision of the trace; weights in another precision are copied.

        Every cast is an explicit operation in the trace, so replacing its dtype by float32 is enough.
        """
        attributes = {name: getattr(self.module, name) for name in self._attributes}
        for name in self.weights:
            if attributes[name].is_floating_point():
                cast = attributes[name].detach().to(dtype)
                # Parameters must stay parameters: when TorchInductor freezes buffers, it confuses some with others.
                is_parameter = isinstance(attributes[name], nn.Parameter)
                attributes[name] = nn.Parameter(cast, requires_grad=False) if is_parameter else cast
        graph = copy.deepcopy(self.module.graph)
        for node in graph.nodes:
            node.args, node.kwargs = (_renamed(each, self.dtype, dtype) for each in (node.args, node.kwargs))
        return GraphModule(attributes, graph)

    @property
    def _attributes(self) -> list[str]:
        return sorted({str(node.target) for node in self.module.graph.nodes if node.op == "get_attr"})


def trace(program: Program, model: nn.Module, images: Tensor) -> Graph:
    """Record the operations of a program on pictures of this shape.

    No other hooks may be attached to the model meanwhile. Any exception that the model raises while it is traced is
    passed on.
    """
    # Without one mode for the whole trace, one is made for every operation, which doubles the time.
    shared = TracingContext(FakeTensorMode(allow_fallback_kernels=True))
    with program.prepared(), tracing(shared), _NoNumbers():
        # The program reads its further inputs itself: the trace knows them as these very tensors.
        inputs = program.inputs
        module = make_fx(lambda pictures, *_: program(pictures).tensors, tracing_mode="real")(images, *inputs)
    averages.rewrite(module.graph)
    module.recompile()
    own = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    graph = Graph(module, (), program.dtype, inputs)
    weights = tuple(name for name in graph._attributes if id(getattr(module, name)) in own)
    for name in weights:
        # Tensors of their own over the same memory: the model's may be held in another precision by an eager engine.
        weight = getattr(module, name)
        is_parameter = isinstance(weight, nn.Parameter)
        setattr(module, name, nn.Parameter(weight.detach(), requires_grad=False) if is_parameter else weight.detach())
    return dataclasses.replace(graph, weights=weights)


class _NoNumbers(TorchFunctionMode):
    """Refuses to hand out numbers, which a trace would hold as they are for the pictures that it is made with.

    PyTorch itself refuses `item`, and so `if` and `float`.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, unless it returns numbers."""
        if function in (Tensor.numpy, Tensor.tolist, Tensor.__array__):
            raise ModelError("the model reads numbers from tensors, which may differ for other pictures")
        return function(*args, **(kwargs or {}))


class Weights:
    """Detects if weights of a model were changed in place or replaced.

    Changes through `.data` are not seen: PyTorch does not count them.
    """

    def __init__(self, model: nn.Module) -> None:
        # Kept, because walking through a small model takes a tenth of the time that it needs to explain a picture.
        self._modules = list(model.modules())
        self._parts = [each._modules for each in self._modules if each._modules]
        self._owners = [owner for each in self._modules for owner in (each._parameters, each._buffers) if owner]
        self._held = [weight for owner in self._owners for weight in owner.values()]  # so that ids stay unique
        self._before = self._state()

    def have_changed(self) -> bool:
        """Return True if a weight or a module was changed or replaced since this object was made."""
        return self._state() != self._before

    def _state(self) -> list[int]:
        weights = [weight for owner in self._owners for weight in owner.values() if weight is not None]
        parts = [id(part) for parts in self._parts for part in parts.values()]
        return [*map(id, weights), *(weight._version for weight in weights), *parts]


def _renamed(arguments: Any, old: torch.dtype, new: torch.dtype) -> Any:
    return map_aggregate(arguments, lambda each: new if each is old else each)
