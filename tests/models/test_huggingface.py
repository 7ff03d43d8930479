"""The image classifiers of transformers: layer, labels, scores and preprocessing are the model's own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from click.testing import Result
from safetensors.torch import save_file
from torch import nn

from livecam import Explainer, LivecamError
from livecam.explain.engines.graph import trace
from livecam.explain.preprocess import Preprocessor
from livecam.models import Classifier, Preprocessing, load_model, preprocessing_of
from livecam.models.modules import calibrated
from livecam.picture.frame import Frame
from tests.models.conftest import attempts
from tests.support.tiny import pictures, program_of
from tests.support.witness import gradcam_witness, least_cosine

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8).repeat(11, 0).repeat(13, 1)
NAMES = ("cat", "dog", "egg", "fox")
CLASSES = {"id2label": dict(enumerate(NAMES)), "label2id": {name: index for index, name in enumerate(NAMES)}}
SIDE = 64
EGG = 2
TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": SIDE,
    "patch_size": 8,
}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 16]}
SQUARE = {"height": SIDE, "width": SIDE}

ARCHITECTURES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "ViT": ("ViTImageProcessor", TRANSFORMER, {"size": SQUARE}, "vit.layers.1.layernorm_before"),
    "DeiT": (
        "DeiTImageProcessor",
        TRANSFORMER,
        {"size": {"height": 72, "width": 72}, "crop_size": SQUARE},
        "deit.layers.1.layernorm_before",
    ),
    "Beit": ("BeitImageProcessor", TRANSFORMER, {"size": SQUARE}, "beit.layernorm"),
    "ConvNext": ("ConvNextImageProcessor", STAGES, {"size": {"shortest_edge": SIDE}}, "convnext.encoder.stages.3"),
    "Dinov2WithRegisters": (
        "BitImageProcessor",
        TRANSFORMER,
        {"size": {"shortest_edge": 72}, "crop_size": SQUARE},
        "dinov2_with_registers.layernorm",
    ),
    "Siglip": (
        "SiglipImageProcessor",
        {"vision_config": TRANSFORMER, "text_config": {**TRANSFORMER, "vocab_size": 50000}},
        {"size": SQUARE},
        "vision_model.post_layernorm",
    ),
    "Swin": (
        "ViTImageProcessor",
        {"image_size": SIDE, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1], "window_size": 4},
        {"size": SQUARE},
        "swin.layernorm",
    ),
    "Swinv2": (
        "ViTImageProcessor",
        {"image_size": SIDE, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1], "window_size": 4},
        {"size": SQUARE},
        "swinv2.layernorm",
    ),
    "MobileViT": (
        "MobileViTImageProcessor",
        {"image_size": SIDE, "hidden_sizes": [8, 8, 8], "neck_hidden_sizes": [8] * 6 + [16], "num_attention_heads": 2},
        {"size": {"shortest_edge": 72}, "crop_size": SQUARE},
        "mobilevit.conv_1x1_exp",
    ),
    "ResNet": (
        "ConvNextImageProcessor",
        {**STAGES, "embedding_size": 8, "layer_type": "basic"},
        {"size": {"shortest_edge": SIDE}},
        "resnet.encoder.stages.3",
    ),
    "Pvt": (
        "PvtImageProcessor",
        {**STAGES, "image_size": SIDE, "num_attention_heads": [1] * 4, "mlp_ratios": [2] * 4, "num_labels": 4},
        {"size": SQUARE},
        "pvt.encoder.block.3.0.layer_norm_1",
    ),
    "FocalNet": (
        "BitImageProcessor",
        {"image_size": SIDE, "embed_dim": 8, "depths": [1, 1], "focal_levels": [1, 1], "focal_windows": [3, 3]},
        {"size": {"shortest_edge": 72}, "crop_size": SQUARE},
        "focalnet.layernorm",
    ),
}
"""The image processor, the configuration, that of the processor, and the layer that a person would choose."""


def saved(folder: Path, name: str, **config: Any) -> nn.Module:
    """Save a tiny model of an architecture and its image processor, and return the model."""
    processor, own, options, _ = ARCHITECTURES[name]
    torch.manual_seed(0)
    described = getattr(transformers, f"{name}Config")(**{**own, **CLASSES, **config})
    model = getattr(transformers, f"{name}ForImageClassification")(described).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.2)  # the usual ones are so small that little is left of the picture
    calibrated(Classifier(name, model, preprocessing=Preprocessing((SIDE, SIDE))))
    model.save_pretrained(folder)
    getattr(transformers, processor)(**options).save_pretrained(folder)
    return model


def levels(processor: Any, picture: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return what a processor makes of a picture as levels of RGB, (h, w, 3)."""
    made = processor(picture, return_tensors="pt")["pixel_values"][0]
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    shown = (made * std + mean) * 255
    return (shown.flip(0) if preprocessing.bgr else shown).permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    saved(folder, "ViT")
    return folder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_folder_is_explained_as_its_model_sees_it(name: str, tmp_path: Path) -> None:
    model, layer = saved(tmp_path, name), ARCHITECTURES[name][-1]
    explainer = Explainer(f"hf:{tmp_path}", target="egg")
    bare = Explainer(model, target="egg")
    assert explainer.layer == bare.layer == layer
    assert explainer.classifier.labels == bare.classifier.labels == NAMES
    preprocessing = explainer.classifier.preprocessing
    assert preprocessing.size == (SIDE, SIDE)
    batch = torch.randn(2, 3, SIDE, SIDE)
    found = next(each for each in explainer.survey.usable if each.name == layer)
    assert found.grid is not None
    witness = gradcam_witness(model, layer, batch, lambda output: output.logits[:, EGG], found.grid.fold)
    assert least_cosine(explainer.cam(batch), witness) >= 0.9999
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    ours, _ = Preprocessor(preprocessing, "crop")(Frame.from_rgb(PICTURE))
    assert np.abs(ours - levels(processor, PICTURE, preprocessing)).max() <= 2


