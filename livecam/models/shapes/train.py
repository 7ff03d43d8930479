"""Train the classifier `shapes` on fresh scenes: `python -m livecam.models.shapes.train`.

The loss is on the pooled logits, which say what is in the picture, and on the evidence maps: a scene knows its masks,
so the share of every cell that each class covers is a target. So the heatmap is trained as well as the answer, stays
dark on everything but shapes, and training is several times faster.

Frames of real video are noisy, soft, compressed and squeezed from any aspect to the square input; so are the scenes.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, get_worker_info

from livecam.models.shapes import INPUT_SIZE, LABELS, MEAN, STD, STRIDE, WEIGHTS, ShapesNet
from livecam.scene import Scene

BATCH = 48
WORKERS = 2
FRAMES_PER_SCENE = 3
SHAPES_PER_SCENE = (0.15, 0.3, 0.3, 0.25)  # the probabilities of none, one, two and three shapes
WIDEST_ASPECT = 16 / 9
CELL_WEIGHT = 5.0
COVERED_CELL_WEIGHT = 4.0  # covered cells are rare
SCENE_SEEDS = 1 << 40  # so large that validation almost never draws a training scene
VALIDATION_SEED = 1 << 40
VALIDATION_SCENES = 700


class Frames(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches: images, (B, H, W, 3) uint8 RGB, and the share of each cell per class, (B, K, h, w) float32."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        rng = default_rng([self.seed, worker.id if worker else 0])
        while True:
            frames = [frame for _ in range(BATCH // FRAMES_PER_SCENE) for frame in draw(rng)]
            images, masks = zip(*frames, strict=True)
            yield torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack([cover_of(mask) for mask in masks]))


def draw(rng: Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw degraded frames of one random scene: images, (H, W, 3) uint8 RGB, and masks, (H, W, K) bool."""
    height, width = INPUT_SIZE
    classes = rng.permutation(len(LABELS))[: rng.choice(len(SHAPES_PER_SCENE), p=SHAPES_PER_SCENE)]
    aspect = WIDEST_ASPECT ** rng.triangular(-1, 1, 1)  # most video is wide
    seed = int(rng.integers(SCENE_SEEDS))
    scene = Scene(seed, tuple(LABELS[index] for index in classes), width, height, aspect)
    for time_seconds in rng.uniform(0, 300, FRAMES_PER_SCENE):
        masks = np.zeros((height, width, len(LABELS)), bool)
        masks[..., classes] = scene.masks(time_seconds).transpose(1, 2, 0)
        yield degrade(scene.render(time_seconds), rng), masks


def cover_of(masks: np.ndarray) -> np.ndarray:
    """Convert masks, (H, W, K) bool, to the share of each cell that the classes cover, (K, h, w) float32."""
    height, width = INPUT_SIZE
    cells = cv2.resize(masks.view(np.uint8) * 255, (width // STRIDE, height // STRIDE), interpolation=cv2.INTER_AREA)
    return cells.transpose(2, 0, 1).astype(np.float32) / 255


def degrade(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Return an image, (H, W, 3) uint8, as a poor camera would give it."""
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    colours = image.astype(np.float32) @ (np.eye(3) + rng.normal(0, 0.12, (3, 3))).astype(np.float32)
    colours = (colours - 128) * np.float32(rng.uniform(0.6, 1.4)) + np.float32(128 + rng.uniform(-45, 45))
    if rng.random() < 0.5:
        colours += rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0, 12))
    image = np.clip(colours, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return image


def normalise(images: Tensor) -> Tensor:
    """Convert (B, H, W, 3) uint8 RGB to the model's input, (B, 3, H, W) float32."""
    return ((images / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def loss_of(model: ShapesNet, images: Tensor, cover: Tensor) -> Tensor:
    """Return the sum of the loss on the logits (which classes) and the loss on the evidence maps (where)."""
    with torch.autocast("cpu", torch.bfloat16):
        evidence = model.evidence(model.features(normalise(images)))
    evidence = evidence.float()
    present = cover.flatten(2).any(2).float()
    where = binary_cross_entropy_with_logits(evidence, cover, pos_weight=torch.tensor(COVERED_CELL_WEIGHT))
    return binary_cross_entropy_with_logits(model.pool(evidence), present) + CELL_WEIGHT * where


def train(steps: int, seed: int) -> ShapesNet:
    """Train a model for a number of steps and return it in evaluation mode."""
    torch.set_num_threads(1)  # leaves the other cores to the workers that draw scenes
    torch.manual_seed(seed)
    model = ShapesNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.15)
    loader = DataLoader(Frames(seed), batch_size=None, num_workers=WORKERS)
    for step, (images, cover) in zip(range(1, steps + 1), loader, strict=False):
        loss = loss_of(model, images, cover)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}/{steps}  loss {loss.item():.4f}", flush=True)
    return model.eval()


@torch.inference_mode()
def validate(model: ShapesNet) -> dict[str, float]:
    """Measure the model on unseen scenes, degraded as in training.

    Returns:
        Accuracies in 0..1. exact: exactly the classes in the picture have logits above 0. class NAME: the logit of this
        class is above 0 if and only if it is in the picture. top1: the strongest class is right, for pictures with one
        shape. pointing: the evidence of a class in the picture peaks on its mask.
    """
    rng = default_rng(VALIDATION_SEED)
    images, masks = zip(*(frame for _ in range(VALIDATION_SCENES) for frame in draw(rng)), strict=True)
    truth = torch.from_numpy(np.stack(masks)).permute(0, 3, 1, 2)
    chunks = DataLoader(TensorDataset(torch.from_numpy(np.stack(images))), BATCH)
    evidence = torch.cat([model.evidence(model.features(normalise(chunk))) for (chunk,) in chunks])
    logits, present = model.pool(evidence), truth.flatten(2).any(2)
    alone = present.sum(1) == 1
    agree = (logits > 0) == present
    centres = truth[:, :, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE].flatten(2)
    hit = centres.gather(2, evidence.flatten(2).argmax(2, keepdim=True)).squeeze(2)
    return {
        "exact": agree.all(1).float().mean().item(),
        **{f"class {label}": share for label, share in zip(LABELS, agree.float().mean(0).tolist(), strict=True)},
        "top1": present[alone].gather(1, logits[alone].argmax(1, keepdim=True)).float().mean().item(),
        "pointing": hit[present].float().mean().item(),
    }


def main() -> None:
    """Train, save the weights in half precision, and print the validation accuracies."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    model = train(options.steps, options.seed).half().float()
    torch.save({name: value.half() for name, value in model.state_dict().items()}, options.output)
    for name, share in validate(model).items():
        print(f"{name:16} {share:7.2%}")


if __name__ == "__main__":
    main()
