"""The program as compiled code."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from livecam.explain.engines import cache, runner


class CompiledProgram:
    """Pictures (n, h, w, channels) uint8, of any number n -> what the program gives for them.

    It is compiled for `batch` pictures at a time; what is missing to that is made up and left out of what comes back.
    Raises what C++ raises where the package is damaged.
    """

    def __init__(self, package: Path, batch: int) -> None:
        self.batch = batch
        self._program = runner.load(cache.runner_library())(str(package))

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        parts = [self._program.run([_filled_up(part, self.batch)]) for part in torch.split(images, self.batch)]
        outputs = parts[0] if len(parts) == 1 else [torch.cat(each) for each in zip(*parts, strict=True)]
        return tuple(output[: len(images)] for output in outputs)


def _filled_up(images: Tensor, batch: int) -> Tensor:
    missing = batch - len(images)
    return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