@pytest.mark.parametrize("shape", [(200, 300), (301, 200), (50, 40)])
@pytest.mark.parametrize(
    ("processor", "options"),
    [
        ("ViTImageProcessor", {"size": {"height": 48, "width": 64}}),
        ("BeitImageProcessor", {"do_center_crop": True, "size": {"height": 72, "width": 72}, "crop_size": SQUARE}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
        ("LevitImageProcessor", {}),
        ("PvtImageProcessor", {}),
        ("PoolFormerImageProcessor", {}),
        ("EfficientNetImageProcessor", {"rescale_offset": True, "rescale_factor": 1 / 127.5}),
        ("MobileViTImageProcessor", {"size": {"shortest_edge": 288}}),
        ("MobileNetV2ImageProcessor", {"do_normalize": False}),
    ],
)
def test_the_preprocessing_is_that_of_the_processor(
    processor: str, options: dict[str, Any], shape: tuple[int, int]
) -> None:
    made = getattr(transformers, processor)(**options)
    preprocessing = preprocessing_of(made)
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    ours, _ = Preprocessor(preprocessing, "crop")(Frame.from_rgb(picture))
    assert np.abs(ours - levels(made, picture, preprocessing)).max() <= 2


@pytest.mark.parametrize(
    ("processor", "options", "told"),
    [
        ("ViTImageProcessor", {"resample": 1}, "with the filter lanczos; here it is bicubic"),
        ("PerceiverImageProcessor", {}, "which is followed approximately"),
    ],
)
def test_what_is_not_followed_exactly_is_told(
    processor: str, options: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = getattr(transformers, processor)(**options)
    preprocessing = preprocessing_of(made)
    assert told in caplog.text
    picture = np.linspace(0, 255, 300 * 200).reshape(300, 200, 1).repeat(3, 2).astype(np.uint8)
    ours, _ = Preprocessor(preprocessing, "crop")(Frame.from_rgb(picture))
    assert np.abs(ours - levels(made, picture, preprocessing)).max() <= 2


def test_a_model_of_timm_inside_has_its_preprocessing_in_the_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = {"input_size": (3, 64, 64), "mean": (0.5,) * 3, "std": (0.25,) * 3, "interpolation": "bilinear"}
    config = transformers.TimmWrapperConfig(
        architecture="test_resnet", num_labels=4, pretrained_cfg={**published, "crop_pct": 0.875}
    )
    model = transformers.TimmWrapperForImageClassification(config)
    model.save_pretrained(tmp_path)
    preprocessing = load_model(f"hf:{tmp_path}").preprocessing
    assert preprocessing == Explainer(model).classifier.preprocessing
    assert not caplog.messages
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    ours, _ = Preprocessor(preprocessing, "crop")(Frame.from_rgb(PICTURE))
    assert np.abs(ours - levels(processor, PICTURE, preprocessing)).max() <= 2


def test_a_model_that_takes_blue_first_gets_blue_first() -> None:
    processor = transformers.MobileViTImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE)
    kept: list[torch.Tensor] = []
    model = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    explainer = Explainer(model, preprocessing=preprocessing_of(processor), fit="crop")
    model.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0].detach()))
    explainer(PICTURE)
    torch.testing.assert_close(kept[-1], processor(PICTURE, return_tensors="pt")["pixel_values"], atol=0.01, rtol=0)


