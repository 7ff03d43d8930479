"""The eager engine: the program as PyTorch runs it, operation by operation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.explain.answer import Answer, Program, Select

log = logging.getLogger("livecam")


class EagerEngine:
    """Runs a program with nothing but the model, which it keeps prepared between `open` and `close`."""

    def __init__(self, program: Program, device: torch.device) -> None:
        self.program = program
        self._device = device
        self._largest_batch = 1 << 30
        self._session: ExitStack | None = None

    def __call__(self, images: Tensor, select: Select | None = None) -> Answer:
        """Explain pictures (B, h, w, channels) uint8 in one go; the answer is on the CPU. `select` as in `Program`."""
        return Answer(*(output.cpu() for output in self.program(images.to(self._device), select)))

    def within_memory(self, images: Tensor) -> Answer:
        """Explain pictures in as large batches as the GPU's memory holds.

        Raises ModelError where it does not hold one picture.
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
                    raise ModelError(
                        f"the memory of {self._device} is too small for this model, or others use it; "
                        "end those, take a smaller model, or --device cpu"
                    ) from exc
                self._largest_batch = len(part) // 2
                log.warning("the memory of %s holds no batch of %d: half of it", self._device, len(part))
                torch.cuda.empty_cache()
        return answers[0] if len(answers) == 1 else Answer(*map(torch.cat, zip(*answers, strict=True)))

    def open(self) -> None:
        """Prepare the model, unless it is prepared."""
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
