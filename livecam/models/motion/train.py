"""Train the classifier `motion` on fresh scenes: `python -m livecam.models.motion.train`.

The loss is on the logits, which say how something moves, and on the evidence in each cell: a scene knows which shape
moves and when, so the share of every cell that it covers while it moves is a target, and is 0 elsewhere. The evidence
that everything stands is on the shapes that stand.

Frames of real video are noisy, soft, compressed and squeezed from any aspect to the square input; so are the clips.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from livecam.models.motion import (
    FRAMES,
    FRAMES_PER_CELL,
    FRAMES_PER_SECOND,
    INPUT_SIZE,
    LABELS,
    MEAN,
    STD,
    STRIDE,
    WEIGHTS,
    MotionNet,
)
from livecam.motion_scene import Event, MotionScene

BATCH = 16
CLIPS_PER_SCENE = 4
WORKERS = 2
WIDEST_ASPECT = 16 / 9
SLOWEST, FASTEST = 0.6, 1.3  # the scene's time by the clip's
SHORTEST_SEEN_SECONDS = 0.25  # of a motion in a clip
SCENE_EVENTS = 200
STANDING = LABELS.index("stands")
CELL_WEIGHTS = torch.ones(len(LABELS), 1, 1, 1)
CELL_WEIGHTS[STANDING] = 0.1  # shapes that stand are many
COVERED_CELL_WEIGHT = torch.tensor(6.0)  # covered cells are rare
LOGIT_WEIGHT = 3.0
FITTED_CLIPS = 1200
DECAY = 1e-4
STANDING_CLIP_WEIGHT = 0.1  # as even a little evidence of a motion says that not all stands
SCENE_SEEDS = 1 << 40  # so large that validation almost never draws a training scene
VALIDATION_SEED = 1 << 40
VALIDATION_CLIPS = 400

Clip = tuple[np.ndarray, int, np.ndarray]
"""Frames, (T, H, W, 3) uint8 RGB; the class; and the share of each cell per class, (K, t, h, w) float32."""


class Clips(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless batches of clips."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        rng = default_rng([self.seed, worker.id if worker else 0])
        while True:
            yield collated([clip for _ in range(BATCH // CLIPS_PER_SCENE) for clip in draw(rng)])


def collated(clips: list[Clip]) -> tuple[Tensor, Tensor, Tensor]:
    """Stack clips to a batch."""
    frames, classes, cells = zip(*clips, strict=True)
    return torch.from_numpy(np.stack(frames)), torch.tensor(classes), torch.from_numpy(np.stack(cells))


def draw(rng: Generator) -> Iterator[Clip]:
    """Draw degraded clips of one random scene."""
    height, width = INPUT_SIZE
    aspect = WIDEST_ASPECT ** rng.triangular(-1, 1, 1)  # most video is wide
    scene = MotionScene(int(rng.integers(SCENE_SEEDS)), width=width, height=height, aspect=aspect)
    for number in rng.integers(SCENE_EVENTS, size=CLIPS_PER_SCENE).tolist():
        event = scene.event(number)
        times = times_around(event, rng)
        _, first, moments = np.unique(event.progress(times), return_index=True, return_inverse=True)
        frames = np.stack([scene.render(time) for time in times[first]])[moments]
        covers = np.stack([cover_of(scene.masks(time)) for time in times[first]], 1)[:, moments]
        yield degrade(frames, rng), LABELS.index(event.motion), cells_of(covers, event, times)


def times_around(event: Event, rng: Generator) -> np.ndarray:
    """Choose the times of a clip's frames so that some of the motion is in it: (T,) float64 seconds."""
    offsets = np.arange(FRAMES) / FRAMES_PER_SECOND * rng.uniform(SLOWEST, FASTEST)
    earliest = event.start_seconds + SHORTEST_SEEN_SECONDS - offsets[-1]
    latest = event.end_seconds - SHORTEST_SEEN_SECONDS
    return np.maximum(rng.uniform(earliest, latest) + offsets, 0)


def cover_of(masks: np.ndarray) -> np.ndarray:
    """Convert masks, (n, H, W) bool, to the share of each cell that they cover, (n, h, w) float32."""
    height, width = INPUT_SIZE
    cells = masks.reshape(len(masks), height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return cells.mean((2, 4), dtype=np.float32)


def cells_of(covers: np.ndarray, event: Event, times: np.ndarray) -> np.ndarray:
    """Return the share of each cell that shapes cover while they move, and of the last class, while they stand.

    Args:
        covers: The share of each cell that each shape covers, (n, T, h, w).
        event: The event that is in the clip.
        times: The times of the frames in seconds, (T,).
    """
    cells = np.zeros((len(LABELS), *covers.shape[1:]), np.float32)
    cells[STANDING] = covers.sum(0)
    if event.mover is not None:
        moved = covers[event.mover] * moving_at(event, times)[:, None, None]
        cells[LABELS.index(event.motion)] = moved
        cells[STANDING] -= moved
    return cells.reshape(len(LABELS), -1, FRAMES_PER_CELL, *covers.shape[2:]).mean(2)


def moving_at(event: Event, times: np.ndarray) -> np.ndarray:
    """Return True for the frames that the event's motion makes differ from a neighbour: (T,) bool."""
    changes = np.diff(event.progress(times)) > 0
    return np.append(changes, False) | np.append(False, changes)


def degrade(clip: np.ndarray, rng: Generator) -> np.ndarray:
    """Return a clip, (T, H, W, 3) uint8, as a poor camera would give it."""
    if rng.random() < 0.4:
        sigma = rng.uniform(0.3, 0.9)
        clip = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])
    colours = clip.astype(np.float32) @ (np.eye(3) + rng.normal(0, 0.12, (3, 3))).astype(np.float32)
    colours = (colours - 128) * np.float32(rng.uniform(0.6, 1.4)) + np.float32(128 + rng.uniform(-45, 45))
    if rng.random() < 0.5:
        colours += rng.standard_normal(clip.shape, np.float32) * np.float32(rng.uniform(0, 10))
    clip = np.clip(colours, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        clip = np.stack([_compressed(frame, quality) for frame in clip])
    return clip


def _compressed(frame: np.ndarray, quality: list[int]) -> np.ndarray:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR))


