"""The models of open_clip by name: their weights, activation and preprocessing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from click.testing import Result
from open_clip.transformer import QuickGELU

from livecam.errors import ModelError
from livecam.models import load_model
from tests.support import tiny_clip

TAGS = {
    "first": {"hf_hub": "somebody/tiny/", "quick_gelu": True, "resize_mode": "squash", "mean": (0.5, 0.5, 0.5)},
    "second": {"hf_hub": "somebody/tiny/other.bin"},
}


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    tiny_clip.register(monkeypatch, tmp_path / "configs")
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-vit", TAGS)


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights that have been downloaded for any model."""
    file = tmp_path / "open_clip_pytorch_model.bin"
    state = load_model("clip:tiny-vit", weights="none").module.state_dict()
    torch.save({name: value + 0.01 for name, value in state.items()}, file)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: str(file))
    return file


def is_quick(module: Any) -> bool:
    return any(isinstance(each, QuickGELU) for each in module.modules())


def test_published_weights_come_with_their_activation_and_preprocessing(downloaded: Path) -> None:
    first, second = load_model("clip:tiny-vit"), load_model("clip:tiny-vit/second")
    for name, value in torch.load(downloaded).items():
        torch.testing.assert_close(first.module.state_dict()[name], value)
    assert (first.name, second.name) == ("clip:tiny-vit/first", "clip:tiny-vit/second")
    assert (is_quick(first.module), is_quick(second.module)) == (True, False)
    assert (first.preprocessing.mean, first.preprocessing.resize) == ((0.5, 0.5, 0.5), (32, 32))
    assert second.preprocessing.resize == 32


def test_other_weights_have_the_activation_of_the_architecture() -> None:
    """Those of a file need not be the first that were published."""
    assert not is_quick(load_model("clip:tiny-vit", weights="none").module)
    assert is_quick(load_model("clip:tiny-vit/first", weights="none").module)


def test_weights_that_cannot_be_had_are_told_in_one_line(
    downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded.write_bytes(b"cut short")
    with pytest.raises(ModelError, match=r"weights of clip:tiny-vit/second are damaged \(.*\); delete .* again$"):
        load_model("clip:tiny-vit/second")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: None)

    def unreachable(url: str) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    with pytest.raises(ModelError, match=r"clip:tiny-vit/first cannot be downloaded from \S+ \(Network is unreach.*\)"):
        load_model("clip:tiny-vit")
    with pytest.raises(ModelError, match="there are no published weights of clip:tiny-resnet; give --weights FILE"):
        load_model("clip:tiny-resnet")


def test_open_clip_says_nothing_and_leaves_the_logs_alone(capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = list(root.handlers), list(root.filters)
    load_model("clip:tiny-vit", weights="none")
    assert (root.handlers, root.filters) == before
    assert capfd.readouterr() == ("", "")


def test_they_are_listed_with_their_weights(livecam: Callable[..., Result], downloaded: Path) -> None:
    rows = [line.split() for line in livecam("models", "clip:*vit*").stdout.splitlines()]
    assert [row[0] for row in rows[1:]] == ["clip:tiny-vit", "clip:tiny-vit/first", "clip:tiny-vit/second"]
    assert rows[1][-2:] == ["on", "disk"]
    assert "did you mean clip:tiny-vit" in livecam("models", "clip:tiny-viet").stderr
    layers = livecam("layers", "clip:tiny-resnet").stdout.splitlines()
    assert [line.split()[2] for line in layers if line.startswith("*")] == ["visual.layer4"]
