"""The engines that run one model: the one that explains, and one that predicts alone."""

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
from livecam.models.layers import TargetLayer
from livecam.names import PRECISIONS


class Runtime:
    """Runs one model: explains what it was last aimed at, and predicts. It stays prepared within `with runtime:`.

    Args:
        classifier: The model, on the device.
        device: The device that it runs on.
        dtype: The precision of its weights.
        task: What its output means.
        engine: "auto", "eager" or "compiled", as in `Explainer`; so is `precision`.
        on_forwards: Told of the progress of methods that take many forward passes.
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
    ) -> None:
        self._classifier, self._device, self._dtype, self._task = classifier, device, dtype, task
        self._wanted_engine, self._wanted_precision = engine, precision
        self._on_forwards = on_forwards
        self._engine: Engine | None = None
        self._predictor: Engine | None = None
        self._sessions = 0

    @property
    def engine(self) -> Engine:
        """The engine that explains."""
        assert self._engine is not None  # it is aimed first
        return self._engine

    def aim(self, selection: Selection, layers: Sequence[TargetLayer], method: Method) -> None:
        """Explain these targets at these layers by this method from now on; eagerly at first, unless it is the first.

        Raises ModelError for an engine or a precision that there is not.
        """
        before, wanted = self._engine, self._wanted_engine
        # Not the first, it is compiled only when it is told what will follow, and beside the run: nobody waits for it.
        engine = "auto" if before is not None and wanted == "compiled" else wanted
        self._engine = self._engine_for(selection, layers, method, engine, self._wanted_precision)
        if before is not None:
            before.end()
        if self._sessions:
            self._make_ready()
        self._selection = selection

    def __enter__(self) -> Runtime:
        for engine in (self._engine, self._predictor):
            if engine is not None and not self._sessions:  # once a session: to look at all weights takes a while
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
        """Predict without explaining, by the engine and in the precision that the first call finds in use."""
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
        """Prepare for explaining, also after a prediction that held the weights in another precision."""
        eager = self.engine.eager
        if self._predictor is not None and self._predictor.eager.program.dtype != eager.program.dtype:
            self._predictor.eager.close()
        eager.open()

    def _engine_for(
        self, selection: Selection, layers: Sequence[TargetLayer], method: Method | None, engine: str, precision: str
    ) -> Engine:
        # Of parts, not of this object: it is to be gone, and its compiler stopped, once nobody holds it.
        parts = self._classifier, self._device, self._task, selection, layers, method
        return Engine(
            self._classifier,
            partial(CamProgram, *parts, on_forwards=self._on_forwards),
            self._dtype,
            self._device,
            engine=engine,
            precision=precision,
            traceable=method is None or method.is_traceable,
        )
