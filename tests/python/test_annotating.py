"""Files are annotated and sources are watched with a model or its name as well as with an explainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from livecam import LivecamError, annotate, watch
from tests.support.stills import scene
from tests.support.tiny import QuickShapes, tiny

Clip = Callable[..., Path]


@pytest.mark.usefixtures("quick_shapes")
def test_a_video_is_annotated_with_a_model_by_name(clip: Clip, tmp_path: Path) -> None:
    ledger = annotate(clip(frames=3), tmp_path / "out.mp4", "shapes")
    assert (ledger.read, ledger.delivered) == (3, 3)
    assert (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("given", [QuickShapes(), tiny(), tiny])
def test_a_picture_is_annotated_with_whatever_explains(given: Any, tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png")
    ledger = annotate(str(tmp_path / "photo.png"), tmp_path / "out.jpg", given)
    assert ledger.delivered == 1
    assert (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("resnet51", "there is no model 'resnet51'"),
        (None, "a model or its name, not NoneType"),
        (torch.ones(3), "not Tensor"),
    ],
)
def test_what_explains_nothing_is_refused(given: Any, told: str, tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png")
    with pytest.raises(LivecamError, match=told):
        annotate(tmp_path / "photo.png", tmp_path / "out.jpg", given)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.usefixtures("quick_shapes")
@pytest.mark.parametrize("given", ["shapes", QuickShapes(), tiny()])
def test_a_source_is_watched_with_whatever_explains(given: Any, tmp_path: Path) -> None:
    source = "demo:?size=64x48&seconds=0.2"
    (ledger,) = watch(source, given, window=False, report=tmp_path / "report.json")
    assert ledger.delivered > 0


def test_a_camera_may_be_a_number() -> None:
    with pytest.raises(LivecamError, match="cannot open camera 987"):
        watch(987, tiny(), window=False, report="report.json")


@pytest.mark.usefixtures("quick_shapes")
def test_pictures_that_an_earlier_call_has_done_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    counts = []
    for names in (("a.png", "b.png"), ("c.png",), ()):
        for name in names:
            scene().save(tmp_path / "in" / name)
        counts.append(annotate(tmp_path / "in", tmp_path / "out", "shapes", resume=True).delivered)
    assert counts == [2, 1, 0]
    assert annotate(tmp_path / "in", tmp_path / "out", "shapes", resume=True, every=1, batch=1).delivered == 0
    with pytest.raises(LivecamError, match="resume needs the name of a model"):
        annotate(tmp_path / "in", tmp_path / "out", tiny(), resume=True)
    with pytest.raises(LivecamError, match="--resume is for outputs in a folder"):
        annotate(tmp_path / "in" / "a.png", tmp_path / "a.jpg", "shapes", resume=True)
