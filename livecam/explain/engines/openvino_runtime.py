"""The program in OpenVINO, which computes it on CPUs."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.system import cores

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""What OpenVINO calls the precisions that it computes in."""


@functools.cache
def openvino() -> Any:
    """The package `openvino`, imported so that it sends nothing anywhere. Raises ImportError where it is not installed.

    On import it would report to its makers by `openvino_telemetry`, which is marked as missing for the whole process.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def _core() -> Any:
    return openvino().Core()


class OpenVINOProgram:
    """A converted program, in one precision. The interpreter lock is free while it computes.

    `model` is the path of OpenVINO's .xml, with its .bin beside it. Not for use by several threads at once. Raises
    RuntimeError where it is damaged, and ModelError where this processor does not compute in the precision.
    """

    def __init__(self, model: Path, precision: str) -> None:
        hint = HINTS[precision]
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": cores.inference_threads(),
        }
        compiled = _core().compile_model(str(model), "CPU", settings)
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != hint:
            raise ModelError(f"this processor does not compute in {precision}")
        self._request = compiled.create_infer_request()

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pictures (batch, h, w, channels) uint8 on the CPU, contiguous -> what the program gives for them, there."""
        outputs = self._request.infer([images.numpy()], share_inputs=True, share_outputs=True)
        return tuple(torch.from_numpy(np.array(output)) for output in outputs.values())
