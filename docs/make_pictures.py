"""Draws the pictures of docs/recipes.md: ``python docs/make_pictures.py``.

They show the shipped model on a generated scene, and efficientnet_lite0 on a photograph that lies beside the tests, so
that they can be drawn anywhere and come out the same.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cosine_similarity

from livecam import Explainer
from livecam.models import load_model
from livecam.render import overlay
from livecam.scene import Scene

FOLDER = Path(__file__).parent
SIZE = 640, 360
as_published = partial(overlay, blend="uniform", caption=True)
"""Draws as the recipes do."""


def scene(seed: int, time_seconds: float) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    return Scene(seed, 2, *SIZE).render(time_seconds)


def classes_in(seed: int, time_seconds: float) -> list[str]:
    """What there is to be seen."""
    return [shape.label for shape in Scene(seed, 2, *SIZE).truth(time_seconds)]


def save(name: str, *pictures: np.ndarray) -> None:
    """Side by side."""
    Image.fromarray(np.hstack(pictures)).save(FOLDER / f"{name}.jpg", quality=85)


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


def main() -> None:
    """One picture a recipe, and a dog."""
    photograph = np.asarray(Image.open(FOLDER.parent / "tests" / "data" / "dog.jpg"))
    dog = Explainer("efficientnet_lite0", engine="eager", precision="fp32")(photograph)
    save("dog", photograph, overlay(photograph, dog, caption=True))
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
    views = [overlay(picture, both, view=view, caption=True) for view in ("overlay", "heatmap", "raw", "tints")]
    marked = overlay(picture, Explainer("shapes", threshold=0.3)(picture), contour=True, colorbar=True, caption=True)
    rows = [np.hstack([views[0], marked]), np.hstack([views[1], views[2]]), np.hstack([views[3], picture])]
    Image.fromarray(np.vstack(rows)).resize((960, 810)).save(FOLDER / "views.jpg", quality=85)


if __name__ == "__main__":
    main()
