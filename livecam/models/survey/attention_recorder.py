"""Recording where a model computes attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from livecam.models.attention import AttentionMode
from livecam.models.survey.attention import AttentionCall, Frame


class _Recorder(AttentionMode):
    """Calls `see(shape)` for every attention, whose weights it does not need."""

    def __init__(self, see: Callable[[tuple[int, ...]], None]) -> None:
        super().__init__()
        self._see = see

    def wants(self, shape: tuple[int, ...]) -> bool:
        self._see(shape)
        return False

    def replaced(self, weights: Tensor) -> Tensor:
        return weights


@contextmanager
def attention_calls(model: nn.Module) -> Iterator[list[AttentionCall]]:
    """Yield a list to which a run of the model on one picture inside the block adds its computations of attention."""
    found: list[AttentionCall] = []
    within: list[Frame] = []
    counts: Counter[str] = Counter()

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object) -> None:
            within.append((name, counts[name]))
            counts[name] += 1

        return hook

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        within.pop()

    def see(shape: tuple[int, ...]) -> None:
        found.append(AttentionCall(tuple(within), shape if len(shape) == 4 else (1, *shape)))

    modules = [
        (name, child) for name, child in model.named_modules() if name and not isinstance(child, torch.jit.ScriptModule)
    ]
    handles = [child.register_forward_pre_hook(enter(name)) for name, child in modules]
    handles += [child.register_forward_hook(leave) for _, child in modules]
    try:
        with _Recorder(see):
            yield found
    finally:
        for handle in handles:
            handle.remove()
