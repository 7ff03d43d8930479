"""The program as PyTorch runs it, operation by operation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from statistics import median

import torch
from torch import Tensor

from livecam.explain.engines.agreement import agreement
from livecam.explain.program import Answer, Program, Select

_ROUNDS = 3


class EagerEngine:
    """Needs nothing but the model; keeps it prepared between `open` and `close`."""

    def __init__(self, program: Program, device: torch.device) -> None:
        self.program = program
        self._device = device
        self._session: ExitStack | None = None

    def __call__(self, images: Tensor, select: Select | None = None) -> Answer:
        """Pictures (B, h, w, channels) uint8 on the CPU -> their answer there; `select` is as in `Program`."""
        return Answer(*(output.cpu() for output in self.program(images.to(self._device), select)))

    def open(self) -> None:
        """Prepare the model, unless it is."""
        if self._session is not None:
            return
        with ExitStack() as stack:
            stack.enter_context(self.program.prepared())
            self._session = stack.pop_all()

    def close(self) -> None:
        """Give the model back."""
        if self._session is not None:
            self._session.close()
            self._session = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The same as a block."""
        self.open()
        try:
            yield
        finally:
            self.close()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The model is given back inside the block, if it was prepared."""
        was_open = self._session is not None
        self.close()
        try:
            yield
        finally:
            if was_open:
                self.open()


def fastest(engines: Sequence[EagerEngine], reference: EagerEngine, images: Tensor) -> EagerEngine:
    """The quickest with these pictures, of those whose answer agrees with the reference's, which is where none does.

    All have to be closed.
    """
    with reference.opened():
        expected = reference(images)
    times: dict[EagerEngine, float] = {}
    for engine in engines:
        # A model that cannot be computed in a precision says so in many ways.
        with suppress(RuntimeError), engine.opened():
            if agreement([engine(images)], [expected]).suffices:
                times[engine] = median(_seconds(engine, images) for _ in range(_ROUNDS))
    return min(times, key=times.__getitem__, default=reference)


def _seconds(engine: EagerEngine, images: Tensor) -> float:
    begin = time.perf_counter()
    engine(images)
    return time.perf_counter() - begin
