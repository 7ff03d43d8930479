"""Checks of the hardware and runtimes that models run on: processor, GPUs, compilers and their cache."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from livecam.doctor import Check
from livecam.errors import ModelError
from livecam.explain.device import find_device, likely_fast
from livecam.explain.engines import cache, cuda
from livecam.explain.engines.openvino import HINTS, openvino
from livecam.system.machine import gpu, nvidia_gpus, processor


def compute() -> Iterator[Check]:
    """Check processor and GPUs, the device that `--device auto` chooses, and what `--engine compiled` needs."""
    bf16 = "bf16 instructions" if "bf16" in likely_fast(torch.device("cpu")) else "no bf16 instructions"
    yield Check.ok("cpu", f"{processor()}, {os.cpu_count()} cores, {bf16}")
    yield _cuda()
    if torch.backends.mps.is_available():
        yield Check.ok("mps", "Apple GPU, fp32 fp16")
    else:
        yield Check.absent("mps", "no Apple GPU")
    chosen = find_device("auto", "shapes")
    try:
        find_device(str(chosen), "shapes")  # runs a small computation on it
    except ModelError as exc:
        yield Check.of_message("chosen", str(exc))
    else:
        yield Check.ok("chosen", f"{chosen}, the choice of --device auto")
    yield _openvino()
    if torch.cuda.is_available():
        yield _toolkit()
    yield _cache()


def _cuda() -> Check:
    if torch.cuda.is_available():
        return Check.ok("cuda", _gpu_line())
    known = nvidia_gpus()
    if not known:
        return Check.absent("cuda", "no NVIDIA GPU")
    built_for = torch.version.cuda
    advice = (
        f"update the NVIDIA driver: torch {torch.__version__} needs one for CUDA {built_for}"
        if built_for
        else "install a torch built for CUDA, see https://pytorch.org/get-started"
    )
    return Check.problem("cuda", f"{', '.join(known)}, but torch cannot use it", advice)


def _gpu_line() -> str:
    facts = gpu() or {}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    precisions = ["fp32", "fp16", *(["bf16"] if torch.cuda.is_bf16_supported(including_emulation=False) else [])]
    return ", ".join(
        [
            f"{facts['name']}, {properties.total_memory / 2**30:.0f} GiB",
            *([f"driver {facts['driver_version']}"] if facts["driver_version"] else []),
            f"capability {properties.major}.{properties.minor}, {' '.join(precisions)}",
        ]
    )


def _openvino() -> Check:
    """Check OpenVINO, the compiler for the processor, by adding two numbers."""
    if importlib.util.find_spec("openvino") is None:
        return Check.problem("openvino", "not installed: PyTorch explains, slower", "pip install openvino")
    try:
        core, operations = openvino().Core(), openvino().opset13
        two = operations.constant([1.0, 1.0], dtype="float32")
        (three,) = core.compile_model(openvino().Model([operations.add(two, two)], []), "CPU")([]).values()
        assert list(three) == [2.0, 2.0]
        known = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception as exc:  # any error of a runtime on a processor that it does not support
        return Check.problem("openvino", f"cannot compute ({exc})", "pip install --force-reinstall openvino")
    fast = [name for name in HINTS if name.upper() in known]
    return Check.ok("openvino", f"{openvino().__version__.split('-')[0]}, fast in {' '.join(fast)}")


def _toolkit() -> Check:
    """Check for the CUDA headers, which compiling for a GPU needs."""
    if (home := cuda.toolkit()) is None:
        return Check.problem("toolkit", "no cuda.h: CUDA graphs, uncompiled", "pip install nvidia-cuda-runtime")
    return Check.ok("toolkit", f"{home}")


def _cache() -> Check:
    folder = cache.folder()
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as exc:
        advice = f"check the permissions of {there} or set LIVECAM_CACHE"
        return Check.problem("cache", f"{folder} is not writable ({exc.strerror})", advice)
    return Check.ok("cache", f"{folder}, {_bytes_in(folder) / 1e9:.1f} GB, writable")


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
