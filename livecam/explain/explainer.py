"""The explainer: a model, a layer and a method, and what they say of a picture, a frame or a batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from livecam.errors import ModelError
from livecam.explain.capture import Tap, frozen
from livecam.explain.methods import METHODS
from livecam.explain.preprocess import Preprocessor
from livecam.frame import Explanation, Frame, Prediction
from livecam.models import Classifier, Preprocessing, load_model
from livecam.models.classifier import input_channels, usual_preprocessing
from livecam.models.layers import choose_layer

SHOWN_PREDICTIONS = 5
COLOURS = {1: "grey", 3: "colour"}
"""What so many channels are called."""

Targets = int | str | Sequence[int | str]
"""One class for all pictures or one for each, by number or label."""


class Explainer:
    """Explains what a classifier looks at.

    `model` is a name as in `load_model` or a `torch.nn.Module` from (B, 3, h, w) floats, or (B, 1, h, w) for one that
    sees in grey, to (B, classes) scores. `weights` and `labels` are as in `load_model`; for a module only `labels` is
    used, as a file or as a sequence of names, together with `preprocessing`, which else is ImageNet's. `layer` is a
    dotted module name, None for the automatic choice; `target` a class number or label, None for the best class of each
    picture; `device` is "auto", "cpu", "cuda", "cuda:1", "mps"; a module stays on the device that it is on with "auto".
    `fit` says how pictures get the input's shape.

    A call leaves the module as it found it: mode, gradients, hooks. Within `with explainer:` it stays prepared from
    call to call and is given back at the end, also after an exception. Not for use by several threads at once.

    Raises ModelError for what does not fit.
    """

    # Tensors made in a caller's inference mode could not be differentiated, then or later.
    @torch.inference_mode(False)
    def __init__(
        self,
        model: str | nn.Module = "shapes",
        *,
        method: str = "gradcam",
        layer: str | None = None,
        target: int | str | None = None,
        weights: str = "default",
        labels: str | Path | Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        device: str = "auto",
        fit: str = "stretch",
    ) -> None:
        if method not in METHODS:
            raise ModelError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
        self.method = method
        self.device = _find_device(device, model)
        self.classifier = _classifier_of(model, weights, labels, preprocessing)
        self._module = self.classifier.module.to(self.device)
        self._preprocess = Preprocessor(self.classifier.preprocessing, fit)
        self._dtype = next((p.dtype for p in self._module.parameters() if p.is_floating_point()), torch.float32)
        self._scale, self._shift = self._normalisation()
        self._tap = Tap()
        self._session = ExitStack()
        self._sessions = 0
        with frozen(self._module):
            try:
                self._target_layer, self.classes = choose_layer(self._module, self._example(), layer)
            except RuntimeError as exc:
                raise _input_error(self.classifier, exc) from exc
        if self.classifier.labels is not None and len(self.classifier.labels) != self.classes:
            raise ModelError(
                f"the labels are {len(self.classifier.labels)}, but {self.classifier.name} has {self.classes} classes"
            )
        self.target = None if target is None else self.classifier.index_of(target, self.classes)

    @property
    def precision(self) -> str:
        """What the model computes in, as "float32"."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def layer(self) -> str:
        """The dotted name of the layer that is explained."""
        return self._target_layer.name

    def __enter__(self) -> Explainer:
        if not self._sessions:
            with ExitStack() as stack:
                stack.enter_context(frozen(self._module))
                stack.enter_context(self._tap.attached(self._target_layer.module))
                self._session = stack.pop_all()
        self._sessions += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._sessions -= 1
        if not self._sessions:
            self._session.close()

    def __call__(self, image: np.ndarray | Frame) -> Explanation:
        """Explain one picture, (H, W, 3) uint8 RGB, or one frame."""
        return self.explain([image])[0]

    @torch.inference_mode(False)
    def explain(
        self, images: Sequence[np.ndarray | Frame], *, targets: Sequence[int | str] | None = None
    ) -> list[Explanation]:
        """Explain several pictures or frames, of whatever sizes, in one batch; `targets` names a class for each."""
        frames = [image if isinstance(image, Frame) else Frame.from_rgb(image) for image in images]
        if not frames:
            return []
        prepared = [self._preprocess(frame) for frame in frames]
        batch = torch.from_numpy(np.stack([image for image, _ in prepared])).to(self.device)
        maps, logits, explained = self._explain_batch(
            self._normalised(batch), self.target if targets is None else targets
        )
        scores = logits.sigmoid() if self.classifier.multi_label else logits.softmax(dim=1)
        best = scores.topk(min(SHOWN_PREDICTIONS, self.classes), dim=1)
        cams, scores, explained = maps.float().cpu().numpy(), scores.cpu(), explained.cpu()
        best_scores, best_indices = best.values.tolist(), best.indices.tolist()
        explained_seconds = time.perf_counter()
        return [
            Explanation(
                index=(index := int(explained[row])),
                label=self.classifier.label(index),
                score=float(scores[row, index]),
                cam=cams[row],
                predictions=tuple(
                    Prediction(index, self.classifier.label(index), score)
                    for index, score in zip(best_indices[row], best_scores[row], strict=True)
                ),
                region=region,
                frame_index=frame.index,
                explained_seconds=explained_seconds,
            )
            for row, (frame, (_, region)) in enumerate(zip(frames, prepared, strict=True))
        ]

    @torch.inference_mode(False)
    def cam(self, batch: Tensor, target: Targets | None = None) -> Tensor:
        """(B, channels, h, w) preprocessed float input -> (B, h', w') signed float32 maps on the layer's grid.

        `target` is one class for all, one for each picture, or None for each picture's best.
        """
        maps, _, _ = self._explain_batch(batch.to(self.device, self._dtype), target)
        return maps.float()

    def _explain_batch(self, batch: Tensor, target: Targets | None) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (B, h', w'), logits (B, classes) and the explained class of each picture (B,)."""
        grid = self._target_layer.grid
        with self, torch.enable_grad():
            logits = self._module(batch)
            targets = logits.detach().argmax(dim=1) if target is None else self._checked(target, len(batch))
            # The pictures of a batch do not depend on each other, so the gradient of the sum is that of each.
            score = logits.gather(1, targets[:, None]).sum()
            activation, gradient = self._tap.differentiate(score)
        with torch.no_grad():
            maps = METHODS[self.method](grid.fold(activation), grid.fold(gradient))
        return maps, logits.detach().float(), targets

    def _checked(self, target: Targets, count: int) -> Tensor:
        """One class for each of so many pictures, (count,) on the device. Raises ModelError."""
        targets = [target] * count if isinstance(target, int | str) else list(target)
        if len(targets) != count:
            raise ModelError(f"there are {len(targets)} targets for {count} pictures; give one for each")
        return torch.tensor([self.classifier.index_of(each, self.classes) for each in targets], device=self.device)

    def _normalised(self, images: Tensor) -> Tensor:
        """(B, h, w, channels) uint8 -> (B, channels, h, w) float, mean and deviation as the model was trained with."""
        return images.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift).to(self._dtype)

    def _normalisation(self) -> tuple[Tensor, Tensor]:
        preprocessing = self.classifier.preprocessing
        mean = torch.tensor(preprocessing.mean, device=self.device).view(-1, 1, 1)
        std = torch.tensor(preprocessing.std, device=self.device).view(-1, 1, 1)
        return 1 / (255 * std), -mean / std

    def _example(self) -> Tensor:
        """A picture of noise to find the layers with: (1, channels, h, w), the same each time."""
        shape = (1, *self.classifier.preprocessing.size, self.classifier.preprocessing.channels)
        noise = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
        return self._normalised(noise.to(self.device))


def _classifier_of(
    model: str | nn.Module,
    weights: str,
    labels: str | Path | Sequence[str] | None,
    preprocessing: Preprocessing | None,
) -> Classifier:
    if isinstance(model, str):
        if labels is not None and not isinstance(labels, str | Path):
            raise ModelError("the labels of a model that is named come from a file; give its path")
        return load_model(model, weights=weights, labels=labels)
    if not isinstance(model, nn.Module):
        raise ModelError(f"a model is a name or a torch.nn.Module, not {type(model).__name__}")
    if isinstance(labels, str | Path):
        from livecam.models.classifier import read_labels

        labels = read_labels(Path(labels))
    return Classifier(
        name=type(model).__name__,
        module=model,
        labels=tuple(labels) if labels is not None else None,
        preprocessing=preprocessing or usual_preprocessing(model),
    )


def _input_error(classifier: Classifier, exc: Exception) -> ModelError:
    """What to tell when a model stumbles over the very first input."""
    name, preprocessing, channels = classifier.name, classifier.preprocessing, input_channels(classifier.module)
    if channels not in (1, 3):
        return ModelError(
            f"{name} takes {channels} channels, and a picture has 3, or 1 in grey: it cannot be explained"
        )
    if channels != preprocessing.channels:
        needed, given = COLOURS[channels], COLOURS[preprocessing.channels]
        return ModelError(
            f"{name} takes pictures in {needed}, and its preprocessing is for {given}; "
            "give mean and std of as many channels, for grey Preprocessing(mean=(0.5,), std=(0.5,))"
        )
    height, width = preprocessing.size
    return ModelError(
        f"{name} fails on an input of {channels} x {height} x {width} ({' '.join(str(exc).split())[:200]}); "
        "if it is made for another size, say so with Preprocessing(size=...)"
    )


def _find_device(name: str, model: str | nn.Module) -> torch.device:
    if name == "auto":
        if isinstance(model, nn.Module):
            return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        return torch.device(_available_devices()[-1])
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as exc:
        raise ModelError(
            f"the device {name!r} cannot be used here; there is {', '.join(_available_devices())}, or leave it to auto"
        ) from exc
    return device


def _available_devices() -> list[str]:
    """From slow to fast."""
    devices = ["cpu"]
    if torch.backends.mps.is_available():
        devices.append("mps")
    if torch.cuda.is_available():
        devices.append("cuda")
    return devices
