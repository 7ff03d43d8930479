"""The detectors of torchvision, made to return what `livecam.models.detectors` describes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.detectors import PYRAMID, Detections, Pyramid, single, wide_size
from livecam.models.scored_cells import ScoredCells, are_scored_alone


class Detector(nn.Module):
    """A detector of torchvision without its resizing and with all candidates as its output.

    Its parts have torchvision's names, so that checkpoints of torchvision fit.

    Args:
        model: The detector, whose parts are shared.
    """

    overlap: float
    obstacle = ""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.pyramid = Pyramid()

    def levels(self, images: Tensor) -> dict[str, Tensor]:
        """Return the levels of the feature pyramid by their names."""
        features = self.backbone(images)
        named = {"0": features} if isinstance(features, Tensor) else features
        return {name: self.pyramid(level) for name, level in named.items()}


class OneStage(Detector):
    """A detector that scores and moves a fixed set of anchors: RetinaNet, FCOS or SSD."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.head = model.head
        self.anchor_generator = model.anchor_generator
        self.box_coder = model.box_coder
        self.overlap = model.nms_thresh

    def forward(self, images: Tensor) -> Detections:
        """Return a candidate for each anchor, for inputs (B, 3, height, width)."""
        levels = list(self.levels(images).values())
        scored = _scored(self.head, levels)
        outputs = {"cls_logits": scored.logits, **self._regressed(levels)} if scored else self.head(levels)
        logits = outputs["cls_logits"]
        boxes = self._decoded(single(outputs["bbox_regression"]), self._anchors(images, levels))
        logits_at = scored.at if scored else None
        return Detections(_in_fractions(boxes, images), logits, self._scores(outputs), self.overlap, logits_at)

    def _regressed(self, levels: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the outputs of the head but for the scores of the classes."""
        return {"bbox_regression": self.head.regression_head(levels)}

    def _anchors(self, images: Tensor, levels: Sequence[Tensor]) -> Tensor:
        """Return the anchors in pixels, (N, 4), in single precision whatever that of the levels is."""
        from torchvision.models.detection.image_list import ImageList

        like = [single(level[:1, :1]) for level in levels]
        anchors: Tensor = self.anchor_generator(ImageList(images[:1], [_size(images)]), like)[0]
        return anchors

    def _decoded(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        moved: Tensor = self.box_coder.decode_single(deltas.flatten(0, 1), anchors.repeat(len(deltas), 1))
        return moved.view_as(deltas)

    def _scores(self, outputs: dict[str, Tensor]) -> Tensor:
        return single(outputs["cls_logits"]).sigmoid()


class Fcos(OneStage):
    """FCOS, whose candidates are scored by how well they are centred as well."""

    def _regressed(self, levels: Sequence[Tensor]) -> dict[str, Tensor]:
        regression, centredness = self.head.regression_head(levels)
        return {"bbox_regression": regression, "bbox_ctrness": centredness}

    def _decoded(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        moved: Tensor = self.box_coder.decode(deltas, anchors)
        return moved

    def _scores(self, outputs: dict[str, Tensor]) -> Tensor:
        return (super()._scores(outputs) * single(outputs["bbox_ctrness"]).sigmoid()).sqrt()


class Ssd(OneStage):
    """SSD, whose classes exclude each other and the background, which is the first."""

    def _scores(self, outputs: dict[str, Tensor]) -> Tensor:
        return _of_objects(single(outputs["cls_logits"]).softmax(dim=-1))


class TwoStage(Detector):
    """Faster R-CNN, whose second stage classifies the boxes that the first proposes."""

    obstacle = "proposes more boxes for one picture than for another, which is not compiled"

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.rpn, self.roi_heads = model.rpn, model.roi_heads
        self.overlap = model.roi_heads.nms_thresh

    def forward(self, images: Tensor) -> Detections:
        """Return a candidate for each proposal and class, for inputs (B, 3, height, width)."""
        from torchvision.models.detection.image_list import ImageList

        levels = self.levels(images)
        sizes = [_size(images)] * len(images)
        proposals, _ = self.rpn(ImageList(images, sizes), levels)
        heads = self.roi_heads

        def scored(regions: list[Tensor]) -> tuple[Tensor, Tensor]:
            outputs: tuple[Tensor, Tensor] = heads.box_predictor(
                heads.box_head(heads.box_roi_pool(levels, regions, sizes))
            )
            return outputs

        def logits_at(places: Tensor) -> Tensor:
            """Score chosen proposals again: that and its gradient cost less than the gradient of all."""
            of_all = nn.utils.rnn.pad_sequence(proposals, batch_first=True)
            chosen = of_all.gather(1, places[..., None].expand(-1, -1, 4))
            return torch.unflatten(scored(list(chosen))[0], 0, places.shape)

        logits, deltas = scored(proposals)
        boxes = heads.box_coder.decode(single(deltas), [single(each) for each in proposals])
        counts = [len(each) for each in proposals]
        scores = _of_objects(single(logits).softmax(dim=-1))
        boxes, logits, scores = (
            nn.utils.rnn.pad_sequence(list(torch.split(each, counts)), batch_first=True)
            for each in (boxes, logits, scores)
        )
        return Detections(_in_fractions(boxes, images), logits, scores, self.overlap, logits_at)


def _scored(head: Any, levels: Sequence[Tensor]) -> ScoredCells | None:
    """Return the candidates that a head of torchvision scores, None for a head of another kind."""
    from torchvision.models.detection import fcos, retinanet, ssd, ssdlite

    scoring = head.classification_head
    known = {
        retinanet.RetinaNetHead: retinanet.RetinaNetClassificationHead,
        fcos.FCOSHead: fcos.FCOSClassificationHead,
        ssd.SSDHead: ssd.SSDClassificationHead,
        ssdlite.SSDLiteHead: ssdlite.SSDLiteClassificationHead,
    }
    if known.get(type(head)) is not type(scoring):
        return None
    if isinstance(scoring, ssd.SSDScoringHead):
        parts, classes = [_split(module) for module in scoring.module_list], scoring.num_columns
    else:
        parts, classes = [(scoring.conv, scoring.cls_logits)] * len(levels), scoring.num_classes
    last = [convolution for _, convolution in parts]
    if not are_scored_alone(last):
        return None
    return ScoredCells([before(level) for (before, _), level in zip(parts, levels, strict=True)], last, classes)


def _split(module: nn.Module) -> tuple[nn.Module, Any]:
    """Return the part of a module before its last convolution, and that convolution."""
    return (module[:-1], module[-1]) if isinstance(module, nn.Sequential) else (nn.Identity(), module)


def is_own(model: object) -> bool:
    """Return True for a detector of torchvision."""
    return _adapter_of(model) is not None


def classifier_of(name: str, model: Any, labels: tuple[str, ...] | None = None) -> Classifier:
    """Return the classifier for a detector of torchvision, with the size, mean and deviation of its transform."""
    adapter = _adapter_of(model)
    assert adapter is not None
    return Classifier(
        name,
        adapter(model),
        labels,
        _preprocessing_of(model.transform),
        task="boxes",
        layer=PYRAMID,
        obstacle=adapter.obstacle,
        any_size=True,
    )


def _adapter_of(model: object) -> type[Detector] | None:
    detection: Any = sys.modules.get("torchvision.models.detection")  # if nobody has imported it, it has made no model
    if detection is None:
        return None
    adapters: dict[type, type[Detector]] = {
        detection.RetinaNet: OneStage,
        detection.FCOS: Fcos,
        detection.ssd.SSD: Ssd,
        detection.FasterRCNN: TwoStage,
    }
    return next((adapter for kind, adapter in adapters.items() if isinstance(model, kind)), None)


def _preprocessing_of(transform: Any) -> Preprocessing:
    """Return the preprocessing of a detector: in its fixed size, or in the size that pictures of 16:9 have for it.

    Without a fixed size it keeps the shape of pictures and pads them, as torchvision does.
    """
    mean, std = tuple(transform.image_mean), tuple(transform.image_std)
    if fixed := transform.fixed_size:
        size = fixed[1], fixed[0]
        return Preprocessing(size, size, mean, std)
    size = wide_size(transform.min_size[-1], transform.max_size)
    return Preprocessing(size, size, mean, std, fit="pad")


def _of_objects(probabilities: Tensor) -> Tensor:
    """Return probabilities (..., classes) with that of the background, which is the first, set to 0."""
    return torch.cat([torch.zeros_like(probabilities[..., :1]), probabilities[..., 1:]], dim=-1)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _in_fractions(boxes: Tensor, images: Tensor) -> Tensor:
    """Return boxes in pixels, (..., 4), cut off at the border of the inputs and in fractions of them."""
    height, width = _size(images)
    return (boxes / boxes.new_tensor([width, height, width, height])).clamp(0, 1)
