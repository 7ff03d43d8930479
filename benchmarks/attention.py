"""Do the maps of a vision transformer point at what they explain? `python -m benchmarks.attention --steps 450`.

A small transformer with a class token is trained to tell six textures, two of which lie on noise in each picture. A map
of a class hits if the centre of its highest cell lies on the square of that texture.
"""

from __future__ import annotations

import argparse

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.timing import print_machine
from livecam import Explainer
from livecam.explain.methods import METHODS
from livecam.models import Preprocessing

SIDE, SQUARE, BATCH, UNSEEN = 64, 16, 48, 1 << 40
DEPTH, CLASSES = 6, 6
METHODS_SHOWN = ("gradcam", "hirescam", "layercam", "elementwise", "eigencam", "rollout", "legrad")


def textures() -> Tensor:
    """Return the textures, (CLASSES, SQUARE, SQUARE), of -1 and 1."""
    y, x = torch.meshgrid(torch.arange(SQUARE), torch.arange(SQUARE), indexing="ij")
    radius = ((x - SQUARE / 2 + 0.5) ** 2 + (y - SQUARE / 2 + 0.5) ** 2).sqrt().long()
    steps = (y // 2, x // 2, x // 2 + y // 2, (x + y) // 3, (x - y + SQUARE) // 3, radius // 2)
    return torch.stack([step % 2 * 2.0 - 1 for step in steps])


def draw(count: int, squares: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return pictures (count, 3, SIDE, SIDE), the textures in them and their top left corners, (count, squares, 2)."""
    patterns, pictures = textures(), torch.randn(count, 1, SIDE, SIDE, generator=generator) * 0.5
    labels = torch.rand(count, CLASSES, generator=generator).argsort(dim=1)[:, :squares]
    corners = torch.stack([_apart(squares, generator) for _ in range(count)])
    for picture, classes, places in zip(pictures, labels, corners.tolist(), strict=True):
        for texture, (top, left) in zip(patterns[classes], places, strict=True):
            picture[0, top : top + SQUARE, left : left + SQUARE] += texture
    return pictures.expand(-1, 3, -1, -1).contiguous(), labels, corners


def _apart(squares: int, generator: torch.Generator) -> Tensor:
    while True:
        corners = torch.randint(0, SIDE - SQUARE + 1, (squares, 2), generator=generator)
        if squares == 1 or (corners[0] - corners[1]).abs().max() >= SQUARE:
            return corners


def trained(steps: int) -> nn.Module:
    """Return a transformer that was trained for so many steps."""
    torch.manual_seed(0)
    model = VisionTransformer(img_size=SIDE, patch_size=8, embed_dim=48, depth=DEPTH, num_heads=3, num_classes=CLASSES)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        pictures, labels, _ = draw(BATCH, 1 + step % 2, generator)
        present = torch.zeros(BATCH, CLASSES).scatter_(1, labels, 1)
        loss = binary_cross_entropy_with_logits(model(pictures), present)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return model.eval()


def measure(explainer: Explainer, scenes: int) -> tuple[float, float]:
    """Return how often the map of a class peaks on its own square, and on the other one."""
    pictures, labels, corners = draw(scenes, 2, torch.Generator().manual_seed(UNSEEN))
    needs_target = METHODS[explainer.method].needs_target
    hits = []
    for own in (0, 1):
        maps = explainer.cam(pictures, target=labels[:, own].tolist() if needs_target else None)
        height, width = maps.shape[1:]
        best = maps.flatten(1).argmax(dim=1)
        peak = torch.stack([(best // width + 0.5) * SIDE / height, (best % width + 0.5) * SIDE / width], dim=1)
        inside = ((peak[:, None] >= corners) & (peak[:, None] <= corners + SQUARE)).all(dim=2)
        hits.append(torch.stack([inside[:, own], inside[:, 1 - own]], dim=1))
    own_share, other_share = torch.cat(hits).float().mean(dim=0).tolist()
    return own_share, other_share


def main() -> None:
    """Train, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--scenes", type=int, default=300)
    options = parser.parse_args()
    model = trained(options.steps)
    print_machine()
    print("| method | blocks | on its own square | on the other |\n| --- | --- | --- | --- |")
    blocks = [",".join(f"blocks.{number}" for number in range(DEPTH - count, DEPTH)) for count in range(1, DEPTH + 1)]
    for method in METHODS_SHOWN:
        for layer in blocks if method == "legrad" else (None,):
            explainer = Explainer(
                model, method=method, layer=layer, preprocessing=Preprocessing(size=(SIDE, SIDE)), scores="sigmoid"
            )
            own, other = measure(explainer, options.scenes)
            count = f"last {1 + layer.count(',')}" if layer else ""
            print(f"| {method} | {count} | {own:.1%} | {other:.1%} |", flush=True)


if __name__ == "__main__":
    main()