def test_a_model_without_its_processor_is_told(vit: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(vit, tmp_path / "bare")
    (tmp_path / "bare" / "preprocessor_config.json").unlink()
    preprocessing = load_model(f"hf:{tmp_path / 'bare'}").preprocessing
    assert (preprocessing.size, preprocessing.mean) == ((SIDE, SIDE), (0.5, 0.5, 0.5))
    (told,) = caplog.messages
    assert "comes without its image processor" in told
    assert "64x64, mean 0.5, deviation 0.5; say otherwise with --input-size, --mean and --std" in told


@pytest.mark.parametrize(
    ("config", "scores", "labels"),
    [
        ({}, "softmax", NAMES),
        ({"problem_type": "multi_label_classification"}, "sigmoid", NAMES),
        ({"problem_type": "regression", "id2label": {0: "age"}, "label2id": {"age": 0}}, "raw", ("age",)),
        ({"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}, "softmax", None),
    ],
)
def test_the_configuration_says_what_the_scores_are(
    tmp_path: Path, config: dict[str, Any], scores: str, labels: tuple[str, ...] | None
) -> None:
    saved(tmp_path, "ViT", **config)
    classifier = load_model(f"hf:{tmp_path}")
    assert (classifier.scores, classifier.labels) == (scores, labels)


def test_random_weights_and_those_of_a_file(vit: Path, tmp_path: Path) -> None:
    untrained = load_model(f"hf:{vit}", weights="none")
    assert torch.equal(
        untrained.module.classifier.weight, load_model(f"hf:{vit}", weights="none").module.classifier.weight
    )
    assert untrained.labels == NAMES
    trained = saved(tmp_path, "ViT", id2label={0: "hen", 1: "elk"}, label2id={"hen": 0, "elk": 1})
    save_file(trained.state_dict(), tmp_path / "two.safetensors")
    classifier = load_model(f"hf:{vit}", weights=str(tmp_path / "two.safetensors"))
    assert torch.equal(classifier.module.classifier.weight, trained.classifier.weight)
    assert classifier.labels is None


def test_the_weights_of_a_folder_are_read_by_the_names_that_they_have_there(vit: Path) -> None:
    own, given = (load_model(f"hf:{vit}", weights=each).module for each in ("default", str(vit / "model.safetensors")))
    for expected, found in zip(own.state_dict().values(), given.state_dict().values(), strict=True):
        assert torch.equal(found, expected)


def test_a_configuration_without_names_of_classes_has_no_labels() -> None:
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**TRANSFORMER))
    model.config.id2label = None
    assert Explainer(model).classifier.labels is None


def test_scores_may_be_named_like_features_if_they_are_as_many_as_the_classes() -> None:
    config = transformers.PPLCNetConfig(num_labels=5, scale=0.25)
    model = transformers.PPLCNetForImageClassification(config)
    assert len(Explainer(model, preprocessing=Preprocessing((SIDE, SIDE)))(PICTURE).predictions) == 5


def test_a_traced_model_explains_as_it_did(vit: Path) -> None:
    explainer = Explainer(f"hf:{vit}")
    graph = trace(program_of(explainer), explainer.classifier.module, pictures())
    for given, expected in zip(graph.module(pictures()), explainer.answer(pictures()).tensors, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-6)


def test_loading_is_quiet_and_leaves_the_reports_as_they_were(vit: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reports = transformers.utils.logging
    before = reports.get_verbosity(), reports.is_progress_bar_enabled()
    load_model(f"hf:{vit}")
    with pytest.raises(LivecamError):
        load_model(f"hf:{vit.parent}")
    assert (reports.get_verbosity(), reports.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def without_a_head(folder: Path) -> None:
    transformers.ViTModel(transformers.ViTConfig(**TRANSFORMER)).save_pretrained(folder)


def changed(folder: Path, **config: Any) -> None:
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, **config}))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no head": (
        without_a_head,
        "is of ViTModel and lacks classifier.bias, classifier.weight: its classes would be random",
    ),
    "another head": (
        lambda folder: changed(folder, model_type="vit_mae", architectures=["ViTMAEForPreTraining"]),
        "is no model that classifies, segments or detects, but ViTMAEForPreTraining",
    ),
    "its own code": (
        lambda folder: changed(folder, model_type="mine", auto_map={"AutoConfig": "mine.Config"}),
        "needs code of its own",
    ),
    "unknown": (lambda folder: changed(folder, model_type="mine"), "is a 'mine', which transformers"),
    "timm": (
        lambda folder: (folder / "config.json").write_text('{"architecture": "resnet10t"}'),
        "is a model of timm; name it --model timm:resnet10t --weights",
    ),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "damaged configuration": (lambda folder: (folder / "config.json").write_text('{"a":'), "is damaged (Expecting"),
    "configuration of nothing": (lambda folder: (folder / "config.json").write_text("[]"), "describes no model"),
    "damaged processor": (
        lambda folder: (folder / "preprocessor_config.json").write_text("{"),
        "cannot be loaded (",
    ),
    "damaged weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"half of a header"),
        "cannot be loaded (",
    ),
    "pickled weights": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "has no weights as model.safetensors",
    ),
    "other sizes": (lambda folder: changed(folder, hidden_size=32), "other shapes than its config.json says"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(
    what: str, vit: Path, tmp_path: Path, livecam: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    damage, message = REFUSED[what]
    folder = tmp_path / "model"
    shutil.copytree(vit, folder)
    damage(folder)
    result = livecam("annotate", "demo:?seconds=1", "-o", tmp_path / "out.mp4", "--model", f"hf:{folder}")
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert f"hf:{folder}" in line
    assert message in line


def test_a_folder_with_a_model_that_segments(tmp_path: Path, livecam: Callable[..., Result]) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16}
    config = transformers.SegformerConfig(**sizes, depths=[1] * 4, **CLASSES)
    model = transformers.SegformerForSemanticSegmentation(config).eval()
    model.save_pretrained(tmp_path)
    transformers.SegformerImageProcessor(size=SQUARE).save_pretrained(tmp_path)
    name, lines = f"hf:{tmp_path}", tmp_path / "p.jsonl"
    explainer = Explainer(name)
    scores = explainer.task.read(explainer.classifier.module(torch.zeros(1, 3, SIDE, SIDE)))
    torch.testing.assert_close(scores, model(torch.zeros(1, 3, SIDE, SIDE)).logits)
    assert (explainer.classifier.labels, explainer.classifier.preprocessing.size) == (NAMES, (SIDE, SIDE))
    options = ("--predictions", lines, "--engine", "eager", "--target", "egg", "--model", name)
    result = livecam("annotate", "demo:?seconds=1&fps=4&size=160x90", "-o", tmp_path / "out.mp4", *options)
    assert result.exit_code == 0, result.output
    for number, line in enumerate(map(json.loads, lines.read_text().splitlines())):
        (egg,) = line["explained"]
        assert (line["index"], line["unit"], egg["label"]) == (number, "share of the picture", "egg")
        assert sum(each["score"] for each in line["classes"]) == pytest.approx(1, abs=1e-5)
        assert egg["score"] in [each["score"] for each in line["classes"] if each["label"] == "egg"]
    assert number == 3


def test_a_name_that_lacks_its_prefix_is_answered_with_it(vit: Path, tmp_path: Path) -> None:
    for name in (str(vit), "google/vit-base-patch16-224"):
        with pytest.raises(LivecamError, match=f"did you mean hf:{name}"):
            load_model(name)
    with pytest.raises(LivecamError, match="name it timm:resnet50.a1_in1k"):
        load_model("hf:timm/resnet50.a1_in1k")
    with pytest.raises(LivecamError, match="hf: names no model"):
        load_model("hf:")
    with pytest.raises(LivecamError, match="there is no folder"):
        load_model(f"hf:{tmp_path}/nothing/here")


def test_a_repository_needs_the_network_once(vit: Path, hub: Path) -> None:
    with pytest.raises(LivecamError, match=r"hf:my/vit cannot be downloaded from huggingface.co \(Name or service"):
        load_model("hf:my/vit")
    assert len(attempts) <= 2  # nobody waits for retries
    snapshot = hub / "models--my--vit" / "snapshots" / ("0" * 40)
    (hub / "models--my--vit" / "refs").mkdir(parents=True)
    (hub / "models--my--vit" / "refs" / "main").write_text("0" * 40)
    snapshot.mkdir(parents=True)
    for file in ("config.json", "preprocessor_config.json"):
        shutil.copy(vit / file, snapshot)
    assert load_model("hf:my/vit", weights="none").labels == NAMES
    with pytest.raises(LivecamError, match="cannot be downloaded"):
        load_model("hf:my/vit")
    shutil.copy(vit / "model.safetensors", snapshot)
    assert load_model("hf:my/vit").labels == NAMES


def test_without_transformers_it_is_told_how_to_get_it(
    livecam: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    result = livecam("annotate", "demo:?seconds=1", "-o", tmp_path / "out.mp4", "--model", f"hf:{tmp_path}")
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert "pip install 'livecam[hf]'" in line
