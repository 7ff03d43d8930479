"""The explainer: a model, a layer and a method, and what they say of a picture, a frame or a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from livecam.errors import LivecamError, ModelError
from livecam.explain.device import find_device, usual_batch
from livecam.explain.engines.engine import Engine
from livecam.explain.heat import Heat, HeatOptions
from livecam.explain.methods import Activation, find_method
from livecam.explain.perturbation import OnForwards, Perturbation
from livecam.explain.preprocess import Preprocessor
from livecam.explain.program import Answer, Normalisation, PictureAnswer, PlainPrediction, Program, Step
from livecam.explain.tap import frozen
from livecam.explain.targets import Selection, Target, parse_target, with_runner_up
from livecam.explanation import ClassMap, Explanation, Prediction
from livecam.models import Classifier, Preprocessing, classifier_of
from livecam.models.classifier import input_error
from livecam.models.layers import survey_layers
from livecam.names import PRECISIONS
from livecam.picture.frame import Frame
from livecam.picture.media import Region
from livecam.picture.transfer import DevicePlanes
from livecam.system.machine import uses_tf32


class Explainer:
    """Explains what a classifier looks at.

    `model` is a name (as in `load_model`) or a `torch.nn.Module` from (B, 3, h, w) floats, or (B, 1, h, w) for one
    that sees in grey, to (B, classes) scores. `weights` and `labels` are as in `load_model`; for a module only `labels`
    is used, as a file or as a sequence of names, together with `preprocessing`, which else is ImageNet's.

    `method` is one of `livecam.explain.methods.METHODS`. `layer` is a dotted module name, or the number of a layer that
    can be explained (negative ones count from the end), or several, whose maps are fused; None for the automatic
    choice. `target` is a class number, a label or its unique beginning, "top1" for the best class of each picture, or
    several of these; `top` stands for the best so many. With `runner_up` explanations of the best have the next best
    besides, for `livecam.explain.heat.Steadiness` to choose from. `against` is a class to contrast with (where it is
    the picture's best itself, there is no evidence); `negative` shows what speaks against. `threshold`, `smooth` and
    `scale` are as in `HeatOptions`.

    `engine` is "eager" for PyTorch operation by operation; "compiled" for OpenVINO on a CPU or code of TorchInductor
    on a GPU, which are built first; or "auto": eager at once, and compiled where that pays, as soon as it is ready.
    `precision` is "fp32", "bf16", "fp16", or "auto" for the fastest in which maps and best classes are those of the
    model's own. See `expect`.

    `device` is "auto", "cpu", "cuda", "cuda:1", "mps"; a module stays on the device that it is on with "auto". `fit`
    says how pictures get the input's shape. `on_forwards` is called by methods that take many forward passes, with how
    many of how many are done.

    `survey` tells the layers of the model, `layer` the names of those that are explained, by comma, `wanted_layer` what
    was asked for; `explained_classes` how many classes an explanation has, `heat_options` how their maps become heat.

    A call leaves the module as it found it: mode, gradients, hooks. Within `with explainer:` it stays prepared from
    call to call, its weights are not to change, and it is given back at the end. Not for several threads at once.
    Raises LivecamError for what does not fit.
    """

    # Tensors made in a caller's inference mode could not be differentiated, then or later.
    @torch.inference_mode(False)
    def __init__(
        self,
        model: str | nn.Module = "shapes",
        *,
        method: str = "gradcam",
        layer: str | int | Sequence[str | int] | None = None,
        target: Target | None = None,
        top: int | None = None,
        runner_up: bool = False,
        against: int | str | None = None,
        negative: bool = False,
        threshold: float | str = 0.0,
        smooth: float = 0.0,
        scale: float | str = "auto",
        weights: str = "default",
        labels: str | Path | Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        device: str = "auto",
        engine: str = "auto",
        precision: str = "auto",
        fit: str = "stretch",
        on_forwards: OnForwards | None = None,
    ) -> None:
        self._asked = parse_target(target, top)
        _check_method(method, against is not None or negative)
        self.heat_options = HeatOptions(threshold, smooth, scale)
        self._heat = Heat(self.heat_options)
        self._on_forwards = on_forwards
        self.device = find_device(device, model)
        self.classifier = classifier_of(model, weights, labels, preprocessing)
        self._module = self.classifier.module.to(self.device)
        self._preprocess = Preprocessor(self.classifier.preprocessing, fit)
        own = next((p.dtype for p in self._module.parameters() if p.is_floating_point()), torch.float32)
        example = self._example()
        with frozen(self._module):
            try:
                normalisation = Normalisation(self.classifier, self.device, own)
                self.survey = survey_layers(self._module, normalisation(example.to(self.device)))
            except LivecamError:
                raise
            except Exception as exc:  # whatever a model raises that is not made for this input
                raise input_error(self.classifier, exc) from exc
        self.classes = self.survey.classes
        if self.classifier.labels is not None and len(self.classifier.labels) != self.classes:
            raise ModelError(
                f"the labels are {len(self.classifier.labels)}, but {self.classifier.name} has {self.classes} classes"
            )
        self._negative = negative
        self._against = None if against is None else self._index_of(against)
        self._has_runner_up = runner_up
        self._dtype = own
        self._wanted_engine, self._wanted_precision = engine, precision
        self._aim(method, layer, self._asked, engine)
        self._predictor: Engine | None = None
        self._input: np.ndarray | None = None
        self._sessions = 0

    def _aim(
        self, method: str, layer: str | int | Sequence[str | int] | None, wanted: tuple[int | str, ...], engine: str
    ) -> None:
        """Explain these classes by this method at this layer; nothing has changed where they do not fit."""
        _check_method(method, self._against is not None or self._negative)
        found, explained_classes = find_method(method), len(wanted)
        if self._has_runner_up and not isinstance(found, Activation):
            wanted = with_runner_up(wanted, self.classes)
        selection = self._select(wanted, method)
        layers = self.survey.find(self._module, layer, features_only=found.features_only)
        self.method, self._method, self.explained_classes = method, found, explained_classes
        self._wanted, self._selection, self.wanted_layer = wanted, selection, layer
        self.layer = ",".join(target_layer.name for target_layer in layers)
        self._engine = self._engine_for(
            partial(Step, self._module, layers, found, against=self._against, negative=self._negative),
            engine,
            self._wanted_precision,
        )

    def _make_ready(self) -> None:
        """For explaining, also after a prediction that held the weights in another precision."""
        eager = self._engine.eager
        if self._predictor is not None and self._predictor.eager.program.dtype != eager.program.dtype:
            self._predictor.eager.close()
        eager.open()

    @property
    def engine(self) -> str:
        """The engine in use by now: "eager", "compiled", or "captured" for a CUDA graph of what is not compiled."""
        return self._engine.engine

    @property
    def precision(self) -> str:
        """What is computed in by now: "fp32", "bf16", "fp16", or "fp64" for a model that comes so."""
        return self._engine.precision

    @property
    def usual_batch(self) -> int:
        """How many frames of a file are best explained at once on this device."""
        return usual_batch(self.device)

    @torch.inference_mode(False)
    def __enter__(self) -> Explainer:
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
            self._engine.eager.close()

    @torch.inference_mode(False)
    def change(
        self, method: str, layer: str | int | Sequence[str | int] | None = None, target: Target | None = None
    ) -> None:
        """Go on by another method, at another layer or for other classes, with the same model.

        All are as for a new explainer, but that a target of None is the one that this explainer was made for. It
        explains eagerly again, until `expect` is called. Raises ModelError for what does not fit; then nothing has
        changed.
        """
        before = self._engine
        # Compiled only when `expect` says so, and beside the run: nobody waits for it here.
        engine = "auto" if self._wanted_engine == "compiled" else self._wanted_engine
        self._aim(method, layer, self._asked if target is None else parse_target(target), engine)
        before.end()
        if self._sessions:
            self._make_ready()

    def __call__(self, image: np.ndarray | Frame, *, target: Target | None = None) -> Explanation:
        """Explain one picture, (H, W, 3) uint8 RGB, or one frame; `target` replaces the explainer's own."""
        return self.explain([image], target=target)[0]

    @torch.inference_mode(False)
    def explain(
        self,
        images: Sequence[np.ndarray | Frame],
        *,
        target: Target | None = None,
        uploaded: Sequence[DevicePlanes | None] | None = None,
    ) -> list[Explanation]:
        """Explain several pictures or frames, of whatever sizes, in one batch.

        `uploaded` are the frames' planes, of those where they are on the device already.
        """
        frames = [image if isinstance(image, Frame) else Frame.from_rgb(image) for image in images]
        if not frames:
            return []
        batch, regions = self._inputs(frames, uploaded)
        selection = None if target is None else self._select(parse_target(target), self.method)
        shown = self.explained_classes if selection is None else len(selection)
        with self:
            answer = self.answer(batch) if selection is None else self._engine.eager(batch, selection)
            return [
                self._explanation(frame, region, of_frame, shown)
                for frame, region, of_frame in zip(frames, regions, answer.by_picture(), strict=True)
            ]

    @torch.inference_mode(False)
    def answer(self, images: Tensor) -> Answer:
        """Inputs as they are made of pictures, (B, h, w, channels) uint8 -> maps and scores as tensors, on the CPU."""
        with self:
            return self._engine(images)

    @torch.inference_mode(False)
    def predict(self, images: Tensor) -> Answer:
        """Predict without explaining: what explaining is measured against.

        It goes by the engine, in the precision and in the batches that the first such call finds in use.
        """
        if self._predictor is None:
            engine = "eager" if self.engine == "eager" else "compiled"
            precision = self.precision if self.precision in PRECISIONS else "auto"
            self._predictor = self._engine_for(partial(PlainPrediction, self._module), engine, precision)
            with self._engine.eager.suspended():
                self._predictor.expect(None, len(images))
        with self:
            if self._predictor.engine == "eager":
                self._predictor.eager.open()
            return self._predictor(images)

    @torch.inference_mode(False)
    def expect(self, pictures: float | None, *, batch: int = 1) -> None:
        """Tell how many pictures will follow (None: unknown, inf: live) and in what batch size.

        The engine "auto" compiles where that many repay it, and for a live source at once; "compiled" does it here,
        before anything is explained. (Where nothing is said, "auto" waits until as much time has been spent.)
        """
        self._engine.expect(pictures, batch)

    def settle(self) -> None:
        """Wait until the engine will not change any more, once something was explained: to measure it, say."""
        self._engine.settle()

    def report(self) -> dict[str, Any]:
        """Model, layer, method, device, and the engine with what its choice rests on, as plain data.

        `tf32` is there on CUDA, as in `livecam.system.machine.uses_tf32`.
        """
        return {
            "model": self.classifier.name,
            "layer": self.layer,
            "method": self.method,
            "device": str(self.device),
            **({"tf32": uses_tf32()} if self.device.type == "cuda" else {}),
            **self._engine.report(),
        }

    def _inputs(
        self, frames: Sequence[Frame], uploaded: Sequence[DevicePlanes | None] | None
    ) -> tuple[Tensor, Sequence[Region]]:
        """(B, h, w, channels) uint8 in memory that is kept from call to call, or on the device; and what they show."""
        if uploaded is not None and (on_device := self._preprocess.from_planes(frames, uploaded)) is not None:
            return on_device, [Region()] * len(frames)
        images, regions = zip(*map(self._preprocess, frames), strict=True)
        if self._input is None or len(self._input) < len(images):
            self._input = np.empty((len(images), *images[0].shape), np.uint8)
        return torch.from_numpy(np.stack(images, out=self._input[: len(images)])), regions

    @torch.inference_mode(False)
    def cam(self, batch: Tensor, target: Target | None = None) -> Tensor:
        """(B, channels, h, w) preprocessed float input -> (B, h', w') signed float32 maps on the layer's own grid.

        `target` is one class for all pictures or a sequence with one for each; None is the explainer's own first.
        """
        program = self._engine.eager.program
        batch = self._checked(batch).to(self.device, program.dtype)
        wanted = self._wanted[:1] if target is None else parse_target(target)
        if len(wanted) == 1:
            wanted *= len(batch)
        if len(wanted) != len(batch) or not len(batch):
            raise ModelError(f"there are {len(wanted)} targets for {len(batch)} pictures; give one for each")
        selection = self._select(wanted, self.method)
        with self:
            return program.step(batch, selection.one_for_each, self._on_forwards).maps[:, 0].float()

    def _checked(self, batch: Tensor) -> Tensor:
        """What `cam` takes, or ModelError."""
        channels = self.classifier.preprocessing.channels
        if (
            not isinstance(batch, Tensor)
            or batch.ndim != 4
            or batch.shape[1] != channels
            or not batch.is_floating_point()
        ):
            what = f"{batch.dtype} {tuple(batch.shape)}" if isinstance(batch, Tensor) else type(batch).__name__
            raise ModelError(f"inputs are a float tensor (B, {channels}, height, width), preprocessed, not {what}")
        return batch

    def _select(self, wanted: Sequence[int | str], method: str) -> Selection:
        if isinstance(find_method(method), Activation) and any(name != "top1" for name in wanted):
            raise ModelError(f"{method} shows what is active, of no class: leave out target and top")
        selection = Selection(wanted, self._index_of, self.classes, self.device)
        if self._against is not None and self._against in selection.indices:
            raise ModelError(
                f"{self.classifier.label(self._against)} cannot be contrasted with itself; name another class"
            )
        return selection

    def _index_of(self, target: int | str) -> int:
        return self.classifier.index_of(target, self.classes)

    def _engine_for(self, make_step: Callable[[], Step | PlainPrediction], engine: str, precision: str) -> Engine:
        preprocessing = self.classifier.preprocessing
        # Of parts, not a method of this object: it is to be gone, and its compiler stopped, once nobody holds it.
        make_program = partial(
            _program, make_step, self.classifier, self.device, self._selection, on_forwards=self._on_forwards
        )
        return Engine(
            self._module,
            make_program,
            self._dtype,
            (*preprocessing.size, preprocessing.channels),
            self.device,
            engine=engine,
            precision=precision,
            traceable=not isinstance(self._method, Perturbation),
        )

    def _explanation(self, frame: Frame, region: Region, answer: PictureAnswer, shown: int) -> Explanation:
        classes = []
        for index, score, cam in zip(answer.targets, answer.scores, answer.maps, strict=True):
            heatmap, cutoff = self._heat(cam)
            label, title = self.classifier.label(index), self._title(index)
            classes.append(
                ClassMap(index=index, label=label, title=title, score=score, cam=cam, heatmap=heatmap, cutoff=cutoff)
            )
        predictions = tuple(
            Prediction(index, self.classifier.label(index), score)
            for index, score in zip(answer.best, answer.best_scores, strict=True)
        )
        return Explanation(
            classes=tuple(classes[:shown]),
            predictions=predictions,
            runner_up=classes[shown] if shown < len(classes) else None,
            region=region,
            frame_index=frame.index,
        )

    def _title(self, index: int) -> str:
        """What a map shows, in words."""
        label = self.classifier.label(index)
        if isinstance(self._method, Activation):
            return f"{self.method}; {label}"  # the map is of no class
        rather_than = "" if self._against is None else f" rather than {self.classifier.label(self._against)}"
        return f"{'against ' if self._negative else ''}{label}{rather_than}"

    def _example(self) -> Tensor:
        """A picture of noise to find the layers with: (1, h, w, channels) uint8, the same each time."""
        shape = (1, *self.classifier.preprocessing.size, self.classifier.preprocessing.channels)
        return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).byte()


def _check_method(method: str, is_about_class: bool) -> None:
    if isinstance(find_method(method), Activation) and is_about_class:
        raise ModelError(f"{method} shows what is active, of no class: leave out against and negative")


def _program(
    make_step: Callable[[], Step | PlainPrediction],
    classifier: Classifier,
    device: torch.device,
    select: Selection,
    dtype: torch.dtype,
    *,
    on_forwards: OnForwards | None,
) -> Program:
    return Program(make_step(), classifier, device, dtype, select, on_forwards)
