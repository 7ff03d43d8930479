"""Models by name, their weights and labels."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from click.testing import Result

from livecam import Explainer, LivecamError
from livecam.models import load_model
from livecam.models.shapes import LABELS, WEIGHTS


def test_the_shipped_weights_are_small_and_plain() -> None:
    assert WEIGHTS.stat().st_size <= 1_000_000
    assert all(isinstance(value, torch.Tensor) for value in torch.load(WEIGHTS, weights_only=True).values())
    assert len(LABELS) >= 8
    assert load_model("shapes").labels == LABELS


def test_labels_come_with_the_weights() -> None:
    classifier = load_model("resnet18", weights="none")
    assert classifier.label(281) == "tabby"
    assert classifier.index_of("TABBY", 1000) == classifier.index_of("281", 1000) == 281


def test_without_weights_a_model_is_the_same_each_time() -> None:
    first, second = (load_model("squeezenet1_1", weights="none").module.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_from_a_file(tmp_path: Path) -> None:
    """A model trained on three classes: the labels say how many."""
    trained = torchvision.models.resnet18(num_classes=3)
    for content, name in ((trained.state_dict(), "plain.pt"), ({"state_dict": trained.state_dict()}, "nested.pt")):
        torch.save(content, tmp_path / name)
        (tmp_path / "labels.txt").write_text("cat\ndog\n\nbird\n")
        explainer = Explainer("resnet18", weights=str(tmp_path / name), labels=tmp_path / "labels.txt")
        assert explainer.classes == 3
        assert torch.equal(explainer.classifier.module.fc.weight, trained.fc.weight)


def test_weights_that_cannot_be_downloaded(
    livecam: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    result = livecam("annotate", "demo:?seconds=1", "-o", tmp_path / "out.mp4", "--model", "resnet18")
    assert result.exit_code == 1
    (line,) = [text for text in result.output.splitlines() if not text.startswith("Downloading")]  # that is torch's
    assert "the weights of resnet18 cannot be downloaded from download.pytorch.org (no route to host)" in line
    assert "--weights FILE" in line
    assert not (tmp_path / "out.mp4").exists()


def test_a_model_or_class_that_does_not_exist_gets_suggestions() -> None:
    with pytest.raises(LivecamError, match="did you mean resnet50"):
        load_model("resnet_50")
    with pytest.raises(LivecamError, match="did you mean tabby"):
        Explainer("resnet18", weights="none", target="taby")
