"""The two engines of one model: one explains, the other only predicts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from livecam.explain.answer import Answer, Select, joined
from livecam.explain.device import precision_of
from livecam.explain.engines.engine import Engine
from livecam.explain.forward import OnForwards, Relay
from livecam.explain.methods import Method
from livecam.explain.program import CamProgram
from livecam.explain.task import Selection, Task
from livecam.models.classifier import Classifier
from livecam.models.side_effects import SideEffects
from livecam.models.survey.layers import TargetLayer
from livecam.models.trial import takes_batches
from livecam.names import PRECISIONS

log = logging.getLogger(__name__)


class Runtime:
    """Runs one model, to explain the targets of the last `aim` or to predict. Within `with runtime:` it stays prepared.

    Args:
        classifier: The model, on the device.
        device: The device that it runs on.
        dtype: The precision of its weights.
        task: The meaning of its output.
        example: One of its inputs, (1, channels, h, w).
        keep_gradients: As in `CamProgram`.
        effects: What running the model changes.
        engine: "auto", "eager" or "compiled", as in `Explainer`; so is `precision`.
        on_forwards: Called as `on_forwards(done, total)` by methods that need many forward passes.

    Attributes:
        on_forwards: Calls it; another one may take its place.
    """

    def __init__(
        self,
        classifier: Classifier,
        device: torch.device,
        dtype: torch.dtype,
        task: Task,
        example: Tensor,
        keep_gradients: bool,
        effects: SideEffects,
        engine: str,
        precision: str,
        on_forwards: OnForwards | None,
    ) -> None:
        self._classifier, self._device, self._dtype, self._task = classifier, device, dtype, task
        self._example, self._keep_gradients = example, keep_gradients
        self._effects = effects
        self._wanted_engine, self._wanted_precision = engine, precision
        self.on_forwards = Relay(on_forwards)
        self._engine: Engine | None = None
        self._predictor: Engine | None = None
        self._sessions = 0

    @property
    def engine(self) -> Engine:
        """The engine that explains."""
        assert self._engine is not None  # `aim` was called before
        return self._engine

    def aim(self, selection: Selection, layers: Sequence[Sequence[TargetLayer]], method: Method) -> None:
        """From now on, explain these targets at these layers by this method. After the first call, starts eagerly.

        Raises ModelError if the engine or the precision does not exist.
        """
        before, wanted = self._engine, self._wanted_engine
        # Later methods are compiled only after `expect`, and in the background, so that the run does not wait.
        engine = "auto" if before is not None and wanted == "compiled" else wanted
        self._engine = self._engine_for(selection, layers, method, engine, self._wanted_precision)
        if before is not None:
            before.end()
        if self._sessions:
            self._make_ready()
        self._selection = selection

    def __enter__(self) -> Runtime:
        for engine in (self._engine, self._predictor):
            if engine is not None and not self._sessions:  # once a session, since checking all weights takes a while
                engine.check_weights()
        self._make_ready()
        self._sessions += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._sessions -= 1
        if not self._sessions:
            if self._predictor is not None:
                self._predictor.eager.close()
            self.engine.eager.close()

    def takes(self, pictures: int) -> bool:
        """Return True if the model takes this many pictures at once."""
        return pictures <= 1 or self._takes_batches

    @cached_property
    def _takes_batches(self) -> bool:
        if self._effects.told:  # scores differ from run to run, so that a comparison shows nothing
            return False
        with self:
            takes = takes_batches(self.engine.eager.program.run, self._example)
        if not takes:
            log.warning(
                "%s gives a batch other scores than each picture, or none: explained one by one", self._classifier.name
            )
        return takes

    def expect(self, pictures: float | None, batch: int, *, separate: bool) -> None:
        """Begin a run, as in `Explainer.expect`."""
        self.engine.expect(pictures, batch if self.takes(batch) else 1, separate=separate)

    def answer(self, images: Tensor, select: Select | None = None) -> Answer:
        """Explain pictures (B, h, w, channels) uint8; the answer is on the CPU.

        `select` overrides the targets for this call, which the eager engine then answers.
        """
        if not self.takes(len(images)):
            return joined([self.answer(image, select) for image in images[:, None]])
        with self:
            return self.engine(images) if select is None else self.engine.eager(images, select)

    def predict(self, images: Tensor) -> Answer:
        """Predict without explaining, with the engine and the precision that were in use at the first call."""
        if not self.takes(len(images)):
            return joined([self.predict(image) for image in images[:, None]])
        if self._predictor is None:
            engine = "eager" if self.engine.engine == "eager" else "compiled"
            precision = self.engine.precision if self.engine.precision in PRECISIONS else "auto"
            self._predictor = self._engine_for(self._selection, (), None, engine, precision)
            with self.engine.eager.suspended():
                self._predictor.expect(None, len(images), separate=False)
        with self:
            if self._predictor.engine == "eager":
                self._predictor.eager.open()
            return self._predictor(images)

    def _make_ready(self) -> None:
        """Prepare for explaining, also after a prediction that needed the weights in another precision."""
        eager = self.engine.eager
        if self._predictor is not None and self._predictor.eager.program.dtype != eager.program.dtype:
            self._predictor.eager.close()
        eager.open()

    def _engine_for(
        self,
        selection: Selection,
        layers: Sequence[Sequence[TargetLayer]],
        method: Method | None,
        engine: str,
        precision: str,
    ) -> Engine:
        # Refers to parts instead of this object, so that it can be collected and its compiler stopped.
        parts = self._classifier, self._device, self._task, selection, layers, method
        if method is not None and method.is_sensitive and precision == "auto":
            precision = precision_of(self._dtype)
        return Engine(
            self._classifier,
            partial(CamProgram, *parts, on_forwards=self.on_forwards, keep_gradients=self._keep_gradients),
            self._dtype,
            self._device,
            engine=engine,
            precision=precision,
            obstacle=self._obstacle_for(method),
        )

    def _obstacle_for(self, method: Method | None) -> str:
        """Return why a method cannot be compiled for this model; empty if it can."""
        if self._effects.told:
            return f"{self._classifier.name} {self._effects.told}"
        if self._classifier.obstacle:
            return f"{self._classifier.name} {self._classifier.obstacle}"
        is_traceable = method is None or method.is_traceable
        return "" if is_traceable else "the method runs the model many times for each picture, which is not compiled"
