"""The video classifiers of transformers: frames, preprocessing, layers and the order of their tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from livecam import Explainer
from livecam.explain.program import Normalisation
from livecam.models import load_model
from livecam.models.survey.grid import Grid
from livecam.picture.frame import Frame
from tests.support.witness import gradcam_witness

NAMES = ("rises", "falls", "turns")
CLASSES = {"id2label": dict(enumerate(NAMES)), "label2id": {name: index for index, name in enumerate(NAMES)}}
SIDE, FRAMES = 32, 8
TRANSFORMER = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
    **{"image_size": SIDE, "num_frames": FRAMES},
}
PROCESSOR = {"size": {"shortest_edge": 40}, "crop_size": {"height": SIDE, "width": SIDE}}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any], float, Callable[[Tensor], Tensor]]] = {
    "VideoMAE": (
        "VideoMAEImageProcessor",
        {"patch_size": 8, "tubelet_size": 2},
        7.5,
        lambda tokens: tokens.transpose(1, 2).unflatten(2, (4, 4, 4)),
    ),
    "Timesformer": (
        "VideoMAEImageProcessor",
        {"patch_size": 8},
        0.9375,
        lambda tokens: tokens[:, 1:].unflatten(0, (-1, FRAMES)).movedim(-1, 1).unflatten(-1, (4, 4)),
    ),
    "Vivit": (
        "VivitImageProcessor",
        {"tubelet_size": (2, 8, 8)},
        15.0,
        lambda tokens: tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4, 4)),
    ),
}
"""The image processor, the configuration, the rate of the frames, and the order of the layer's cells."""


def saved(folder: Path, name: str) -> nn.Module:
    """Save a tiny model of an architecture and its image processor, and return the model."""
    processor, own, _, _ = ARCHITECTURES[name]
    torch.manual_seed(0)
    described = getattr(transformers, f"{name}Config")(**{**TRANSFORMER, **own, **CLASSES})
    model: nn.Module = getattr(transformers, f"{name}ForVideoClassification")(described).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.2)
    model.save_pretrained(folder)  # type: ignore[operator]
    getattr(transformers, processor)(**PROCESSOR).save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_its_frames_and_labels_are_those_of_its_files(tmp_path: Path, name: str) -> None:
    model = saved(tmp_path, name)
    processor, _, rate, fold = ARCHITECTURES[name]
    explainer = Explainer(f"hf:{tmp_path}", engine="eager", target="falls", fit="crop")
    assert explainer.classifier.labels == NAMES
    assert (explainer.clip_frames, explainer.frames_per_second) == (FRAMES, rate)

    # A picture whose pixels are as large as those of the input, so that every way of scaling agrees.
    clip = [np.full((40, 40, 3), 20 * number, np.uint8) for number in range(FRAMES)]
    prepared = explainer.prepared([Frame.from_rgb(frame) for frame in clip])
    normalised = Normalisation(explainer.classifier.preprocessing, torch.device("cpu"), torch.float32)
    expected = getattr(transformers, processor)(**PROCESSOR)(list(clip), return_tensors="pt")["pixel_values"]
    assert torch.allclose(normalised(torch.stack([each.image for each in prepared])[None]), expected, atol=1e-5)

    batch = torch.randn(2, FRAMES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    witness = gradcam_witness(
        model, explainer.layer, batch, lambda output: output.logits[:, 1], lambda tokens: fold(tokens).flatten(2, 3)
    )
    maps = explainer.cam(batch).flatten(1, 2)
    error = (maps - witness).abs().amax(dim=(1, 2)) / witness.abs().amax(dim=(1, 2))
    assert error.max() < 1e-5


def test_a_model_without_files_is_known_by_its_configuration(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    model = saved(tmp_path, "Vivit")
    explainer = Explainer(model, engine="eager")
    assert explainer.classifier.preprocessing.input_shape == (FRAMES, 3, SIDE, SIDE)
    assert "comes without its image processor" in caplog.text


def test_untrained_weights_need_the_configuration_alone(tmp_path: Path) -> None:
    saved(tmp_path, "VideoMAE")
    (tmp_path / "model.safetensors").unlink()
    assert load_model(f"hf:{tmp_path}", weights="none").preprocessing.frames == FRAMES


def test_the_tokens_of_a_timesformer_go_through_the_times_of_each_place(tmp_path: Path) -> None:
    saved(tmp_path, "Timesformer")
    survey = Explainer(f"hf:{tmp_path}", engine="eager").survey
    (of_block,) = [call.grid for call in survey.layers if call.name == "timesformer.encoder.layer.0.output"]
    assert of_block == Grid("tokens", 4, 4, ((1, 129),), times=FRAMES, time_is_last=True)
