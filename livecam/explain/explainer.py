"""The explainer: explains pictures and frames with a model, a layer and a method."""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from livecam.errors import ModelError
from livecam.explain import time_cells
from livecam.explain.answer import Answer, Select, joined
from livecam.explain.device import find_device, usual_batch
from livecam.explain.first_look import look_at
from livecam.explain.forward import OnForwards
from livecam.explain.functions import check_unused, functions_in
from livecam.explain.heat import Heat, HeatOptions
from livecam.explain.methods import METHODS, Method, check_askable, find_method
from livecam.explain.point import At, Point, point_of
from livecam.explain.preprocess import Prepared, Preprocessor, check_inputs
from livecam.explain.runtime import Runtime
from livecam.explain.targets import ScoreFunction, Target, Wanted, one_for_each, parse_target
from livecam.explain.task import Selection
from livecam.explain.wording import layers_title, way_of
from livecam.explain.words import Words
from livecam.explanation import Explanation
from livecam.models.classifier import Classifier, Preprocessing, rescored
from livecam.models.labels import Labels
from livecam.models.loading import classifier_of
from livecam.models.prompts import prompted
from livecam.models.survey.blocks import find_blocks, obstacle
from livecam.models.survey.layers import LayerChoice, TargetLayer
from livecam.picture.frame import Frame
from livecam.picture.media import Region
from livecam.picture.transfer import DevicePlanes
from livecam.system.machine import uses_tf32

log = logging.getLogger("livecam")


