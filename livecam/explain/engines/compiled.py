"""The program as compiled code."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from livecam.explain.engines import cache, runner
from livecam.explain.engines.cuda import CapturedProgram


class CompiledProgram:
    """Pictures (n, h, w, channels) uint8 on the CPU, of any number n -> what the program gives for them, there.

    It was compiled for the shape of `images` on this device. What is missing to a batch is made up, and left out of
    what comes back. Raises what C++ raises where the package is damaged.
    """

    def __init__(self, package: Path, images: Tensor, device: torch.device) -> None:
        self._batch = len(images)
        program = runner.program_class(cache.runner_library())(str(package))
        self._run = lambda batch: program.run([batch])
        if device.type == "cuda":
            self._run = CapturedProgram(self._run, images, device)

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        parts = [self._run(_filled_up(part, self._batch)) for part in images.split(self._batch)]  # type: ignore[no-untyped-call]
        outputs = parts[0] if len(parts) == 1 else [torch.cat(each) for each in zip(*parts, strict=True)]
        return tuple(output[: len(images)] for output in outputs)


def _filled_up(images: Tensor, batch: int) -> Tensor:
    missing = batch - len(images)
    return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