def normalise(clips: Tensor) -> Tensor:
    """Convert (B, T, H, W, 3) uint8 RGB to the model's input, (B, 3, T, H, W) float32."""
    return clips.permute(0, 4, 1, 2, 3).float().sub_(255 * MEAN).div_(255 * STD)


def loss_of(model: MotionNet, frames: Tensor, classes: Tensor, cells: Tensor) -> Tensor:
    """Return the sum of the losses on the logits, on all cells, and on which motion is in the cells of a motion."""
    seen = model.cells(model.features(normalise(frames)))
    where = binary_cross_entropy_with_logits(seen, cells, CELL_WEIGHTS, reduction="sum", pos_weight=COVERED_CELL_WEIGHT)
    motions = cells[:, :STANDING]
    which = motions.sum(1) * cross_entropy(seen[:, :STANDING], motions.argmax(1), reduction="none")
    return (where + which.sum()) / BATCH + LOGIT_WEIGHT * cross_entropy(
        model.classify(model.mean_evidence(seen)), classes
    )


def start() -> MotionNet:
    """Return a model whose filters in time begin as differences, and which sees no motion yet, as most cells show none.

    Many cells say that all stands, so that each of them counts less.
    """
    model = MotionNet()
    with torch.no_grad():
        for layer in model.features:
            if isinstance(layer, nn.Conv3d) and layer.kernel_size == (3, 1, 1):
                layer.weight[::2] -= layer.weight[::2].mean(2, keepdim=True)
        cast(Tensor, model.cells.bias).fill_(-4.0)
        model.classify.weight[STANDING, STANDING] = 0.05
    return model


def train(steps: int, seed: int) -> MotionNet:
    """Train a model for a number of steps and return it in evaluation mode."""
    torch.set_num_threads(1)  # leaves the other cores to the workers that draw scenes
    torch.manual_seed(seed)
    model = start().to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.15)
    loader = DataLoader(Clips(seed), batch_size=None, num_workers=WORKERS)
    for step, batch in zip(range(1, steps + 1), loader, strict=False):
        loss = loss_of(model, *batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"step {step}/{steps}  loss {loss.item():.2f}", flush=True)
    return model.eval()


def fit_last_layer(model: MotionNet, seed: int) -> None:
    """Fit the linear layer to the evidence of fresh clips, by logistic regression."""
    rng = default_rng([seed, WORKERS])  # continues the seeds of the workers
    batches = [collated(list(draw(rng))) for _ in range(FITTED_CLIPS // CLIPS_PER_SCENE)]
    classes = torch.cat([classes for _, classes, _ in batches])
    weights = torch.ones(len(LABELS))
    weights[STANDING] = STANDING_CLIP_WEIGHT
    with torch.no_grad():
        evidence = torch.cat(
            [model.mean_evidence(model.cells(model.features(normalise(frames)))) for frames, *_ in batches]
        )
    optimizer = torch.optim.LBFGS([model.classify.weight], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(model.classify(evidence), classes, weights) + DECAY * model.classify.weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]


@torch.inference_mode()
def validate(model: MotionNet) -> dict[str, float]:
    """Measure the model on unseen clips, degraded as in training.

    Returns:
        Shares in 0..1. top1: the strongest class is right. place: the evidence of a motion is greatest on the shape
        that moves. time: it is greatest in a cell of the time in which the shape moves.
    """
    rng = default_rng(VALIDATION_SEED)
    right, places, times = [], [], []
    for _ in range(VALIDATION_CLIPS // CLIPS_PER_SCENE):
        frames, classes, cells = collated(list(draw(rng)))
        seen = model.cells(model.features(normalise(frames)))
        right += (model.classify(model.mean_evidence(seen)).argmax(1) == classes).tolist()
        for kind, evidence, truth in zip(classes.tolist(), seen, cells, strict=True):
            if kind != STANDING:
                t, y, x = np.unravel_index(int(evidence[kind].argmax()), truth.shape[1:])
                places.append(bool(truth[kind, :, y, x].max() > 0.3))
                times.append(bool(truth[kind, t].max() > 0))
    return {"top1": float(np.mean(right)), "place": float(np.mean(places)), "time": float(np.mean(times))}


def main() -> None:
    """Train, save the weights in half precision, and print the validation accuracies."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    model = train(options.steps, options.seed).half().float()
    fit_last_layer(model, options.seed)
    torch.save({name: value.half() for name, value in model.state_dict().items()}, options.output)
    for name, share in validate(model).items():
        print(f"{name:16} {share:7.2%}")


if __name__ == "__main__":
    main()
