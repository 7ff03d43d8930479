"""Models by name, their weights and labels."""

from __future__ import annotations

import sys
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from click.testing import Result
from safetensors.torch import save_file
from torch import Tensor, nn

from livecam import Explainer, LivecamError
from livecam.explain.preprocess import Preprocessor
from livecam.models import Preprocessing, load_model
from livecam.models.shapes import LABELS, WEIGHTS
from livecam.names import FITS
from livecam.picture.frame import Frame
from tests.support.clips import make_clip

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)


def test_the_shipped_weights_are_small_and_plain() -> None:
    assert WEIGHTS.stat().st_size <= 1_000_000
    assert all(isinstance(value, torch.Tensor) for value in torch.load(WEIGHTS, weights_only=True).values())
    assert len(LABELS) >= 8
    assert load_model("shapes").labels == LABELS


def test_labels_come_with_the_weights() -> None:
    classifier = load_model("resnet18", weights="none")
    assert classifier.labels is not None
    assert classifier.labels[281] == "tabby"


def test_without_weights_a_model_is_the_same_each_time() -> None:
    for model in ("shapes", "motion", "squeezenet1_1", "efficientnet_lite0"):
        first, second = (load_model(model, weights="none").module.state_dict() for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_from_a_file(tmp_path: Path) -> None:
    """A model trained on three classes: the labels say how many."""
    trained = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    torch.save(trained.state_dict(), tmp_path / "mine.pt")
    (tmp_path / "labels.txt").write_text("cat\ndog\n\nbird\n")
    explainer = Explainer("shufflenet_v2_x0_5", weights=str(tmp_path / "mine.pt"), labels=tmp_path / "labels.txt")
    assert explainer.task.classes == 3
    assert torch.equal(explainer.classifier.module.fc.weight, trained.fc.weight)


def test_a_file_says_how_many_classes_there_are(tmp_path: Path) -> None:
    """Also a head of convolutions, and a file that does not keep the order of its tensors."""
    for name, head in (("shufflenet_v2_x0_5", "fc"), ("squeezenet1_1", "classifier.1")):
        trained = torchvision.models.get_model(name, num_classes=3)
        save_file(trained.state_dict(), tmp_path / "mine.safetensors")
        explainer = Explainer(name, weights=str(tmp_path / "mine.safetensors"))
        assert torch.equal(explainer.classifier.module.get_submodule(head).weight, trained.get_submodule(head).weight)
        assert explainer(PICTURE).label in ("class 0", "class 1", "class 2")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(LivecamError, match="there are 2 labels, but squeezenet1_1 has 3 classes"):
        Explainer("squeezenet1_1", weights=str(tmp_path / "mine.safetensors"), labels=tmp_path / "labels.txt")


def test_weights_of_a_relative_are_not_taken(tmp_path: Path) -> None:
    torch.save(torchvision.models.mobilenet_v3_large(num_classes=3).state_dict(), tmp_path / "large.pt")
    with pytest.raises(LivecamError, match="large.pt are not of mobilenet_v3_small"):
        load_model("mobilenet_v3_small", weights=str(tmp_path / "large.pt"))


class Grey(nn.Module):
    """Sees one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 4, 3, stride=4, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).relu().mean(dim=(2, 3)))


@pytest.mark.parametrize("fit", FITS)
def test_a_model_of_one_channel_sees_the_luma(fit: str) -> None:
    explainer = Explainer(Grey(), fit=fit)
    assert explainer.classifier.preprocessing.channels == 1
    flat = np.empty((60, 80, 3), np.uint8)
    flat[:] = (200, 100, 50)
    inputs, _ = Preprocessor(explainer.classifier.preprocessing, fit)(Frame.from_rgb(flat))
    assert inputs.shape == (224, 224, 1)
    assert abs(int(inputs[112, 112, 0]) - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)) <= 1
    if fit == "pad":
        assert inputs[0, 0, 0] == round(0.449 * 255)
    explanation = explainer(PICTURE)
    assert explanation.cam.shape == (56, 56)
    assert np.ptp(explanation.cam) > 0
    assert explainer.cam(torch.randn(2, 1, 64, 64)).shape == (2, 16, 16)


def test_what_is_fed_is_the_normalised_luma() -> None:
    seen: list[Tensor] = []
    module = Grey()
    module.features.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].detach()))
    explainer = Explainer(module, preprocessing=Preprocessing(size=(28, 28), mean=(0.1307,), std=(0.3081,)))
    explainer(np.full((56, 56, 3), 255, np.uint8))
    assert seen[-1].shape == (1, 1, 28, 28)
    torch.testing.assert_close(seen[-1], torch.full((1, 1, 28, 28), (1 - 0.1307) / 0.3081))


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder with a package of models in it, and a video; nothing of it stays imported."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "nets.py").write_text(NETS)
    make_clip(tmp_path / "clip.mp4", frames=3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    yield tmp_path
    for name in ("ours", "ours.nets"):
        sys.modules.pop(name, None)


NETS = """
import torch
from torch import nn
from livecam.models import Classifier, Preprocessing

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))

torch.manual_seed(0)
ready = Net()

def labelled():
    return Classifier("pets", Net(), ("cat", "dog"), Preprocessing(size=(64, 96)))

def fails():
    raise KeyError("no such checkpoint")
"""


def test_a_model_of_the_users_own_code(own_models: Path) -> None:
    """A class, an instance, which is not called, and a callable that knows labels and preprocessing."""
    assert Explainer("ours.nets:Net")(PICTURE).label in ("class 0", "class 1")
    ready = Explainer("ours.nets:ready")
    assert ready.classifier.module is sys.modules["ours.nets"].ready
    torch.save(ready.classifier.module.state_dict(), "ready.pt")
    again = Explainer("ours.nets:Net", weights="ready.pt")
    np.testing.assert_array_equal(again(PICTURE).cam, ready(PICTURE).cam)
    labelled = Explainer("ours.nets:labelled", target="dog")
    assert labelled(PICTURE).label == "dog"
    assert labelled(PICTURE).cam.shape == (16, 24)


def test_a_callable_on_the_command_line(livecam: Callable[..., Result], own_models: Path) -> None:
    result = livecam("annotate", "clip.mp4", "-o", "out.mp4", "--model", "ours.nets:labelled", "--target", "cat")
    assert result.exit_code == 0, result.output
    result = livecam("annotate", "clip.mp4", "-o", "no.mp4", "--model", "ours.nets:ready", "--weights", "none")
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "--weights none is not for ours.nets:ready" in result.output


def test_what_a_callable_raises_is_the_cause(own_models: Path) -> None:
    with pytest.raises(LivecamError, match="no such checkpoint") as caught:
        load_model("ours.nets:fails")
    assert isinstance(caught.value.__cause__, KeyError)


def test_weights_that_cannot_be_downloaded(
    livecam: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    result = livecam("annotate", "demo:?seconds=1", "-o", tmp_path / "out.mp4", "--model", "resnet18")
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = [text for text in result.stderr.splitlines() if not text.startswith("Downloading")]  # that is torch's
    assert "the weights of resnet18 cannot be downloaded from download.pytorch.org (no route to host)" in line
    assert "--weights FILE" in line
    assert "--model efficientnet_lite0" in line
    assert not (tmp_path / "out.mp4").exists()


def test_a_model_or_class_that_does_not_exist_gets_suggestions() -> None:
    with pytest.raises(LivecamError, match="did you mean resnet50"):
        load_model("resnet_50")
    with pytest.raises(LivecamError, match="did you mean tabby"):
        Explainer("resnet18", weights="none", target="taby")
