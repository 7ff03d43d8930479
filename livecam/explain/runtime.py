"""The two engines of one model: one explains, the other only predicts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from livecam.explain.answer import Answer
from livecam.explain.engines.engine import Engine
from livecam.explain.forward import OnForwards
from livecam.explain.methods import Method
from livecam.explain.program import CamProgram
from livecam.explain.task import Selection, Task
from livecam.models.classifier import Classifier
from livecam.models.survey.layers import TargetLayer
from livecam.names import PRECISIONS


class Runtime:
    """Runs one model, to explain the targets of the last `aim` or to predict. Within `with runtime:` it stays prepared.

    Args:
        classifier: The model, on the device.
        device: The device that it runs on.
        dtype: The precision of its weights.
        task: The meaning of its output.
        engine: "auto", "eager" or "compiled", as in `Explainer`; so is `precision`.
        on_forwards: Called as `on_forwards(done, total)` by methods that need many forward passes.
        keep_gradients: As in `CamProgram`.
    """

    def __init__(
        self,
        classifier: Classifier,
        device: torch.device,
        dtype: torch.dtype,
        task: Task,
        engine: str,
        precision: str,
        on_forwards: OnForwards | None,
        keep_gradients: bool,
    ) -> None:
        self._classifier, self._device, self._dtype, self._task = classifier, device, dtype, task
        self._wanted_engine, self._wanted_precision = engine, precision
        self._on_forwards, self._keep_gradients = on_forwards, keep_gradients
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

    def predict(self, images: Tensor) -> Answer:
        """Predict without explaining, with the engine and the precision that were in use at the first call."""
        if self._predictor is None:
            engine = "eager" if self.engine.engine == "eager" else "compiled"
            precision = self.engine.precision if self.engine.precision in PRECISIONS else "auto"
            self._predictor = self._engine_for(self._selection, (), None, engine, precision)
            with self.engine.eager.suspended():
                self._predictor.expect(None, len(images))
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
        return Engine(
            self._classifier,
            partial(CamProgram, *parts, on_forwards=self._on_forwards, keep_gradients=self._keep_gradients),
            self._dtype,
            self._device,
            engine=engine,
            precision=precision,
            traceable=method is None or method.is_traceable,
        )
