"""The program as compiled code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from livecam.explain.engines import cache, runner
from livecam.explain.engines.cuda import CapturedProgram


class InBatches:
    """A program for exactly `batch` pictures, for any number of them.

    What is missing to a batch is made up, and left out of what comes back.
    """

    def __init__(self, program: Callable[[Tensor], Sequence[Tensor]], batch: int) -> None:
        self._program = program
        self._batch = batch

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pictures (n, h, w, channels) uint8 -> what the program gives for them, on the CPU."""
        parts = images.split(self._batch)  # type: ignore[no-untyped-call]
        # Compiled code takes for granted that pictures lie as those did that it was compiled with.
        answers = [self._program(_filled_up(part, self._batch).contiguous()) for part in parts]
        outputs = answers[0] if len(answers) == 1 else [torch.cat(each) for each in zip(*answers, strict=True)]
        return tuple(output[: len(images)] for output in outputs)


class CompiledProgram(InBatches):
    """A package, compiled for the shape of `images` on this device. Raises what C++ raises where it is damaged."""

    def __init__(self, package: Path, images: Tensor, device: torch.device) -> None:
        loaded = runner.program_class(cache.runner_library())(str(package))

        def run(batch: Tensor) -> Sequence[Tensor]:
            return loaded.run([batch])

        is_cuda = device.type == "cuda"
        super().__init__(CapturedProgram(run, images, device) if is_cuda else run, len(images))


def _filled_up(images: Tensor, batch: int) -> Tensor:
    missing = batch - len(images)
    return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
