"""Draws the pictures of README.md and of the pages in docs/ that show explanations: ``python docs/make_pictures.py``.

They show the shipped models on generated scenes, and efficientnet_lite0 on a photograph that lies beside the tests, so
that they can be drawn anywhere and come out the same.
"""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cosine_similarity

from livecam import Explainer
from livecam.explain.heat import Steadiness
from livecam.models import Classifier, load_model
from livecam.render import Renderer, Style, overlay
from livecam.scene import Scene

FOLDER = Path(__file__).parent
SIZE = 640, 360
MOVING = Style(view="timeline")
as_published = partial(overlay, blend="uniform", caption=True)
"""Draws as the recipes do."""


def scene(seed: int, time_seconds: float, shapes: int = 2, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    return Scene(seed, shapes, *size).render(time_seconds)


def classes_in(seed: int, time_seconds: float) -> list[str]:
    """What there is to be seen."""
    return [shape.label for shape in Scene(seed, 2, *SIZE).truth(time_seconds)]


def save(name: str, *pictures: np.ndarray, columns: int = 3, quality: int = 85) -> None:
    """Save pictures of one size as one, in rows of up to so many."""
    rows = [np.hstack(pictures[first : first + columns]) for first in range(0, len(pictures), columns)]
    Image.fromarray(np.vstack(rows)).save(FOLDER / f"{name}.jpg", quality=quality)


def similar(photograph: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The head of the dog, and the photograph with what is similar to it, as in the last recipe."""
    head = np.asarray(Image.fromarray(photograph[120:270, 75:270]).resize((416, 320)))
    known = load_model("efficientnet_lite0")
    known.module._fc = nn.Identity()
    height, width = known.preprocessing.size
    inputs = np.asarray(Image.fromarray(head).resize((width, height))) / 255 - known.preprocessing.mean
    inputs = torch.tensor(inputs / known.preprocessing.std, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():
        reference = known.module.eval()(inputs)
    target = {"similarity": lambda features: cosine_similarity(features, reference)}
    explainer = Explainer(known.module, preprocessing=known.preprocessing, target=target, engine="eager")
    return head, as_published(photograph, explainer(photograph))


def recipes(photograph: np.ndarray) -> None:
    """One picture a recipe, and the views."""
    seed, time_seconds = 12, 3.0
    picture, labels = scene(seed, time_seconds), classes_in(seed, time_seconds)
    both = Explainer("shapes", target=labels)(picture)
    save("recipe1", as_published(picture, Explainer("shapes")(picture), opacity=0.4))
    save("recipe2", as_published(picture, Explainer("shapes", fit="crop")(picture)))
    save("recipe3", as_published(picture, both, view="classes", opacity=0.4))
    other = Explainer("shapes", layer="features", threshold="auto", smooth=0.5)(picture)
    save("recipe4", as_published(picture, other, view="raw"), as_published(picture, other))
    plus = Explainer("shapes", method="gradcam++", threshold="min")(picture)
    save("recipe5", as_published(picture, plus, view="panels", columns=3))
    save("recipe6", *similar(photograph))


def smaller(photograph: np.ndarray) -> np.ndarray:
    """Scale a photograph to the size at which three stand side by side on a page."""
    return np.asarray(Image.fromarray(photograph).resize((320, 214)))


@cache
def explainer(model: str = "efficientnet_lite0", **options: Any) -> Explainer:
    """Make an explainer that computes everywhere the same."""
    return Explainer(model, engine="eager", precision="fp32", **options)


def drawn(
    photograph: np.ndarray, target: Any = "top1", *, style: Any = None, small: bool = False, **options: Any
) -> np.ndarray:
    """Explain a class of a photograph by an explainer with these options, and draw it in this style."""
    explanation = explainer(**options)(photograph, target=target)
    return overlay(smaller(photograph) if small else photograph, explanation, caption=True, **(style or {}))


def seen(photograph: np.ndarray) -> None:
    """The first picture of README.md, and the views."""
    save("dog", photograph, drawn(photograph, target="dog"))
    views = [drawn(photograph, style={"view": view}, target="dog") for view in ("overlay", "heatmap", "raw")]
    marked = drawn(photograph, style={"contour": True, "colorbar": True}, target="dog", threshold=0.3)
    tints = drawn(photograph, ["dog", "barber chair"], style={"view": "tints"})
    save("views", views[0], marked, *views[1:], tints, photograph, columns=2)


def reading(photograph: np.ndarray) -> None:
    """One picture a question of docs/reading.md."""
    draw = partial(drawn, photograph, small=True)
    save_small = partial(save, quality=65)
    save_small(
        "reading-grid",
        smaller(photograph),
        draw(target="dog", style={"view": "raw", "colorbar": True}),
        draw(target="dog"),
    )
    save_small("reading-blend", draw(), draw(style={"blend": "uniform"}), draw(threshold=0.5, style={"contour": True}))
    targets = "top1", "top2", "dog", "jean", "barber chair", "sports car"
    save_small("reading-classes", *[draw(target) for target in targets])
    layers = "_blocks.4", "_blocks.10", "_conv_head"
    save_small(
        "reading-layers",
        *[draw(method=method, layer=layer) for method in ("gradcam", "elementwise") for layer in layers],
    )
    save_small("reading-none", draw(model="shapes"), draw(scale=2.0), draw(fit="crop"))
    save_small("reading-all", draw(weights="none"), draw(scale=0.2), draw(threshold="min", style={"blend": "uniform"}))
    save_small(
        "reading-beside", draw(target="soup bowl"), draw(layer="_blocks.15", method="layercam"), draw(target="dog")
    )
    save_small("reading-wrong", draw(), draw("Labrador retriever", against="pug"), draw(method="finercam"))
    boxes = [(step, step // 2, step + 420, step // 2 + 280) for step in (20, 21, 22)]  # a camera that moves
    frames = [np.asarray(Image.fromarray(photograph).crop(box).resize((480, 320))) for box in boxes]
    save_small(
        "reading-flicker", *[drawn(frame, small=True, **which) for which in ({}, {"target": "dog"}) for frame in frames]
    )


def clips() -> None:
    """A shape that moves and another one that grows, with the timeline."""
    explainer, steady, render = Explainer("motion", engine="eager"), Steadiness(), Renderer("gbrp", MOVING)
    pictures = [
        render(frame, steady(frame, explanation)).to_ndarray(format="rgb24")
        for frame, explanation in explainer.stream("demo:motion?size=640x360&fps=30&seconds=7&seed=28")
    ]
    save("clips", pictures[72], pictures[168], columns=2)


def model_on(page: str) -> Classifier:
    """Make the model whose code stands on a page."""
    names: dict[str, Any] = {}
    (code,) = re.findall("```python\n(.*?)```", (FOLDER / page).read_text(encoding="utf-8"), re.DOTALL)
    exec(code, names)
    return names["make"]()


def segmentation() -> None:
    """Two shapes of a scene, each with the pixels in which the model of the page sees it."""
    seed, time_seconds = 5, 1.0
    picture, targets = scene(seed, time_seconds), classes_in(seed, time_seconds)
    explainer = Explainer(model_on("segmentation.md"), engine="eager")
    save(
        "segmentation",
        *[overlay(picture, explainer(picture, target=target), caption=True) for target in targets],
        columns=2,
    )


def detection() -> None:
    """Two of the boxes in which the model of the page sees shapes."""
    picture = scene(17, 2.0, shapes=3, size=(480, 480))
    explainer = Explainer(model_on("detection.md"), engine="eager")
    targets = "box1", "box3"
    save(
        "detection",
        *[overlay(picture, explainer(picture, target=target), caption=True) for target in targets],
        columns=2,
    )


def main() -> None:
    """All of them."""
    photograph = np.asarray(Image.open(FOLDER.parent / "tests" / "data" / "dog.jpg"))
    recipes(photograph)
    seen(photograph)
    reading(photograph)
    clips()
    segmentation()
    detection()


if __name__ == "__main__":
    main()
