"""How fast is livecam compared with its peers? `python -m benchmarks.speed --size 1920x1080 --json FILE`.

Grad-CAM of each frame's best class, same weights, layer and frames, on the CPU, by livecam, torch-cam, captum and
pytorch-grad-cam: from a frame, (H, W, 3) uint8 RGB, to the heatmap in [0, 1], and on to the overlay in the frame's
size. Resizing and normalising are inside the timer. `make bench` brings them.

Each is used as its documentation shows, created once and reused. captum needs the class, so a prediction comes first;
it has no overlay and does not support transformers. pytorch-grad-cam always gives the heatmap in the input's size, all
others on the layer's grid. Before anything is timed, the maps of the same input are compared, each brought to [0, 1];
they have to be the same.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from captum.attr import LayerGradCam
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.reshape_transforms import vit_reshape_transform
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCam
from torchcam.utils import overlay_mask

from benchmarks.timing import print_machine, print_table
from livecam import Explainer
from livecam.bench.overhead import warm
from livecam.bench.timing import interleaved, write_json
from livecam.explain.preprocess import Preprocessor
from livecam.ledger import percentiles
from livecam.models import Classifier, load_model
from livecam.picture.frame import Frame
from livecam.render import overlay
from livecam.scene import Scene
from livecam.system.machine import versions

MODELS = ("resnet50", "mobilenet_v3_large", "vit_b_16")
FRAMES = 4
LEAST_COSINE = 0.999
"""From here on maps are taken for the same."""
LEAST_COSINE_IN_HALF = 0.99

Heatmap = Callable[[Tensor], np.ndarray]
"""Input (1, 3, h, w) float32, normalised -> (h', w') float32 in [0, 1]."""
Overlay = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Frame (H, W, 3) uint8 RGB and heatmap -> the picture, (H, W, 3) uint8 RGB."""


def normalised(classifier: Classifier, picture: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 RGB of the input's size -> (1, 3, h, w) float32."""
    preprocessing = classifier.preprocessing
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (preprocessing.mean, preprocessing.std))
    return ((torch.from_numpy(picture).permute(2, 0, 1).float() / 255 - mean) / std)[None]


def resized(classifier: Classifier, frame: np.ndarray) -> Tensor:
    """Convert a frame of any size to the input, in the usual way."""
    height, width = classifier.preprocessing.size
    return normalised(classifier, cv2.resize(frame, (width, height)))


def pytorch_grad_cam(module: nn.Module, layer: str) -> Heatmap:
    """Run pytorch-grad-cam's GradCAM with its defaults."""
    cam = GradCAM(module, [module.get_submodule(layer)], reshape_transform=_reshape(layer))
    return lambda batch: cam(batch, targets=None)[0]


def torch_cam(module: nn.Module, layer: str) -> Heatmap:
    """Run torch-cam's GradCAM: a forward pass by the caller, then the extractor."""
    extractor = TorchCam(module, layer, reshape_transform=_reshape(layer))

    def heatmap(batch: Tensor) -> np.ndarray:
        scores = module(batch)
        return extractor(int(scores[0].argmax()), scores)[0][0].numpy()

    return heatmap


def captum(module: nn.Module, layer: str) -> Heatmap:
    """Run captum's LayerGradCam, after a prediction that determines the class."""
    attribution = LayerGradCam(module, module.get_submodule(layer))

    def heatmap(batch: Tensor) -> np.ndarray:
        with torch.no_grad():
            target = module(batch).argmax(dim=1)
        return in_unit_range(attribution.attribute(batch, target, relu_attributions=True)[0, 0].detach().numpy())

    return heatmap


def draw_by_pytorch_grad_cam(frame: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Draw with pytorch-grad-cam's show_cam_on_image."""
    size = (frame.shape[1], frame.shape[0])
    return show_cam_on_image(np.float32(frame) / 255, cv2.resize(heatmap, size), use_rgb=True)


def draw_by_torch_cam(frame: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Draw with torch-cam's overlay_mask."""
    return np.asarray(overlay_mask(Image.fromarray(frame), Image.fromarray(heatmap), alpha=0.5))


PEERS: dict[str, tuple[Callable[[nn.Module, str], Heatmap], Overlay | None]] = {
    "torch-cam": (torch_cam, draw_by_torch_cam),
    "captum": (captum, None),
    "pytorch-grad-cam": (pytorch_grad_cam, draw_by_pytorch_grad_cam),
}


def in_unit_range(heatmap: np.ndarray) -> np.ndarray:
    """Scale a map to 0..1, as all of the libraries do in the end."""
    shifted = heatmap - heatmap.min()
    return shifted / max(float(shifted.max()), 1e-12)


def cosine_of(heatmap: np.ndarray, reference: np.ndarray) -> float:
    """Return the cosine of two heatmaps, the reference resized to the other's size, both scaled to [0, 1]."""
    size = (heatmap.shape[1], heatmap.shape[0])
    one, other = (in_unit_range(each).ravel() for each in (heatmap, cv2.resize(in_unit_range(reference), size)))
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def measure(model: str, engines: Sequence[str], frames: Sequence[np.ndarray], rounds: int) -> dict[str, Any]:
    """Return the cosines to livecam's eager maps by frame, and the milliseconds of heatmap and overlay, by library."""
    classifier = load_model(model, weights="none")
    with ExitStack() as stack:
        explainers = {}
        for engine in engines:
            precision = "fp32" if engine == "eager" else "auto"
            make = partial(Explainer, model, weights="none", device="cpu", engine=engine, precision=precision)
            explainer = stack.enter_context(warm(make, batch=1))
            explainers[f"livecam {explainer.engine}"] = explainer
        reference = explainers["livecam eager"]
        peers = {
            # Each has a module of its own: the hooks of one are no burden to the other.
            name: peer(copy.deepcopy(classifier.module).eval(), reference.layer)
            for name, (peer, _) in PEERS.items()
            if not (name == "captum" and _reshape(reference.layer))
        }
        cosines = _cosines(classifier, reference, explainers, peers, frames)
        heatmaps: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            **{name: partial(_heatmap, explainer) for name, explainer in explainers.items()},
            **{name: partial(_peer_heatmap, classifier, heatmap) for name, heatmap in peers.items()},
        }
        overlays: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            **{name: partial(_overlay, explainer) for name, explainer in explainers.items()},
            **{
                name: partial(_peer_overlay, heatmaps[name], draw)
                for name, (_, draw) in PEERS.items()
                if draw is not None
            },
        }
        return {
            "layer": reference.layer,
            "precision": {name: explainer.precision for name, explainer in explainers.items()},
            "cosine": cosines,
            "heatmap_ms": _times(heatmaps, frames, rounds),
            "overlay_ms": _times(overlays, frames, rounds),
        }


