"""Tiny detectors of transformers with random weights, and image processors that go with them."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn

LABELS = ("dog", "cat", "tennis ball")
SIDES = (96, 160)
"""(height, width) of the input of the detectors that take any size; RT-DETR takes `SQUARE`."""
SQUARE = (96, 96)
QUERIES = 12
KINDS = ("detr", "yolos", "rt_detr", "rt_detr_v2")

_CLASSES = {"id2label": dict(enumerate(LABELS)), "label2id": {name: index for index, name in enumerate(LABELS)}}
_STAGES = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 32], "depths": [1] * 4, "layer_type": "basic"}
_HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
_DECODER = {"d_model": 16, "decoder_layers": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, **_HEADS}


def _detr() -> Any:
    backbone = transformers.ResNetConfig(**_STAGES, out_features=["stage4"])
    return transformers.DetrConfig(
        backbone_config=backbone, use_timm_backbone=False, num_queries=QUERIES, encoder_layers=2, **_DECODER, **_CLASSES
    )


def _yolos() -> Any:
    blocks = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return transformers.YolosConfig(
        **blocks, image_size=[64, 96], patch_size=16, num_detection_tokens=QUERIES, **_CLASSES
    )


def _rt_detr(kind: type) -> Any:
    backbone = transformers.RTDetrResNetConfig(**_STAGES, out_features=["stage2", "stage3", "stage4"])
    return kind(
        backbone_config=backbone,
        num_queries=QUERIES,
        encoder_in_channels=[8, 16, 32],
        encoder_hidden_dim=16,
        decoder_in_channels=[16] * 3,
        hidden_expansion=0.5,
        **_DECODER,
        **_CLASSES,
    )


def detector(kind: str) -> Any:
    """Return a detector of one of `KINDS`."""
    torch.manual_seed(2)
    configs = {
        "detr": _detr,
        "yolos": _yolos,
        "rt_detr": lambda: _rt_detr(transformers.RTDetrConfig),
        "rt_detr_v2": lambda: _rt_detr(transformers.RTDetrV2Config),
    }
    model = transformers.AutoModelForObjectDetection.from_config(configs[kind]()).eval()
    with torch.no_grad():
        for weight in model.parameters():  # the usual ones are so small that all queries find the same
            if weight.ndim > 1:
                nn.init.normal_(weight, std=1.5 * weight[0].numel() ** -0.5)
            else:
                weight.add_(0.3 * torch.randn(weight.shape))
    return model


def processor(kind: str) -> Any:
    """Return the image processor of a detector."""
    if kind.startswith("rt_detr"):
        return transformers.RTDetrImageProcessor(size={"height": SQUARE[0], "width": SQUARE[1]})
    made = {"detr": transformers.DetrImageProcessor, "yolos": transformers.YolosImageProcessor}[kind]
    return made(size={"shortest_edge": 90, "longest_edge": 160})


def example(kind: str, count: int = 1) -> torch.Tensor:
    """Return inputs of a detector, (count, 3, height, width)."""
    sides = SQUARE if kind.startswith("rt_detr") else SIDES
    return torch.randn(count, 3, *sides, generator=torch.Generator().manual_seed(0))
