"""What an explainer's program gives once it is converted for OpenVINO, without a process that builds it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from livecam import Explainer
from livecam.explain.answer import Answer
from livecam.explain.engines.graph import trace
from livecam.explain.engines.openvino import OpenVINOProgram, openvino, to_openvino
from tests.support.tiny import program_of


def in_openvino(explainer: Explainer, images: Tensor, folder: Path) -> Answer:
    """Return the answer to pictures of the program that is converted for others of their shape, in a file of a folder.

    Args:
        explainer: The explainer.
        images: The pictures, (B, h, w, channels) uint8.
        folder: The folder.
    """
    other = torch.flip(images, [1]).contiguous()
    graph = trace(program_of(explainer), explainer.classifier.module, other)
    model = to_openvino(graph.in_precision(torch.float32), other, *graph.inputs)
    openvino().save_model(model, folder / "model.xml", False)
    return Answer(*OpenVINOProgram(folder / "model.xml", "fp32")(images, *graph.inputs))
