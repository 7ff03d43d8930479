"""The eager engine: the program as PyTorch runs it, operation by operation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from livecam.explain.answer import Answer, Program, Select, joined
from livecam.models.problems import out_of_memory

log = logging.getLogger("livecam")


class EagerEngine:
    """Runs a program in PyTorch; the model stays prepared between `open` and `close`."""

    def __init__(self, program: Program, device: torch.device) -> None:
        self.program = program
        self._device = device
        self._largest_batch = 1 << 30
        self._session: ExitStack | None = None

    def __call__(self, images: Tensor, select: Select | None = None) -> Answer:
        """Explain pictures (B, h, w, channels) uint8 in one batch; returns CPU tensors. `select` as in `Program`."""
        return Answer(*(output.cpu() for output in self.program(images.to(self._device), select).tensors))

    def within_memory(self, images: Tensor) -> Answer:
        """Explain pictures in batches as large as fit into the GPU's memory.

        Raises ModelError if a single picture does not fit.
        """
        answers: list[Answer] = []
        begin = 0
        while begin < len(images):
            part = images[begin : begin + self._largest_batch]
            try:
                answers.append(self(part))
                begin += len(part)
            except torch.OutOfMemoryError as exc:
                if len(part) == 1:
                    raise out_of_memory(self._device) from exc
                self._largest_batch = len(part) // 2
                log.warning(
                    "the memory of %s is too small for a batch of %d: trying half of it", self._device, len(part)
                )
                torch.cuda.empty_cache()
        return joined(answers)

    def open(self) -> None:
        """Prepare the model unless it is prepared already."""
        if self._session is not None:
            return
        with ExitStack() as stack:
            stack.enter_context(self.program.prepared())
            self._session = stack.pop_all()

    def close(self) -> None:
        """Restore the model."""
        if self._session is not None:
            self._session.close()
            self._session = None

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Restore the model inside the block if it was prepared, and prepare it again afterwards."""
        was_open = self._session is not None
        self.close()
        try:
            yield
        finally:
            if was_open:
                self.open()
