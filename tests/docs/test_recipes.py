"""The recipes of docs/recipes.md: each command and snippet runs as written, and the numbers are right."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from torch import Tensor, nn

from livecam import Explainer, overlay
from livecam.models import load_model, open_clip, timm_models, torchvision_models
from tests.support import tiny_clip
from tests.support.clips import facts_of

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "recipes.md").read_text(encoding="utf-8")
RECIPES = {
    title: (re.findall("```bash\n(.*?)```", text, re.DOTALL), re.findall("```python\n(.*?)```", text, re.DOTALL))
    for title, text in re.findall(r"## ([0-9]+)\. (.*?)(?=\n## |\n# )", TEXT, re.DOTALL)
}
PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)


BUILT = {family: functools.cache(family.build) for family in (torchvision_models, timm_models)}


@pytest.fixture
def without_downloads(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights, the same each time, in the place of those that would be downloaded."""
    for family, build in BUILT.items():
        monkeypatch.setattr(family, "load", build)
    tiny_clip.register(monkeypatch, tmp_path_factory.mktemp("configs"))
    monkeypatch.setattr(open_clip, "load", open_clip.build)


INSTEAD = {
    "photo.jpg": "photo.png",
    "clip:ViT-B-16": "clip:tiny-vit",
    "demo:motion": "demo:motion?size=64x48&seconds=1.2",
}
"""What is quicker, in the place of what is in the recipes."""


def quicker(code: str) -> str:
    return functools.reduce(lambda text, what: text.replace(what, INSTEAD[what]), INSTEAD, code)


@pytest.mark.parametrize("number", RECIPES)
def test_the_command_and_the_snippet_make_the_same_picture(
    number: str,
    livecam: Callable[..., Result],
    without_downloads: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (commands,), (*files, snippet) = RECIPES[number]
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    Image.fromarray(PHOTO[::-1]).save("reference.jpg")
    for file in files:
        Path("similar.py").write_text(file)
    for page, file in {"segmentation.md": "pixels.py", "detection.md": "mine.py"}.items():
        Path(file).write_text(*re.findall("```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL))
    for command in commands.splitlines():
        result = livecam(*shlex.split(quicker(command))[1:])
        assert result.exit_code == 0, result.output
    names: dict[str, Any] = {"Explainer": Explainer, "image": PHOTO, "overlay": overlay}
    exec(quicker(snippet), names)
    if number == "9":
        ours, theirs = facts_of(Path("recipe9.mp4")), facts_of(Path("recipe9_python.mp4"))
        assert all(map(np.array_equal, ours.pictures, theirs.pictures)) and len(ours.pictures) == 36
        return
    assert np.array_equal(np.asarray(Image.open(f"recipe{number}.png")), names["picture"])
    if number == "4":
        assert np.load("map.npy").shape == names["bare"].shape


def test_all_recipes_are_there_with_their_pictures() -> None:
    assert list(RECIPES) == [str(number) for number in range(1, 11)]
    assert len(re.findall(r"^!\[Recipe \d+: .*\]\(.*\.jpg\)$", TEXT, re.MULTILINE)) == 9  # all but that of words


def hooked(model: nn.Module, layer: str, image: Tensor) -> tuple[Tensor, Tensor, int]:
    """Activation and gradient of the best class, (C, h, w), as the tutorials get them: with hooks and backward()."""
    kept: dict[str, Tensor] = {}
    module = model.get_submodule(layer)
    handles = [
        module.register_forward_hook(lambda module, inputs, output: kept.update(activation=output)),
        module.register_full_backward_hook(lambda module, into, out: kept.update(gradient=out[0])),
    ]
    scores = model(image)
    best = int(scores.argmax())
    scores[0, best].backward()
    for handle in handles:
        handle.remove()
    return kept["activation"][0].detach(), kept["gradient"][0], best


def as_input(picture: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 RGB, stretched to 224x224 and normalised as ImageNet was."""
    small = np.asarray(Image.fromarray(picture).resize((224, 224), Image.Resampling.BILINEAR)) / 255
    normal = (small - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return torch.from_numpy(normal.astype(np.float32)).permute(2, 0, 1)[None]


def test_recipe_1_arithmetic() -> None:
    """Weights, map, and the picture: means of the gradient, ReLU, division by the maximum, resize, JET, 0.6 and 0.4."""
    explainer = Explainer("resnet18", weights="none", layer="layer4.1")
    image = as_input(PHOTO)
    activation, gradient, best = hooked(explainer.classifier.module.eval(), "layer4.1", image)
    weights = gradient.mean(dim=(1, 2))
    cam = (weights[:, None, None] * activation).sum(dim=0)
    given = explainer.cam(image, target=best)[0]
    assert (given - cam).abs().max() <= 1e-5 * cam.abs().max()
    shown = torch.relu(cam) / torch.relu(cam).max()
    torch.testing.assert_close(given.relu() / given.max(), shown, rtol=0, atol=1e-5)

    explanation = explainer(PHOTO, target=best)
    assert np.abs(explanation.heatmap - shown.numpy()).max() < 0.05  # another scaler made the input
    small = explanation.heatmap
    fine = cv2.resize(small, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    large = cv2.resize(fine, PHOTO.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    jet = cv2.applyColorMap(np.round(large * 255).astype(np.uint8), cv2.COLORMAP_JET)[:, :, ::-1]
    expected = cv2.addWeighted(PHOTO, 0.6, np.ascontiguousarray(jet), 0.4, 0)
    assert np.abs(overlay(PHOTO, explanation, blend="uniform", opacity=0.4).astype(int) - expected).mean() < 1


def test_recipe_5_arithmetic() -> None:
    """Alphas from squared and cubed gradients, weights sum(alpha relu(g)), the map from its minimum to its maximum."""
    model = load_model("resnet18", weights="none").module.double().eval()
    image = as_input(PHOTO)
    activation, gradient, best = hooked(model, "layer2.1.conv2", image.double())
    squared, cubed = gradient**2, gradient**3
    denominator = 2 * squared + activation.sum(dim=(1, 2), keepdim=True) * cubed
    alpha = torch.where(gradient != 0, squared / denominator, 0)
    weights = (alpha * torch.relu(gradient)).sum(dim=(1, 2))
    cam = (weights[:, None, None] * activation).sum(dim=0)
    exact = Explainer(model, method="gradcam++", layer="layer2.1.conv2", threshold="min")
    given = exact.cam(image, target=best)[0].double()
    assert (given - cam).abs().max() <= 1e-5 * cam.abs().max()
    explanation = exact(PHOTO, target=best)
    low, high = explanation.cam.min(), explanation.cam.max()
    np.testing.assert_allclose(explanation.heatmap, (explanation.cam - low) / (high - low), atol=1e-5)
