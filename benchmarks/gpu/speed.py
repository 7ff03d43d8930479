"""The cost of an explanation compared with a prediction, by engine."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.gpu.common import (
    FIXED_TARGET,
    HALF,
    SINGLE,
    Results,
    Settings,
    capture,
    graph_of,
    make_explainer,
    settled,
    told,
)
from benchmarks.gpu.correctness import check, identity_of, mistakes
from livecam import Explainer
from livecam.bench.overhead import pictures
from livecam.bench.timing import interleaved
from livecam.explain.device import DTYPES
from livecam.explain.engines.cuda import CapturedProgram
from livecam.explain.program import Normalisation
from livecam.ledger import percentiles
from livecam.models import Classifier

SHOWN = 5
"""How many of the best classes a plain prediction gives."""

Work = Callable[[], object]


def speed(settings: Settings) -> Results:
    """Time prediction and explanation of each model and batch, from host memory to host memory."""
    summaries = []
    for model in settings.models:
        for batch in settings.batches:
            of_batch = told(partial(_speed, model, batch, settings))
            yield f"{model}, batch {batch}", of_batch
            if batch == settings.batches[0] and "ratio" in of_batch:
                time_ms = of_batch["times_ms"][f"explanation captured {HALF}"]["p50"]
                summaries.append(f"{model} {time_ms:.2f} ms ({of_batch['ratio'][f'captured {HALF}']:.2f} x)")
    yield "summary", f"captured {HALF}, batch {settings.batches[0]}: " + ", ".join(summaries)


def _speed(model: str, batch: int, settings: Settings) -> dict[str, Any]:
    device = torch.device(settings.device)
    with ExitStack() as stack:
        chosen = settled(model, batch, settings)
        eager = make_explainer(model, settings, engine="eager", precision=SINGLE)
        images = pictures(eager, batch)
        graph = graph_of(eager, HALF, images)
        plain = {precision: plain_prediction(eager.classifier, precision, device) for precision in (SINGLE, HALF)}
        by_auto = f"explanation auto: {chosen.engine} {chosen.precision}"
        works: dict[str, Work] = {
            f"prediction eager {SINGLE}": partial(_from_host_to_host, plain[SINGLE], images, device),
            f"explanation eager {SINGLE}": partial(stack.enter_context(eager).answer, images),
            by_auto: partial(stack.enter_context(chosen).answer, images),
        }
        for precision, predict in plain.items():
            prediction = CapturedProgram(predict, images.to(device), device)
            works[f"prediction captured {precision}"] = partial(prediction, images)
            works[f"explanation captured {precision}"] = partial(capture(graph, precision, images, device), images)
        if peer := _peer(eager, images):
            works[f"pytorch-grad-cam {SINGLE}"] = peer
        return _timed(works, settings.rounds)


def compilation(settings: Settings) -> Results:
    """Compile one model with an empty cache: the log, the duration, and the speed afterwards."""
    model = settings.models[0]
    with TemporaryDirectory() as cache, patch.dict(os.environ, LIVECAM_CACHE=cache), _log_lines() as lines:
        begin = time.perf_counter()
        explainer = make_explainer(model, settings, engine="compiled", precision=HALF, target=FIXED_TARGET)
        images = pictures(explainer, 1)
        with explainer:
            explainer.expect(None, batch=1)
            explainer.answer(images)
            yield "first_answer_seconds", round(time.perf_counter() - begin, 2)
            explainer.settle()
            settled_seconds = round(time.perf_counter() - begin, 2)
            yield "settled_seconds", settled_seconds
            yield "log", lines
            yield "report", explainer.report()
            if explainer.engine == "compiled":
                yield "speed", told(partial(_speed_beside_captured, explainer, images, settings))
        said = f"{model}: {explainer.engine} {explainer.precision} after {settled_seconds:.0f} s"
        yield "summary", said
        identity = identity_of(model, 1, settings, settings.seconds / 2, HALF)  # which finds what was compiled
        yield "identity", identity
        yield "summary", f"{said}; {mistakes(identity)}"
        check([identity])


def _speed_beside_captured(explainer: Explainer, images: Tensor, settings: Settings) -> dict[str, Any]:
    """The compiled explanation, and in the same precision the captured one and the captured prediction."""
    device, precision = explainer.device, explainer.precision
    eager = make_explainer(explainer.classifier.name, settings, engine="eager", precision=precision)
    predict = plain_prediction(eager.classifier, precision, device)
    captured = capture(graph_of(eager, precision, images), precision, images, device)
    works: dict[str, Work] = {
        f"explanation compiled {precision}": partial(explainer.answer, images),
        f"explanation captured {precision}": partial(captured, images),
        f"prediction captured {precision}": partial(CapturedProgram(predict, images.to(device), device), images),
    }
    return _timed(works, settings.rounds)


def anchor(settings: Settings) -> Results:
    """Time the plain prediction by torch.compile, along with the captured prediction and explanation."""
    model, device, summaries = settings.models[0], torch.device(settings.device), []
    for batch in settings.batches[:2]:
        explainer = make_explainer(model, settings, engine="eager", precision=HALF)
        images = pictures(explainer, batch)
        predict = plain_prediction(explainer.classifier, HALF, device)
        compiled = torch.compile(predict, dynamic=False, mode="reduce-overhead", backend=settings.backend)
        by_torch = partial(_from_host_to_host, compiled, images, device)
        begin = time.perf_counter()
        by_torch()
        seconds = round(time.perf_counter() - begin, 2)
        captured = capture(graph_of(explainer, HALF, images), HALF, images, device)
        works: dict[str, Work] = {
            f"prediction torch.compile {HALF}": by_torch,
            f"prediction captured {HALF}": partial(CapturedProgram(predict, images.to(device), device), images),
            f"explanation captured {HALF}": partial(captured, images),
        }
        timed = _timed(works, settings.rounds)
        yield f"{model}, batch {batch}", {"first_call_seconds": seconds, **timed}
        summaries.append(f"batch {batch} {timed['times_ms'][f'prediction torch.compile {HALF}']['p50']:.2f} ms")
    yield "summary", f"{model} by torch.compile: {', '.join(summaries)}"


def plain_prediction(
    classifier: Classifier, precision: str, device: torch.device
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The model alone: pictures (B, h, w, channels) uint8 on the device to scores and classes of the best, there."""
    dtype = DTYPES[precision]
    module = copy.deepcopy(classifier.module).eval().to(device, dtype)
    normalisation = Normalisation(classifier.preprocessing, device, dtype)

    def predict(images: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            logits = module(normalisation(images)).float()
            scores = logits.sigmoid() if classifier.scores == "sigmoid" else logits.softmax(dim=1)
            return tuple(scores.topk(min(SHOWN, scores.shape[1]), dim=1))

    return predict


def _from_host_to_host(
    program: Callable[[Tensor], tuple[Tensor, ...]], images: Tensor, device: torch.device
) -> tuple[Tensor, ...]:
    return tuple(output.cpu() for output in program(images.to(device)))


def _peer(explainer: Explainer, images: Tensor) -> Work | None:
    """pytorch-grad-cam's GradCAM at the same layer of the same model; None where it cannot be imported."""
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.reshape_transforms import vit_reshape_transform
    except ImportError:
        return None
    device, layer = explainer.device, explainer.layer
    module = copy.deepcopy(explainer.classifier.module).eval()
    reshape = vit_reshape_transform if layer.startswith("encoder.") else None
    cam = GradCAM(module, [module.get_submodule(layer)], reshape_transform=reshape)
    normalisation = Normalisation(explainer.classifier.preprocessing, device, DTYPES[SINGLE])
    return lambda: cam(normalisation(images.to(device)), targets=None)


def event_ms(work: Work) -> float:
    """Call a function once and return how many milliseconds it took by the GPU's own clock."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def _timed(works: dict[str, Work], rounds: int) -> dict[str, Any]:
    """`times_ms` of each work, and each explanation's `ratio` to the prediction by the same engine and precision."""
    times = interleaved(works, rounds, event_ms)
    explanations = {name: name.removeprefix("explanation ").removeprefix("auto: ") for name in times}
    return {
        "times_ms": {name: percentiles(each) for name, each in times.items()},
        "ratio": {
            name.removeprefix("explanation "): round(median(times[name]) / median(times[f"prediction {how}"]), 3)
            for name, how in explanations.items()
            if name.startswith("explanation ") and f"prediction {how}" in times
        },
    }


@contextmanager
def _log_lines() -> Iterator[list[str]]:
    """Collect livecam's log inside the block, including details, with the seconds since its beginning."""
    lines: list[str] = []
    begin = time.perf_counter()

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{time.perf_counter() - begin:.1f} s, {record.levelname.lower()}: {self.format(record)}")
            print(lines[-1], flush=True)

    log, handler = logging.getLogger("livecam"), Lines()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
