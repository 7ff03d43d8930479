"""The explanation of a picture keeps the picture: it is drawn, saved and shown with its own heatmap."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageShow

import livecam
from livecam import Explainer, Explanation, LivecamError, annotate, overlay
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation
from tests.support.stills import scene
from tests.support.tiny import tiny

RGB = np.asarray(scene())


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return tiny(labels=["cat", "dog", "bird", "fish", "ant"])


@pytest.fixture
def explanation(explainer: Explainer) -> Explanation:
    return explainer(RGB)


def test_it_is_drawn_over_its_own_picture(explanation: Explanation) -> None:
    assert np.array_equal(explanation.draw(), overlay(RGB, explanation, caption=True))
    panels = explanation.draw(view="side-by-side", colormap="viridis", caption=False)
    assert np.array_equal(panels, overlay(RGB, explanation, view="side-by-side", colormap="viridis"))
    assert np.array_equal(panels[:, : RGB.shape[1]], RGB)


def test_a_saved_picture_is_that_of_annotate(explainer: Explainer, tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png", icc_profile=b"RGB " * 40)
    annotate(tmp_path / "photo.png", tmp_path / "annotated.png", explainer)
    explainer(tmp_path / "photo.png").save(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes() == (tmp_path / "annotated.png").read_bytes()


def test_saving_replaces_a_file_but_never_the_picture_itself(explainer: Explainer, tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png")
    original = (tmp_path / "photo.png").read_bytes()
    explanation = explainer(tmp_path / "photo.png")
    for _ in range(2):
        explanation.save(str(tmp_path / "out.webp"))
    with pytest.raises(LivecamError, match="photo.png would be the input as well"):
        explanation.save(tmp_path / "photo.png")
    for wrong, told in {"out.gif": "a picture ends in .jpg", "no/out.png": "does not exist", ".": "ends in"}.items():
        with pytest.raises(LivecamError, match=told):
            explanation.save(tmp_path / wrong)
    assert (tmp_path / "photo.png").read_bytes() == original
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.webp", "photo.png"]


def test_the_picture_of_a_video_is_saved_as_players_show_it(explainer: Explainer) -> None:
    coded = Frame.from_rgb(RGB).picture.reformat(format="yuv420p")
    frame = Frame(picture=coded, orientation=Orientation(True, True), sample_aspect_ratio=Fraction(2))
    assert explainer(frame).draw().shape == (RGB.shape[1], RGB.shape[0] // 2, 3)
    assert np.abs(frame.to_rgb() - np.rot90(RGB, -1).astype(int)).mean() < 3
    assert np.array_equal(Frame.from_rgb(RGB).to_rgb(), RGB)


def test_it_is_one_line_of_text(explainer: Explainer) -> None:
    three = Explainer.__call__(tiny(top=3), RGB)
    assert repr(three) == f"Explanation('{three.label}' {three.score:.0%} and 2 more, gradcam, map 8x8, picture 160x96)"
    assert "\n" not in repr([explainer(RGB)])


def test_a_notebook_gets_a_png_of_moderate_size(explainer: Explainer, explanation: Explanation) -> None:
    with Image.open(io.BytesIO(explanation._repr_png_())) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), explanation.draw())
    large = explainer(np.zeros((100, 4000, 3), np.uint8))
    with Image.open(io.BytesIO(large._repr_png_())) as image:
        assert image.size == (1280, 32)


def test_all_classes_are_shown_unless_there_is_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    several, shown = tiny(top=3)(RGB), []
    monkeypatch.setattr("livecam.python.explanation.check_screen", lambda advice: None)
    monkeypatch.setattr(ImageShow, "show", lambda image: shown.append(image) or True)
    several.show()
    several.show(view="overlay")
    panels = several.draw(view="classes")
    assert np.array_equal(np.asarray(shown[0]), panels)
    assert np.array_equal(np.asarray(shown[1]), several.draw(view="overlay"))
    assert np.array_equal(several.draw(), panels)
    with Image.open(io.BytesIO(several._repr_png_())) as image:
        assert np.array_equal(np.asarray(image), panels)


def test_it_is_shown_by_the_viewer_of_the_system(explanation: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Image.Image] = []
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(ImageShow, "_viewers", [SimpleNamespace(show=lambda image, **_: shown.append(image) or True)])
    explanation.show(colormap="hot")
    assert np.array_equal(np.asarray(shown[0]), explanation.draw(colormap="hot"))
    monkeypatch.setattr(ImageShow, "_viewers", [])
    with pytest.raises(LivecamError, match="no viewer of pictures is installed"):
        explanation.show()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is always a screen")
@pytest.mark.usefixtures("no_screen")
def test_without_a_screen_it_says_so(explanation: Explanation) -> None:
    with pytest.raises(LivecamError, match="there is no screen"):
        explanation.show()


@pytest.mark.usefixtures("no_screen")
def test_in_a_notebook_it_is_shown_below_the_cell(explanation: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(display_formatter=SimpleNamespace(active_types=["text/plain", "image/png"]))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    shown: list[Image.Image] = []
    monkeypatch.setattr(ImageShow.IPythonViewer, "show_image", lambda viewer, image: shown.append(image) or 1)
    explanation.show(view="side-by-side")
    assert np.array_equal(np.asarray(shown[0]), explanation.draw(view="side-by-side"))


def test_it_can_be_pickled_and_copied(explanation: Explanation, explainer: Explainer) -> None:
    for again in (pickle.loads(pickle.dumps(explanation)), copy.deepcopy(explanation)):
        assert repr(again) == repr(explanation)
        assert np.array_equal(again.draw(), explanation.draw())
    with livecam.open_source("demo:?size=64x48&seconds=0.1") as source:
        *_, frame = source.frames(lambda packet: None)
    again = pickle.loads(pickle.dumps(explainer(frame)))
    assert (
        (again.frame.index, again.frame.pts_seconds) == (frame.index, frame.pts_seconds) == (2, pytest.approx(2 / 30))
    )


def test_what_runs_over_videos_use_holds_no_pictures(explainer: Explainer) -> None:
    assert not hasattr(explainer.explain([RGB])[0], "frame")
