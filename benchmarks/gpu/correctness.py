"""Are the maps right in every precision, and does each picture get its own?"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.gpu.common import FIXED_TARGET, SINGLE, Results, Settings, capture, graph_of, make_explainer, told
from livecam import Explainer
from livecam.bench.overhead import pictures
from livecam.explain.answer import Answer, agreement
from livecam.explain.device import usual_batch
from livecam.explain.methods import find_method


def agreements(settings: Settings) -> Results:
    """Compare each method in each precision, eager and captured, with eager float32 without TF32."""
    yield "model", settings.exact_model
    least: dict[str, float] = {}
    for method in settings.methods:
        model = settings.small_model if not find_method(method).is_traceable else settings.exact_model
        of_method = told(partial(_agreement, model, method, settings))
        yield method, of_method
        for name, each in of_method.items():
            if "cosine" in each:
                least[name] = min(each["cosine"], least.get(name, 1.0))
    yield "least_cosines", least
    yield "summary", "least cosines: " + ", ".join(f"{name} {cosine:.4f}" for name, cosine in least.items())


def _agreement(model: str, method: str, settings: Settings) -> dict[str, Any]:
    """Return `cosine` and `same_best` of one method, by engine and precision."""
    make = partial(make_explainer, model, settings, method=method, engine="eager")
    reference = make(precision=SINGLE)
    images = pictures(reference, 4)
    with _exact_convolutions():
        expected = reference.answer(images)
    found: dict[str, Any] = {}
    for precision in settings.precisions:
        explainer = make(precision=precision)
        works = {"eager": explainer.answer}
        if find_method(method).is_traceable:
            works["captured"] = partial(_captured_answer, explainer, precision)
        for engine, answer in works.items():
            found[f"{engine} {precision}"] = told(partial(_agreement_with, expected, answer, images))
    return found


def _captured_answer(explainer: Explainer, precision: str, images: Tensor) -> Answer:
    graph = graph_of(explainer, precision, images)
    return Answer(*capture(graph, precision, images, explainer.device)(images))


def _agreement_with(expected: Answer, answer: Callable[[Tensor], Answer], images: Tensor) -> dict[str, Any]:
    return agreement([answer(images)], [expected])._asdict()


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Disable TF32 for float32 convolutions inside the block."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before, convolutions.fp32_precision = convolutions.fp32_precision, "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def identity(settings: Settings) -> Results:
    """Check that no answer belongs to another picture while engines and precisions change. Raises RuntimeError."""
    batches = (1, usual_batch(torch.device(settings.device)))
    found = {}
    for batch in batches:
        found[f"batch {batch}"] = identity_of(settings.small_model, batch, settings, settings.seconds / len(batches))
        yield f"batch {batch}", found[f"batch {batch}"]
    yield "summary", "; ".join(f"{name}: {mistakes(run)}" for name, run in found.items())
    check(found.values())


def identity_of(model: str, batch: int, settings: Settings, seconds: float, precision: str = "auto") -> dict[str, Any]:
    """Explain numbered pictures in a random order by the engine "auto".

    `wrong` counts the `answers` that are nearer to the eager engine's answer for another picture. `closest_call` is the
    largest distance of an answer to its own reference, as a share of that to the nearest other one; `least_distance` is
    that between references. `engines` counts answers by engine and precision.
    """
    make = partial(make_explainer, model, settings, target=FIXED_TARGET)
    with make(engine="eager", precision=SINGLE) as reference:
        images = pictures(reference, settings.pictures)
        expected = torch.cat([_signature(reference.answer(image[None]), reference.task.classes) for image in images])
    order = torch.Generator().manual_seed(batch)
    engines: Counter[str] = Counter()
    wrong, closest_call = 0, 0.0
    before: tuple[Tensor, Answer] | None = None
    with make(precision=precision) as explainer:
        explainer.expect(math.inf, batch=batch)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or before is None:
            numbers = torch.randperm(len(images), generator=order)[:batch]
            answer = explainer.answer(images[numbers])
            engines[f"{explainer.engine} {explainer.precision}"] += len(numbers)
            if before is not None:  # checked only now: the next answer must leave it as it is
                misses, share = _mistaken(*before, expected, explainer.task.classes)
                wrong, closest_call = wrong + misses, max(closest_call, share)
            before = numbers, answer
    return {
        "answers": engines.total(),
        "wrong": wrong,
        "closest_call": closest_call,
        "least_distance": float(torch.pdist(expected).min()),
        "engines": dict(engines),
    }


def mistakes(run: dict[str, Any]) -> str:
    """Describe the result of `identity_of` in words."""
    return f"{run['wrong']} of {run['answers']} answers are another picture's, by {', '.join(run['engines'])}"


def check(identities: Iterable[dict[str, Any]]) -> None:
    """Raise RuntimeError if the result of `identity_of` contains a wrong answer."""
    for run in identities:
        if run["wrong"]:
            raise RuntimeError(mistakes(run))


def _mistaken(numbers: Tensor, answer: Answer, expected: Tensor, classes: int) -> tuple[int, float]:
    """Return how many answers are nearer to another picture's reference, and the largest ratio of both distances."""
    distances = torch.cdist(_signature(answer, classes), expected)
    own = distances.gather(1, numbers[:, None])
    others = distances.scatter(1, numbers[:, None], math.inf).amin(dim=1, keepdim=True)
    shares = (own / others).nan_to_num(math.inf)
    return int((shares >= 1).sum()), float(shares.max())


def _signature(answer: Answer, classes: int) -> Tensor:
    """(B, features): the maps at length 1, and the scores of the best classes."""
    maps = functional.normalize(answer.maps.flatten(1), dim=1)
    scores = answer.best_scores.new_zeros(len(maps), classes).scatter(1, answer.best, answer.best_scores)
    return torch.cat([maps, scores], dim=1)