def _cosines(
    classifier: Classifier,
    reference: Explainer,
    explainers: dict[str, Explainer],
    peers: dict[str, Heatmap],
    frames: Sequence[np.ndarray],
) -> dict[str, list[float]]:
    """Return the cosines of each frame's maps, computed from livecam's own input. Fails if the maps differ.

    With random weights classes are nearly equal, and in half precision another one may be the best: such frames are
    left out, but at least one frame must remain.
    """
    prepare = Preprocessor(classifier.preprocessing)
    cosines: dict[str, list[float]] = {name: [] for name in (*explainers, *peers)}
    for frame in frames:
        expected = reference(frame)
        for name, explainer in explainers.items():
            explanation = explainer(frame)
            if explanation.index == expected.index:
                cosines[name].append(cosine_of(explanation.heatmap, expected.heatmap))
        batch = normalised(classifier, prepare(Frame.from_rgb(frame))[0])
        for name, heatmap in peers.items():
            cosines[name].append(cosine_of(heatmap(batch), expected.heatmap))
    for name, found in cosines.items():
        in_single = name in peers or explainers[name].precision == "fp32"
        least = min(found, default=0.0)
        assert least >= (LEAST_COSINE if in_single else LEAST_COSINE_IN_HALF), f"{name}: other maps, cosine {least:.4f}"
    return cosines


def _heatmap(explainer: Explainer, frame: np.ndarray) -> np.ndarray:
    return explainer(frame).heatmap


def _overlay(explainer: Explainer, frame: np.ndarray) -> np.ndarray:
    return overlay(frame, explainer(frame))


def _peer_heatmap(classifier: Classifier, heatmap: Heatmap, frame: np.ndarray) -> np.ndarray:
    return heatmap(resized(classifier, frame))


def _peer_overlay(heatmap: Callable[[np.ndarray], np.ndarray], draw: Overlay, frame: np.ndarray) -> np.ndarray:
    return draw(frame, heatmap(frame))


def _times(
    works: dict[str, Callable[[np.ndarray], np.ndarray]], frames: Sequence[np.ndarray], rounds: int
) -> dict[str, dict[str, float]]:
    def on_next(work: Callable[[np.ndarray], np.ndarray]) -> Callable[[], object]:
        endless = cycle(frames)
        return lambda: work(next(endless))

    times = interleaved({name: on_next(work) for name, work in works.items()}, rounds)
    return {name: percentiles(each) for name, each in times.items()}


def _reshape(layer: str) -> Callable[[Tensor], Tensor] | None:
    return vit_reshape_transform if layer.startswith("encoder.") else None


def main() -> None:
    """Print the tables, and write them as JSON if asked to. Fails if the maps differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="of torchvision, comma-separated")
    parser.add_argument("--engines", default="compiled,eager", help="of livecam, comma-separated; must include eager")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    frames = [Scene(seed, 2, width, height).render(1.0) for seed in range(FRAMES)]
    results = {
        model: measure(model, options.engines.split(","), frames, options.rounds) for model in options.models.split(",")
    }
    packages = versions("torchcam", "captum", "grad-cam")
    print_machine()
    print(", ".join(f"{name} {number}" for name, number in packages.items()))
    for model, of in results.items():
        print(f"{model} at {of['layer']}: " + ", ".join(f"{name} {each}" for name, each in of["precision"].items()))
    for what in ("heatmap", "overlay"):
        print(f"\nA frame of {options.size} to its {what}, {options.rounds} rounds, medians in milliseconds")
        print("(and how many times the first row).\n")
        names = list(dict.fromkeys(name for of in results.values() for name in of[f"{what}_ms"]))
        print_table(["", *results], [[name, *(_cell(of, what, name) for of in results.values())] for name in names])
    if options.json:
        settings = {"size": options.size, "rounds": options.rounds, "peers": packages}
        write_json(options.json, {"settings": settings, "models": results})


def _cell(of: dict[str, Any], what: str, name: str) -> str:
    times = of[f"{what}_ms"]
    if name not in times:
        return "-"
    return f"{times[name]['p50']:.1f} ({times[name]['p50'] / next(iter(times.values()))['p50']:.1f})"


if __name__ == "__main__":
    main()
