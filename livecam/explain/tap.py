"""Taps, which record the output of a module's layer; afterwards the module is restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from livecam.errors import ModelError


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode without parameter gradients inside the block; restore it afterwards.

    Recurrent layers run without cuDNN meanwhile, because it refuses their backward pass in evaluation mode.
    """
    training = [(child, child.training) for child in module.modules()]
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    module.eval()
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        with ExitStack() as stack:
            for child, _ in training:
                if isinstance(child, nn.RNNBase):
                    stack.enter_context(_without_cudnn(child))
            yield
    finally:
        for child, flag in training:
            child.training = flag
        for parameter in trainable:
            parameter.requires_grad_(True)


@contextmanager
def _without_cudnn(layer: nn.RNNBase) -> Iterator[None]:
    """Switch cuDNN off during calls of this layer only, since convolutions are far slower without it."""
    before: list[bool] = []

    def switch_off(layer: nn.Module, inputs: object) -> None:
        before.append(torch.backends.cudnn.enabled)
        torch.backends.cudnn.enabled = False

    def restore(layer: nn.Module, inputs: object, outputs: object) -> None:
        torch.backends.cudnn.enabled = before.pop()

    handles = [
        layer.register_forward_pre_hook(switch_off),
        layer.register_forward_hook(restore, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def held_in(module: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Convert weights and buffers to this dtype inside the block; afterwards put the original tensors back."""
    tensors = [*module.parameters(), *module.buffers()]
    kept = [(each, each.data) for each in tensors if each.is_floating_point() and each.dtype != dtype]
    try:
        for tensor, data in kept:
            tensor.data = data.to(dtype)
        yield
    finally:
        for tensor, data in kept:
            tensor.data = data


def no_part(layers: str) -> ModelError:
    """Return the error for layers that a network whose way depends on the picture does without."""
    return ModelError(
        f"layer {layers} has no part in the scores of this picture, as the network takes another way for it; "
        "explain one that always has, with --layer"
    )


class Tap:
    """Records the output of one layer, and cuts the autograd tape there: a backward pass ends at the layer.

    The layer's output is copied into a buffer that is reused by every call. A leaf tensor over that buffer starts a new
    tape, and the network continues with a clone of the leaf: PyTorch forbids in-place operations on a leaf, such as a
    ReLU right behind the layer, and they would overwrite the activation that the map needs. An output that is on the
    tape already, because it comes after another tapped layer, stays there.

    A layer that the network runs several times for an input is tapped at one `call`, counted from 0. Its `name` is for
    messages.
    """

    def __init__(self, name: str, call: int = 0) -> None:
        self._name, self._call = name, call
        self._seen = 0
        self._buffer: Tensor | None = None
        self._point: Tensor | None = None
        self._substitute: Tensor | None = None

    @contextmanager
    def attached(self, layer: nn.Module, model: nn.Module) -> Iterator[None]:
        """Hook into `layer`, a part of `model`, inside the block."""
        # Calls are counted from the beginning of each run: one that failed half-way leaves the count where it was.
        handles = [model.register_forward_pre_hook(self._begin), layer.register_forward_hook(self._hook)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._point = None

    @contextmanager
    def substituting(self, output: Tensor) -> Iterator[None]:
        """Replace the layer's output by this one inside the block."""
        self._substitute = output
        try:
            yield
        finally:
            self._substitute = None

    @property
    def point(self) -> Tensor:
        """The output of the tapped call, in the layer's own layout; gradients can be taken with respect to it.

        Raises ModelError if the last run of the model did without the layer.
        """
        if self._point is None:
            raise no_part(self._name)
        return self._point

    def _begin(self, model: nn.Module, inputs: tuple[object, ...]) -> None:
        self._seen, self._point = 0, None

    def _hook(self, layer: nn.Module, inputs: tuple[object, ...], output: Tensor) -> Tensor | None:
        call, self._seen = self._seen, self._seen + 1
        if call != self._call:
            return None
        if self._substitute is not None:
            return self._substitute
        if output.requires_grad:
            self._point = output
        else:
            buffer = self._buffer_for(output)
            buffer.copy_(output.detach())
            self._point = buffer.detach().requires_grad_()
        return self._point.clone()

    def _buffer_for(self, output: Tensor) -> Tensor:
        """Return a buffer for an output: part of the existing one, or a new one if that is too small or unsuitable."""
        kept = self._buffer
        if (
            kept is None
            or len(kept) < len(output)
            or (kept.shape[1:], kept.dtype, kept.device) != (output.shape[1:], output.dtype, output.device)
        ):
            kept = self._buffer = torch.empty_like(output)
        return kept[: len(output)]
