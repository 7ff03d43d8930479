"""The models of timm: explained, with weights from the hub, from a file or none, and without timm."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import Result
from safetensors.torch import save_file

from livecam import Explainer, LivecamError
from livecam.models import load_model, timm_models
from livecam.models.known import architectures_of_timm
from tests.models.conftest import attempts

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
ARCHITECTURES = {
    "resnet10t": (6, 6),
    "vit_little_patch16_reg4_gap_256": (16, 16),  # register tokens, and no class token
    "deit_tiny_distilled_patch16_224": (14, 14),  # two heads and two class tokens
    "swin_tiny_patch4_window7_224": (7, 7),  # channels last
    "convnext_atto": (7, 7),
    "mobilenetv3_small_100": (7, 7),
    "resmlp_12_224": (14, 14),
    "regnety_002": (7, 7),
    "xcit_nano_12_p16_224": (14, 14),
    "pvt_v2_b0": (7, 7),
}
SLOWER = {
    "efficientnet_b0": (7, 7),
    "coatnet_pico_rw_224": (7, 7),
    "efficientformer_l1": (7, 7),
    "ghostnet_050": (7, 7),
    "vit_tiny_patch16_224": (14, 14),
    "mixer_s32_224": (7, 7),
    "swinv2_tiny_window8_256": (8, 8),
    "gmlp_s16_224": (14, 14),
    "maxvit_rmlp_pico_rw_256": (8, 8),
    "beit_base_patch16_224": (14, 14),
    "naflexvit_base_patch16_gap": (24, 24),
    "vit_base_patch14_dinov2": (37, 37),
    "inception_v4": (8, 8),
    "tresnet_m": (7, 7),  # its first convolution takes 48 channels, of a picture in blocks
}


def test_the_architectures_in_the_source_are_those_of_timm() -> None:
    assert sorted(architectures_of_timm()) == sorted(timm.list_models())


@pytest.mark.parametrize(
    ("name", "grid"), [*ARCHITECTURES.items(), *(pytest.param(*row, marks=pytest.mark.slow) for row in SLOWER.items())]
)
def test_architectures_of_every_kind_are_explained(name: str, grid: tuple[int, int]) -> None:
    explanation = Explainer(f"timm:{name}", weights="none")(PICTURE)
    assert explanation.cam.shape == grid
    assert np.isfinite(explanation.cam).all()
    assert np.ptp(explanation.cam) > 0


def test_preprocessing_and_labels_are_the_weights_own() -> None:
    classifier = load_model("timm:vit_tiny_patch16_224", weights="none")
    preprocessing = classifier.preprocessing
    assert (preprocessing.size, preprocessing.resize) == ((224, 224), 248)  # 224 / 0.9, as timm rounds it
    assert preprocessing.mean == preprocessing.std == (0.5, 0.5, 0.5)
    assert classifier.labels is not None
    assert classifier.labels[281] == "tabby"
    assert not any("," in label for label in classifier.labels or ())
    assert load_model("timm:resnet10t.c3_in1k", weights="none").preprocessing.size == (176, 176)


def test_without_weights_a_model_is_the_same_each_time() -> None:
    first, second = (load_model("timm:resnet10t", weights="none").module.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_from_a_file_say_classes_and_channels(tmp_path: Path) -> None:
    trained = timm.create_model("resnet10t", num_classes=3, in_chans=1)
    save_file(trained.state_dict(), tmp_path / "grey.safetensors")
    explainer = Explainer("timm:resnet10t", weights=str(tmp_path / "grey.safetensors"))
    assert torch.equal(explainer.classifier.module.fc.weight, trained.fc.weight)
    assert explainer.classifier.preprocessing.mean == pytest.approx((0.449,))
    assert explainer(PICTURE).label in ("class 0", "class 1", "class 2")


def test_a_new_head_on_features(tmp_path: Path) -> None:
    """Weights that were published without classes, trained on to some."""
    trained = timm.create_model("convnextv2_atto.fcmae", num_classes=2)
    torch.save(trained.state_dict(), tmp_path / "two.pt")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    explainer = Explainer(
        "timm:convnextv2_atto.fcmae", weights=str(tmp_path / "two.pt"), labels=tmp_path / "labels.txt"
    )
    assert explainer(PICTURE).label in ("cat", "dog")


@pytest.mark.parametrize(("name", "host"), [("resnet10t", "huggingface.co"), ("gcvit_xxtiny.in1k", "github.com")])
def test_weights_that_cannot_be_downloaded(
    livecam: Callable[..., Result], hub: Path, tmp_path: Path, name: str, host: str
) -> None:
    result = livecam("annotate", "demo:?seconds=1", "-o", tmp_path / "out.mp4", "--model", f"timm:{name}")
    assert len(attempts) <= 2  # nobody waits for retries
    assert result.exit_code == 1
    (line,) = [text for text in result.output.splitlines() if not text.startswith("Downloading")]  # that is torch's
    assert f"the weights of timm:{name} cannot be downloaded from {host} (Name or service not known)" in line
    assert "--weights FILE" in line


def keep_in(hub: Path, content: bytes) -> None:
    """Lay weights of resnet10t where the hub's client keeps what it has downloaded."""
    repository = hub / "models--timm--resnet10t.c3_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(content)


def test_weights_that_were_downloaded_need_no_network(
    livecam: Callable[..., Result], hub: Path, tmp_path: Path
) -> None:
    trained = timm.create_model("resnet10t")
    save_file(trained.state_dict(), tmp_path / "trained.safetensors")
    keep_in(hub, (tmp_path / "trained.safetensors").read_bytes())
    classifier = load_model("timm:resnet10t")
    assert torch.equal(classifier.module.fc.weight, trained.fc.weight)
    assert classifier.labels is not None
    assert classifier.labels[281] == "tabby"
    listed = livecam("models", "timm:resnet10t*").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:] if line.endswith("on disk")] == [
        "timm:resnet10t",
        "timm:resnet10t.c3_in1k",
    ]


def test_a_damaged_download_is_told(hub: Path) -> None:
    keep_in(hub, b"half of a header")
    with pytest.raises(LivecamError, match="damaged; delete .*models--timm--resnet10t.c3_in1k to download them again"):
        load_model("timm:resnet10t")


def test_without_timm_it_is_told_how_to_get_it(
    livecam: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    timm_models.names.cache_clear()
    for command in (
        ("annotate", "demo:?seconds=1", "-o", tmp_path / "out.mp4", "--model", "timm:resnet50"),
        ("models", "timm:*"),
    ):
        result = livecam(*command)
        assert result.exit_code == 1
        (line,) = result.output.splitlines()
        assert "pip install 'livecam[timm]'" in line
    assert "pip install 'livecam[timm]'" in livecam("models").stderr
    assert livecam("annotate", "demo:?seconds=1", "-o", tmp_path / "out.mp4", "--model", "no_such").exit_code == 2
