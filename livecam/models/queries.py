"""The detectors of transformers, in which each of a fixed number of queries finds one object or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from livecam.errors import ModelError
from livecam.models.detectors import Detections, Pyramid, single


class QueryDetector(nn.Module):
    """A detector of transformers with all queries as its output.

    What its queries read of the picture passes through `pyramid` as maps (B, C, h, w). The parts of the model are
    shared, have transformers' names, so that checkpoints of transformers fit, and have hooks only while they run.

    Args:
        model: The detector.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        for name, part in model.named_children():
            self.add_module(name, part)
        self.pyramid = Pyramid()
        self._whole = (model,)  # in a tuple, so that its parts are not there twice

    @property
    def whole(self) -> Any:
        """The detector as transformers has it."""
        return self._whole[0]

    def forward(self, images: Tensor) -> Detections:
        """Return a candidate for each query, for inputs (B, 3, height, width)."""
        hooks = self.hooked(images)
        try:
            output = self.whole(images)
        finally:
            for hook in hooks:
                hook.remove()
        x, y, width, height = output.pred_boxes.unbind(dim=2)
        edges = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        return Detections(torch.stack(edges, dim=2), *self.scored(output.logits))

    def hooked(self, images: Tensor) -> Sequence[RemovableHandle]:
        """Return hooks that pass what the queries read of these inputs through `pyramid`."""
        raise NotImplementedError

    def scored(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits that are explained and the scores that are shown, (B, queries, classes) each."""
        raise NotImplementedError

    def passed(self, tokens: Tensor, first: int, sides: Sequence[int]) -> Tensor:
        """Return tokens (B, N, C) of which those of the picture, which lie in rows, have passed through `pyramid`."""
        before, own, behind = tokens.tensor_split([first, first + sides[0] * sides[1]], dim=1)
        maps = self.pyramid(torch.unflatten(own.mT, 2, (sides[0], sides[1])))
        return torch.cat([before, maps.flatten(2).mT, behind], dim=1)


class _Exclusive(QueryDetector):
    """A detector whose classes exclude each other and "no object", which is the last."""

    def scored(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        count = logits.shape[2] - 1
        # OpenVINO (2026.4) leaves out a slice before it gathers, but not a split.
        both = logits, single(logits).softmax(dim=2)
        classes, probabilities = (torch.split(each, [count, 1], dim=2)[0] for each in both)
        is_best = torch.arange(count, device=logits.device) == probabilities.argmax(dim=2, keepdim=True)
        return classes, torch.where(is_best, probabilities, 0)  # a query finds at most one object


class Detr(_Exclusive):
    """DETR, whose queries read what its encoder makes of the last map of its backbone."""

    def hooked(self, images: Tensor) -> Sequence[RemovableHandle]:
        model, sides = self.whole.model, list[int]()

        def projected(module: nn.Module, inputs: object, output: Tensor) -> None:
            sides.extend(output.shape[2:])

        def encoded(module: nn.Module, inputs: object, output: Any) -> Any:
            output.last_hidden_state = self.passed(output.last_hidden_state, 0, sides)
            return output

        return [
            model.input_projection.register_forward_hook(projected),
            model.encoder.register_forward_hook(encoded),
            *(part.register_forward_pre_hook(_unmasked, with_kwargs=True) for part in (model.encoder, model.decoder)),
        ]


class Yolos(_Exclusive):
    """YOLOS, a vision transformer with a token for each query, which attends to those of the picture in each block."""

    def hooked(self, images: Tensor) -> Sequence[RemovableHandle]:
        vit = self.whole.vit
        height, width = vit.embeddings.patch_embeddings.patch_size
        sides = images.shape[2] // height, images.shape[3] // width

        def normed(module: nn.Module, inputs: object, tokens: Tensor) -> Tensor:
            return self.passed(tokens, 1, sides)

        return [vit.encoder.layer[-1].layernorm_before.register_forward_hook(normed)]


class RtDetr(QueryDetector):
    """RT-DETR, whose queries read the levels of its encoder, and find a class independently of the others."""

    def hooked(self, images: Tensor) -> Sequence[RemovableHandle]:
        model = self.whole.model
        _check_anchors(model.config.anchor_image_size, images)

        def encoded(module: nn.Module, inputs: object, output: Any) -> Any:
            output.last_hidden_state = [self.pyramid(level) for level in output.last_hidden_state]
            return output

        return [model.encoder.register_forward_hook(encoded)]

    def scored(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return logits, single(logits).sigmoid()


class RtDetrV2(RtDetr):
    """RT-DETRv2, which compares the sizes of the levels in its code."""

    def hooked(self, images: Tensor) -> Sequence[RemovableHandle]:
        decoder = self.whole.model.decoder
        return [*super().hooked(images), decoder.register_forward_pre_hook(_with_known_sizes, with_kwargs=True)]


def _check_anchors(size: Sequence[int] | None, images: Tensor) -> None:
    """Raise ModelError if a detector has anchors for inputs of another size; None is for anchors of any.

    With as many cells, such as on its side, the detector would run and misplace the boxes.

    Args:
        size: The (height, width) that the anchors are for.
        images: The inputs, (B, 3, height, width).
    """
    if size and tuple(images.shape[2:]) != tuple(size):
        (height, width), given = size, f"{images.shape[3]}x{images.shape[2]}"
        raise ModelError(
            f"the detector has anchors for inputs of {width}x{height} alone, not of {given}; "
            f"say --input-size {width}x{height}, or in Python preprocessing={{'size': ({height}, {width})}}"
        )


def _unmasked(module: nn.Module, inputs: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Leave out the masks, which hide nothing: to look at them depends on numbers, which cannot be traced."""
    return inputs, {name: value for name, value in options.items() if not name.endswith("attention_mask")}


def _with_known_sizes(module: nn.Module, inputs: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Give the sizes of the levels as numbers of Python: to look at those in a tensor cannot be traced either."""
    return inputs, {**options, "spatial_shapes": np.array(options["spatial_shapes_list"], dtype=object)}


KINDS: dict[str, type[QueryDetector]] = {
    "detr": Detr,
    "rt_detr": RtDetr,
    "rt_detr_v2": RtDetrV2,
    "yolos": Yolos,
}
"""The adapters by transformers' names of the kinds of models."""
