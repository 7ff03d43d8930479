"""The program as PyTorch runs it, operation by operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from livecam.explain.program import Answer, Program, Select


class EagerEngine:
    """Needs nothing but the model; keeps it prepared between `open` and `close`."""

    def __init__(self, program: Program, device: torch.device) -> None:
        self.program = program
        self._device = device
        self._session: ExitStack | None = None

    def __call__(self, images: Tensor, select: Select | None = None) -> Answer:
        """Pictures (B, h, w, channels) uint8 -> their answer, on the CPU; `select` is as in `Program`."""
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
    def suspended(self) -> Iterator[None]:
        """The model is given back inside the block, if it was prepared."""
        was_open = self._session is not None
        self.close()
        try:
            yield
        finally:
            if was_open:
                self.open()