class Explainer:
    """Explains what a model looks at: a classifier of pictures or clips, a model that segments, a detector, or words.

    Each call restores the module's mode, gradients and hooks. Within `with explainer:` the module stays prepared
    between calls, its weights must not change, and it is restored at the end. Calls from several threads take turns.

    Args:
        model: A name, as in `livecam.models.load_model`, or a module or exported program that returns a score for each
            class, by itself or in a tuple, mapping or object. Its input is (B, 3, h, w) floats, or (B, 1, h, w) for a
            model of grey pictures.
        method: The name of a method, one of `livecam.names.METHODS`; None is "gradcam", for detectors "hirescam".
        layer: A dotted module name, or the number of a layer that can be explained (negative ones count from the end),
            or several, whose maps are fused. None chooses one.
        target: A class by number, by its name or a beginning of a word that only its name has, or "top1" for the best
            class of each picture; or several of these. Of detected objects, a class stands for all of its boxes, and
            "box1" is the most probable box. A name that is a number, as text, is the name. None is "top1".
            Several classes are explained as one group by a mapping, {"dog": range(151, 269)}, or as "dog=151-268". For
            ImageNet's classes, everyday groups such as "dog" and "bird" are known (`livecam.models.imagenet.GROUPS`).
            Or a differentiable function that maps the model's output, whatever it is, to a score for each picture,
            (B,); several such functions; or a mapping of names to them.
        top: In place of `target`: explain this many of the best classes.
        runner_up: Explain the next best class as well; `livecam.explain.heat.Steadiness` needs it.
        against: A class or group to contrast with: the map shows what speaks for the target rather than for it. There
            is no evidence if it is the explained class itself.
        negative: Show what speaks against the class.
        at: A point of the upright picture, as in `livecam.explain.point.At`. A model that segments then explains the
            class there, by its score in that very pixel, and a detector the smallest box that holds it.
        threshold: As in `livecam.explain.heat.HeatOptions`; so are `smooth` and `scale`.
        weights: The weights of a named model, as in `load_model`.
        prompts: What a model that compares pictures with words looks for, at most `livecam.models.prompts.MOST_PROMPTS`
            texts. They are its classes: `target`, `top` and `against` name them.
        labels: The names of the classes: a file, a sequence, or a mapping of numbers to names or of names to numbers.
        scores: How the outputs of the model become the scores that are shown, as in
            `livecam.models.classifier.Classifier`. "auto" leaves that to the model.
        unit: The unit of scores that are numbers, such as "years"; with it, "auto" is "raw".
        confidence: The least score of a box, between 0 and 1, for a model that detects objects; None is 0.5.
        preprocessing: How pictures become inputs, or a mapping of those fields of `Preprocessing` that differ from the
            model's own. None is the model's own, for a module that of ImageNet.
        device: "auto", "cpu", "cuda", "cuda:1", "mps". With "auto" a module stays where it is.
        engine: "eager" runs PyTorch operation by operation; "compiled" first builds an OpenVINO model on a CPU, or
            TorchInductor code on a GPU; "auto" starts eagerly and switches to compiled when that pays off.
        precision: "fp32", "bf16", "fp16", or "auto" for the fastest whose maps and scores are the model's own.
        fit: How a picture is made to fit the input's shape: "stretch", "crop" or "pad"; None is "stretch", but for
            detectors as they were trained.
        on_forwards: Called as `on_forwards(done, total)` by methods that need many forward passes.

    Attributes:
        survey: The layers of the model.
        layer: The names of the layers that are explained, separated by commas, with the call where that is not the only
            or the last one; `wanted_layer` is what was asked for.
        layer_title: The names of these layers in captions, joined by "+".
        point: The point that is explained, None for none.
        explained_classes: How many classes an explanation has.
        heat_options: How maps become heat; may be replaced.
        own_targets: The targets that the explainer was made for: their names, numbers, ranks or groups.

    Raises:
        LivecamError: An argument is invalid; the message says what is valid.
    """

    _sibling: Explainer | None = None
    """For functions that were asked for one call."""
    _has_told_limits = False
    _aimed: tuple[Any, ...] = ()
    _selection: Selection

    # Tensors made in a caller's inference mode could never be differentiated.
    @torch.inference_mode(False)
    def __init__(
        self,
        model: str | nn.Module | ExportedProgram | Classifier = "shapes",
        *,
        method: str | None = None,
        layer: LayerChoice = None,
        target: Target | None = None,
        top: int | None = None,
        runner_up: bool = False,
        against: Target | None = None,
        negative: bool = False,
        at: At | None = None,
        threshold: float | str = 0.0,
        smooth: float = 0.0,
        scale: float | str = "auto",
        weights: str = "default",
        labels: Labels | None = None,
        prompts: str | Sequence[str] | None = None,
        scores: str = "auto",
        unit: str | None = None,
        confidence: float | None = None,
        preprocessing: Preprocessing | Mapping[str, Any] | None = None,
        device: str = "auto",
        engine: str = "auto",
        precision: str = "auto",
        fit: str | None = None,
        on_forwards: OnForwards | None = None,
    ) -> None:
        if functions := functions_in(target):
            check_unused(
                against=against is not None,
                labels=labels is not None,
                prompts=prompts is not None,
                scores=scores != "auto",
            )
        self._turn = threading.RLock()  # the hooks in the model hold one batch at a time
        self._preparing = threading.Lock()
        self.heat_options = HeatOptions(threshold, smooth, scale)
        self._runner_up = runner_up
        self.device = find_device(device, model.module if isinstance(model, Classifier) else model)
        classifier = rescored(classifier_of(model, weights, labels, preprocessing), scores, unit, confidence)
        if labels is not None and prompts:
            raise ModelError("prompts are names of classes themselves, so no labels are for them; give one of the two")
        self.classifier = classifier if functions else prompted(classifier, prompts)
        self.own_targets = self._parsed(range(len(functions)) if functions else target, top)
        if method is not None:
            check_askable(find_method(method), self.own_targets, contrast=against is not None or negative)
        module = self.classifier.module.to(self.device)
        dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
        usual = self.classifier.preprocessing
        self._preprocess, self._preprocess_clips = (Preprocessor(usual, fit or usual.fit) for _ in range(2))
        parts = self.classifier, self.device, dtype
        self._look_at = partial(look_at, *parts, negative=negative)
        self._make_runtime = partial(Runtime, *parts, precision=precision, on_forwards=on_forwards)
        self._look(functions, against, engine)
        self.point = self._checked_point(at)
        self._aim(method or self.task.usual_method, layer, self.own_targets)

    def _checked_point(self, at: At | None) -> Point | None:
        """Return the point that is meant. Raises ModelError if it is none, or means nothing for the model."""
        if at is not None and not self.task.takes_points:
            raise ModelError(
                f"{self.classifier.name} says one thing of a whole picture, so a point cannot be explained; "
                "leave it out, or take a model that segments or detects"
            )
        return None if at is None else point_of(at)

    def _look(self, functions: Mapping[str, ScoreFunction], against: Target | None, engine: str) -> None:
        """Run the model to find its layers and what to explain: functions of its output, or its classes."""
        look = self._look_at(functions, against)
        self.task, self.survey, self._functions = look.task, look.survey, functions
        self._runtime = self._make_runtime(look.task, look.example, look.hides_gradients, look.effects, engine)

    def _asked(self, functions: Mapping[str, ScoreFunction]) -> Explainer:
        """Return an explainer of the same model, layer and method for functions; the last one is kept."""
        if self._sibling is None or self._sibling._functions != functions:
            sibling = copy.copy(self)
            sibling._look(functions, None, "eager")
            sibling.point = None
            sibling._aim(self.method, self.wanted_layer, range(len(functions)))
            self._sibling = sibling
        return self._sibling

    def _aim(self, method: str, layer: LayerChoice, wanted: Sequence[Wanted]) -> None:
        """Explain these targets by this method at this layer. If they are invalid, nothing changes."""
        found = find_method(method)
        selection = self.task.selection(wanted, found, runner_up=self._runner_up)
        if self.survey.is_cut and found.needs_gradient:
            raise ModelError(
                f"the code of {self.classifier.name} cuts the gradient between its layers and its scores, "
                "as NumPy does; --method scorecam, ablationcam, eigencam and fem need none"
            )
        layers = self._find(layer, found)
        is_same_program = (method, layer) == self._aimed[:2] and self._selection.becomes(selection)
        self.method, self._method = method, found
        self.explained_classes = selection.shown
        self._sibling = None
        self._aimed = method, layer, wanted, self.prompts
        self.wanted_layer, self.layer = layer, ",".join(dict.fromkeys(call.name for calls in layers for call in calls))
        self.layer_title = self._title(layers)
        self._way = way_of(found, "" if layer is None else self.layer_title, self.task.usual_method)
        if not is_same_program:
            self._selection = selection
            self._runtime.aim(selection, layers, found)

    def _find(self, layer: LayerChoice, method: Method) -> Sequence[Sequence[TargetLayer]]:
        """Find the layers that a method explains for a choice. Raises ModelError."""
        module = self.classifier.module
        if method.attends:
            return [find_blocks(self.survey, module, layer, last=method.last_blocks)]
        return self.survey.find(
            module,
            layer,
            features_only=method.features_only,
            averages_gradient=method.averages_gradient,
        )

    def _title(self, layers: Sequence[Sequence[TargetLayer]]) -> str:
        return layers_title(chain.from_iterable(layers), self.survey, self.classifier.module)

    def _parsed(self, target: Target | None, top: int | None = None) -> tuple[Wanted, ...]:
        return parse_target(target, top, self.classifier.labels)

    @property
    def engine(self) -> str:
        """The engine in use now: "eager", "compiled", or "captured" for a CUDA graph without compiled code."""
        return self._runtime.engine.engine

    @property
    def precision(self) -> str:
        """The precision in use now: "fp32", "bf16", "fp16", or "fp64" for a model in double precision."""
        return self._runtime.engine.precision

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods that can explain the model."""
        return tuple(name for name, method in METHODS.items() if self._fits(method))

    def _fits(self, method: Method) -> bool:
        if not self.task.takes(method):
            return False
        if method.attends:
            return not obstacle(self.survey)
        return not (self.survey.is_cut and method.needs_gradient)

    @property
    def usual_batch(self) -> int:
        """The default batch size for files on this device."""
        return usual_batch(self.device)

    @torch.inference_mode(False)
    def __enter__(self) -> Self:
        with self._turn:
            self._runtime.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._turn:
            self._runtime.__exit__(*exc)

    @torch.inference_mode(False)
    def change(
        self,
        method: str,
        layer: LayerChoice = None,
        target: Target | None = None,
        top: int | None = None,
        prompts: str | Sequence[str] | None = None,
        at: At | None = None,
    ) -> None:
        """Switch to another method, layer, target, prompts or point with the same model.

        The arguments are those of a new explainer, except that without target and top the original ones are restored,
        without prompts those in force stay, and that the target of an explainer of functions is a name or number of
        these. If method, layer, or the number of targets changes, or a class, the explainer runs eagerly until `expect`
        is called; other prompts need no other program. Raises ModelError if an argument is invalid; then nothing
        changes.
        """
        if functions_in(target):
            raise ModelError("a change is to other classes; to explain a function, make an Explainer for it")
        with self._turn, self._compared_with(prompts):
            wanted = self.own_targets if target is top is None else self._parsed(target, top)
            point = self._checked_point(at)
            if (method, layer, wanted, self.prompts) != self._aimed:
                self._aim(method, layer, wanted)
            self.point = point

    @contextmanager
    def _compared_with(self, prompts: str | Sequence[str] | None) -> Iterator[None]:
        """Take other prompts, unless they are None, and those before again if the block fails. Raises ModelError."""
        before = self.classifier
        if prompts is not None:
            self._take_prompts(prompted(before, prompts))
        try:
            yield
        except BaseException:
            self._take_prompts(before)
            raise

    def _take_prompts(self, classifier: Classifier) -> None:
        if isinstance(self.task, Words) and classifier.labels and classifier.labels != self.prompts:
            with self._runtime.engine.eager.suspended():
                self.task.take(classifier.labels)
            self.classifier = classifier

    @torch.inference_mode(False)
    def explain(
        self,
        images: Sequence[np.ndarray | Frame],
        *,
        target: Target | None = None,
        at: At | None = None,
        uploaded: Sequence[DevicePlanes | None] | None = None,
        heat: bool = True,
    ) -> list[Explanation]:
        """Explain several pictures or frames in one batch.

        Args:
            images: Pictures (H, W, 3) uint8 RGB or frames, of any sizes.
            target: Overrides the explainer's own target; explained by the eager engine.
            at: Overrides the explainer's own point.
            uploaded: The planes of each frame on the device, None for a frame that was not uploaded.
            heat: Convert each map to heat by itself. False leaves the heatmaps at 0, for `Steadiness` to fill.
        """
        time_cells.check_takes(self.classifier, clips=False)
        frames = _frames(images)
        if not frames:
            return []
        with self._turn:
            if functions := functions_in(target):
                with self._runtime.engine.eager.suspended():
                    return self._asked(functions).explain(frames, at=at, uploaded=uploaded, heat=heat)
            batch, regions = self._preprocess.batch(frames, uploaded)
            asked = None if target is None else self.task.selection(self._parsed(target), self._method)
            point = self.point if at is None else self._checked_point(at)
            points = [point and point.in_picture(*frame.upright_size) for frame in frames]
            answer = self._answered(batch, list(map(self.task.seen, regions, points)), asked)
            selection = asked or self._selection
            explained = [
                dataclasses.replace(
                    selection.explanation(of_frame, region=region, frame_index=frame.index, way=self._way), point=point
                )
                for frame, region, point, of_frame in zip(frames, regions, points, answer.by_picture(), strict=True)
            ]
            return list(map(Heat(self.heat_options).of_explanation, explained)) if heat else explained

    def _answered(self, batch: Tensor, seen: Sequence[tuple[float, ...]], select: Select | None) -> Answer:
        """Explain the model's inputs, together if the task sees the same of all."""
        if len(set(seen)) > 1:
            each = zip(batch[:, None], seen, strict=True)
            return joined([self._answered(image, [of_image], select) for image, of_image in each])
        self.task.see(seen[0])
        return self._runtime.answer(batch, select)

    @property
    def clip_frames(self) -> int:
        """The number of frames that the model takes at once: 1 if it explains pictures, more if it explains clips."""
        return self.classifier.preprocessing.frames

    @property
    def frames_per_second(self) -> float | None:
        """The rate at which the model takes the frames of a video; None: every frame."""
        return self.classifier.preprocessing.frames_per_second

    def prepared(
        self, images: Sequence[np.ndarray | Frame], uploaded: Sequence[DevicePlanes | None] | None = None
    ) -> list[Prepared]:
        """Scale frames to the size of the model's input, for `explain_clips`; arguments as in `explain`.

        It does not wait for another thread that explains.
        """
        frames = _frames(images)
        if not frames:
            return []
        with self._preparing:
            batch, regions = self._preprocess_clips.batch(frames, uploaded)
            inputs = batch.clone().unbind()
        return [
            Prepared(image, region, frame.index) for image, region, frame in zip(inputs, regions, frames, strict=True)
        ]

    @torch.inference_mode(False)
    def explain_clips(
        self, given: Sequence[Sequence[Prepared]], *, target: Target | None = None, heat: bool = True
    ) -> list[list[Explanation]]:
        """Explain several clips in one batch.

        Args:
            given: Clips of `clip_frames` frames, the first of which is the oldest.
            target: As in `explain`, and so is `heat`.

        Returns:
            For each clip the explanation of each of its time cells, the oldest first. Their heat has one scale.
        """
        if not given:
            return []
        with self._turn:
            if functions := functions_in(target):
                with self._runtime.engine.eager.suspended():
                    return self._asked(functions).explain_clips(given, heat=heat)
            batch = time_cells.batch_of(given, self.classifier)
            asked = None if target is None else self.task.selection(self._parsed(target), self._method)
            selection, answer = asked or self._selection, self._runtime.answer(batch, asked)
            explained = [
                selection.explanation(of_clip, region=last.region, frame_index=last.frame_index, way=self._way)
                for (*_, last), of_clip in zip(given, answer.by_picture(), strict=True)
            ]
            explained = list(map(Heat(self.heat_options).of_explanation, explained)) if heat else explained
            return [time_cells.cells_of(each, clip) for each, clip in zip(explained, given, strict=True)]

    def title_of(self, layer: LayerChoice) -> str:
        """Return what captions call the layers of a choice, as in `layer_title`. Raises ModelError."""
        if layer == self.wanted_layer:
            return self.layer_title
        module, features_only = self.classifier.module, self._method.features_only
        return self._title(self.survey.find(module, layer, features_only=features_only))

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts in force; empty for a model with classes of its own."""
        return self.classifier.labels or () if isinstance(self.task, Words) else ()

    @property
    def takes_points(self) -> bool:
        """True if a point of the picture can be explained."""
        return self.task.takes_points

    @property
    def detects(self) -> bool:
        """True if the model detects objects: a point then stands for the box there, whatever the target is."""
        return self.task.detects

    @property
    def explains_best(self) -> bool:
        """True if the original target is the best class of each picture."""
        return self.own_targets == ("top1",)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what a target can be: of the functions, or of the classes; empty if these have none."""
        return tuple(self._functions or self.classifier.labels or ())

    def report_forwards(self, on_forwards: OnForwards) -> None:
        """From now on, call this as `on_forwards(done, total)`; an exception that it raises ends the call of `explain`.

        See the argument `on_forwards`.
        """
        self._runtime.on_forwards.to = on_forwards

    def tell_limits(self) -> None:
        """Tell once what the model does not know, if it is made for generated scenes and is to explain others."""
        if self.classifier.limits and not self._has_told_limits:
            self._has_told_limits = True
            log.warning("%s", self.classifier.limits)

    @torch.inference_mode(False)
    def warm_up(self, height: int, width: int, *, batch: int = 1) -> None:
        """Explain blank pictures of this size and drop the result: the first run takes longer than those after it."""
        blank = Frame.from_rgb(np.zeros((height, width, 3), np.uint8))
        image = self._preprocess.batch([blank])[0]
        self._runtime.answer(image.expand(batch, *self.classifier.preprocessing.picture_shape).contiguous())

    @torch.inference_mode(False)
    def answer(self, images: Tensor) -> Answer:
        """Explain the model's 8-bit inputs, (B, h, w, channels) uint8, and return maps and scores on the CPU.

        A model of clips takes (B, frames, h, w, channels), and its maps are (B, K, t, h, w) with t time cells.
        """
        *_, height, width, _ = images.shape
        with self._turn:
            self._see_whole(height, width)
            return self._runtime.answer(images)

    def _see_whole(self, height: int, width: int) -> None:
        """Have the task see inputs that show whole pictures of this size, and the explainer's own point."""
        self.task.see(self.task.seen(Region(), self.point and self.point.in_picture(width, height)))

    @torch.inference_mode(False)
    def predict(self, images: Tensor) -> Answer:
        """Predict without explaining, to measure what explaining costs; `images` as in `answer`.

        Engine, precision and batch size are those in use at the first such call.
        """
        return self._runtime.predict(images)

    @torch.inference_mode(False)
    def expect(self, pictures: float | None, *, batch: int = 1, separate: bool = False) -> None:
        """Begin a run, such as a video, and tell how long it is: "auto" decides if compiling pays off.

        Each run starts with the eager engine ("compiled" compiles now), and compares a faster one on its own pictures,
        so that what is said of them does not depend on the runs before. Without this call all pictures are one run,
        and "auto" compiles once it has run for so long that compiling would have paid off.

        Args:
            pictures: How many pictures will follow; None: unknown, inf: a live source.
            batch: How many will be explained at once.
            separate: They are not frames of one video. Then "auto" takes no other precision than the model's own, since
                agreement on some of the pictures says nothing of the others.
        """
        with self._turn:
            self._runtime.expect(pictures, batch, separate=separate)

    def settle(self) -> None:
        """Wait until the engine will not change before more pictures come.

        A faster one is compared on the first pictures of the run: with "auto" it takes over only after five of them,
        with "compiled" after one.
        """
        self._runtime.engine.settle()

    def report(self) -> dict[str, Any]:
        """Return model, layer, method, device, and the engine with the reasons for its choice, as plain data.

        On CUDA, `tf32` is True if float32 is computed in TF32 (`livecam.system.machine.uses_tf32`).
        """
        return {
            "model": self.classifier.name,
            "layer": self.layer,
            "method": self.method,
            "device": str(self.device),
            **self.task.report(),
            **({"tf32": uses_tf32()} if self.device.type == "cuda" else {}),
            **self._runtime.engine.report(),
        }

    @torch.inference_mode(False)
    def cam(self, batch: Tensor, target: Target | None = None) -> Tensor:
        """Return the signed maps of preprocessed inputs on the layer's own grid, (B, h', w') float32.

        Those of clips are (B, t, h', w') with t time cells, the earliest first.

        Args:
            batch: Floats, (B, channels, h, w), normalised as the model was trained with; clips as the model takes them,
                (B, channels, frames, h, w), or of transformers (B, frames, channels, h, w).
            target: One class or function for all pictures, or a sequence with one for each; None is the explainer's own
                first.

        Raises:
            ModelError: The inputs have another shape or dtype, or there is not one target for each picture.
        """
        check_inputs(batch, self.classifier.preprocessing)
        with self._turn:
            if functions := functions_in(target):
                with self._runtime.engine.eager.suspended():
                    return self._asked(functions).cam(batch, range(len(functions)))
            wanted = one_for_each(self.own_targets[:1] if target is None else self._parsed(target), len(batch))
            if not self._runtime.takes(len(batch)):
                return torch.cat(
                    [self.cam(picture, [each]) for picture, each in zip(batch[:, None], wanted, strict=True)]
                )
            selection = self.task.selection(wanted, self._method)
            height, width = batch.shape[-2:]
            self._see_whole(height, width)
            program = self._runtime.engine.eager.program
            with self:
                return program.maps(batch.to(self.device, program.dtype), selection.one_for_each)[:, 0].float()


def _frames(images: Sequence[np.ndarray | Frame]) -> list[Frame]:
    return [image if isinstance(image, Frame) else Frame.from_rgb(image) for image in images]


def maker_of(
    given: str | nn.Module | ExportedProgram | Classifier | Explainer | Callable[[], Explainer], **options: Any
) -> Callable[[], Explainer]:
    """Return a function that returns the explainer that the caller was given.

    Args:
        given: The explainer, a function that makes it, or a model or its name.
        **options: Arguments of an `Explainer` that is made for a model.

    Raises:
        ModelError: It is none of these.
    """
    if isinstance(given, Explainer):
        return lambda: given
    if isinstance(given, str | nn.Module | ExportedProgram | Classifier):
        return partial(Explainer, given, **options)
    if not callable(given):
        raise ModelError(f"an explainer is an Explainer, a model or its name, not {type(given).__name__}")
    return given
