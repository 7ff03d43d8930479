"""The overhead: the time of an explanation compared with that of a prediction, by engine and precision.

The time runs from uint8 input on the CPU to maps and scores on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from livecam.bench.timing import interleaved
from livecam.errors import ModelError
from livecam.explain.answer import LEAST_COSINE, agreement
from livecam.explain.device import likely_fast
from livecam.explain.engines.compilation import first_line
from livecam.explain.explainer import Explainer
from livecam.explain.preprocess import Preprocessor
from livecam.ledger import percentiles
from livecam.picture.frame import Frame
from livecam.scene import Scene

_FPS = 15  # of a clip
TIMED = "uint8 input on the CPU to maps and scores on the CPU"


class Variant(NamedTuple):
    """An engine and a precision as `Explainer` takes them; neither is "auto"."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


MakeExplainer = Callable[[Variant], Explainer]
Made = TypeVar("Made", bound=Explainer)

REFERENCE = Variant("eager", "fp32")


def variants(device: torch.device, engine: str = "auto", precision: str = "auto") -> list[Variant]:
    """Return the variants that make sense on a device; "auto" stands for all engines or all precisions."""
    engines = ("eager", "compiled") if engine == "auto" else (engine,)
    precisions = sorted(likely_fast(device), reverse=True) if precision == "auto" else (precision,)
    return [Variant(engine, precision) for engine in engines for precision in precisions]


def warm(make: Callable[[], Made], batch: int) -> Made:
    """Make an explainer and wait until it has chosen its engine and precision and nothing is being compiled."""
    explainer = make()
    explainer.expect(None, batch=batch)
    explainer.answer(pictures(explainer, batch))
    explainer.settle()
    return explainer


def measure_overhead(
    make: MakeExplainer,
    wanted: Sequence[Variant],
    batch: int,
    rounds: int,
    on_step: Callable[[str], None] = lambda step: None,
    beside: Mapping[str, Callable[[], object]] | None = None,
) -> list[dict[str, Any]]:
    """Measure variants in the same interleaved rounds.

    Args:
        make: Called with a variant; returns an explainer for it.
        wanted: The variants. Those that cannot run the model on this machine are left out.
        batch: How many pictures are explained at once.
        rounds: How often each is timed.
        on_step: Called with a line of text before each step, since compiling takes long.
        beside: Functions by name, timed in the same rounds.

    Returns:
        A row of plain data for each variant: its times, their ratio, how similar its maps are to those of the eager
        engine in fp32, and under `beside_ms` the times of the functions.

    Raises:
        ModelError: None of the variants works on this machine.
    """
    with ExitStack() as stack:
        prepared: dict[Variant, tuple[Explainer, float]] = {}
        for variant in wanted:
            on_step(f"preparing {variant}, batch {batch}")
            begin = time.perf_counter()
            try:
                explainer = stack.enter_context(warm(partial(make, variant), batch))
                explainer.predict(pictures(explainer, batch))
            except (RuntimeError, NotImplementedError, ModelError) as exc:  # the model does not run in this precision
                if isinstance(exc, ModelError) and not isinstance(exc.__cause__, RuntimeError):
                    raise
                on_step(f"{variant} is left out: {first_line(exc)}")
                continue
            if (explainer.engine == "eager") == (variant.engine == "eager"):
                prepared[variant] = explainer, time.perf_counter() - begin
        if not prepared:
            raise ModelError(
                f"this model cannot be explained here by {' or '.join(map(str, wanted))}; leave it to auto"
            )
        explainers = {variant: explainer for variant, (explainer, _) in prepared.items()}
        images = pictures(next(iter(explainers.values())), batch)
        reference = explainers.get(REFERENCE) or stack.enter_context(make(REFERENCE))
        expected = reference.answer(images)
        cosines = {
            variant: agreement([explainer.answer(images)], [expected]).cosine
            for variant, explainer in explainers.items()
        }
        on_step(f"measuring, batch {batch}")
        beside = beside or {}
        times_ms = interleaved({**_works(explainers, images), **beside}, rounds)
        beside_ms = {name: percentiles(times_ms[name]) for name in beside}
        return [
            {**_row(variant, times_ms), "batch": batch, "cosine": cosines[variant], "ready_seconds": round(seconds, 2)}
            | ({"beside_ms": beside_ms} if beside else {})
            for variant, (_, seconds) in prepared.items()
        ]


def fastest(rows: Sequence[dict[str, Any]]) -> Variant:
    """Return the fastest variant among those whose maps agree with the model's own, or among all if none agrees."""
    same = [row for row in rows if row["cosine"] >= LEAST_COSINE] or rows
    best = min(same, key=lambda row: float(row["explanation_ms"]["p50"]))
    return Variant(best["engine"], best["precision"])


def pictures(explainer: Explainer, count: int) -> Tensor:
    """Return generated scenes as model inputs, (count, h, w, channels) uint8; every call returns the same ones.

    Those of a model of clips are clips, (count, frames, h, w, channels).
    """
    preprocessing = explainer.classifier.preprocessing
    frames, height, width = preprocessing.extent
    prepare = Preprocessor(preprocessing)
    scenes = (Scene(seed, 2, width, height) for seed in range(count))
    drawn = [scene.render(1.0 + number / _FPS) for scene in scenes for number in range(frames)]
    prepared = np.ascontiguousarray([prepare(Frame.from_rgb(picture))[0] for picture in drawn])
    return torch.from_numpy(prepared.reshape(count, *preprocessing.picture_shape))


def _works(explainers: dict[Variant, Explainer], images: Tensor) -> dict[str, Callable[[], object]]:
    return {
        f"{variant} {what}": partial(work, images)
        for variant, explainer in explainers.items()
        for what, work in (("prediction", explainer.predict), ("explanation", explainer.answer))
    }


def _row(variant: Variant, times_ms: dict[str, list[float]]) -> dict[str, Any]:
    prediction, explanation = (times_ms[f"{variant} {what}"] for what in ("prediction", "explanation"))
    return {
        **variant._asdict(),
        "prediction_ms": percentiles(prediction),
        "explanation_ms": percentiles(explanation),
        "ratio": round(median(explanation) / median(prediction), 3),
    }
