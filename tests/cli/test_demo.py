"""The generated scene as a source, and what its classifier looks at: what `make demo` shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from livecam import Explainer, open_source
from livecam.picture.planes import planes
from livecam.scene import SHAPES, Scene
from tests.support.clips import facts_of

Livecam = Callable[..., Result]
ROOT = Path(__file__).parents[2]


def test_the_demo_is_annotated_end_to_end(livecam: Livecam, tmp_path: Path) -> None:
    output, predictions, report = (tmp_path / name for name in ("demo.mp4", "p.jsonl", "r.json"))
    uri = "demo:?size=640x360&fps=30000/1001&seconds=2&seed=1"
    result = livecam("annotate", uri, "-o", output, "--predictions", predictions, "--report", report)
    assert result.exit_code == 0, result.output
    assert re.search(r"demo.mp4: 60 read, 60 explained, 0 dropped, 60 written, verified in ", result.stderr)
    facts = facts_of(output)
    assert facts.times == [Fraction(1001 * n, 30000) for n in range(60)]
    assert facts.color == (1, 1, 1, 1)
    lines = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(60))
    assert [line["time_seconds"] for line in lines] == pytest.approx([float(time) for time in facts.times])
    scene = Scene(seed=1, width=640, height=360)
    on_shape = 0
    for line in lines:
        (explained,) = line["explained"]
        assert line["classes"][0]["label"] == explained["label"] in SHAPES
        scores = [best["score"] for best in line["classes"]]
        assert scores == sorted(scores, reverse=True)
        masks = scene.masks(line["time_seconds"])
        on_shape += bool(masks[:, int(explained["peak"]["y"]), int(explained["peak"]["x"])].any())
    assert on_shape >= 57
    written = json.loads(report.read_text())
    assert written["frames"]["written"] == 60
    assert written["verified"] is True
    assert {"fps", "seconds", "stages_ms", "latency_ms", "model", "layer", "method", "device", "versions"} <= set(
        written
    )
    for stage in ("capture", "explain", "render", "write"):
        assert set(written["stages_ms"][stage]) == {"p50", "p90", "p99", "max"}


def test_the_same_uri_gives_the_same_pixels() -> None:
    def pixels(seed: int) -> list[np.ndarray]:
        with open_source(f"demo:?size=160x90&fps=10&seconds=0.5&seed={seed}") as source:
            return [planes(frame.picture)[0].copy() for frame in source.frames(lambda packet: None)]

    assert np.array_equal(pixels(3), pixels(3))
    assert not np.array_equal(pixels(3), pixels(4))


def test_a_part_of_the_demo_is_that_part() -> None:
    def pixels(**part: float) -> list[np.ndarray]:
        with open_source("demo:?size=160x90&fps=10&seconds=2", **part) as source:
            return [planes(frame.picture)[0].copy() for frame in source.frames(lambda packet: None)]

    whole = pixels()
    assert np.array_equal(pixels(start_seconds=0.5, duration_seconds=1), whole[5:15])


@pytest.mark.parametrize(("shapes", "share"), [(1, 0.95), (2, 0.90)])
def test_the_map_of_a_class_peaks_on_its_own_shape(shapes: int, share: float) -> None:
    """The pointing game, small; benchmarks/pointing.py plays it at full length."""
    rng = np.random.default_rng(7)
    hits = []
    with Explainer("shapes") as explainer:
        for number in range(40):
            labels = [str(name) for name in rng.permutation(SHAPES)[:shapes]]
            scene = Scene(seed=10_000_000 + number, shapes=tuple(labels), width=640, height=360)
            time_seconds = float(rng.uniform(0, 30))
            targets = None if shapes == 1 else [SHAPES.index(label) for label in labels]
            explanation = explainer(scene.render(time_seconds), target=targets)
            masks = scene.masks(time_seconds)
            assert [shape.label for shape in scene.truth(time_seconds)] == labels
            for label, one, mask in zip(labels, explanation.classes, masks, strict=True):
                x, y = explanation.peak_of(one) or (0.0, 0.0)
                hits.append(one.label == label and bool(mask[int(y * 360), int(x * 640)]))
    assert np.mean(hits) >= share


def test_a_scene_without_shapes_stays_dark() -> None:
    heats = []
    with Explainer("shapes") as explainer:
        for seed in range(20):
            image = Scene(seed=20_000_000 + seed, shapes=(), width=640, height=360).render(1.0)
            heats.append(explainer(image).peak is None)
    assert np.mean(heats) >= 0.5


@pytest.mark.long
def test_memory_does_not_grow(clip: Callable[..., Path]) -> None:
    """Resident memory, in kilobytes, after 200 frames and at the end of 1,000; by a model that costs little time."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from livecam import Explainer, annotate\n"
        "from livecam.models import Preprocessing\n"
        "from tests.support.tiny import Tiny\n"
        "def resident():\n"
        "    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize() // 1024\n"
        "early = []\n"
        "def progress(ledger, expected):\n"
        "    if ledger.delivered >= 200 and not early: early.append(resident())\n"
        "explainer = Explainer(Tiny(), preprocessing=Preprocessing(size=(160, 160)), engine='eager')\n"
        "annotate(sys.argv[1], 'null:', explainer, on_progress=progress)\n"
        "print(early[0], resident())\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("there is no /proc here to read the memory from")
    command = [sys.executable, "-c", script, str(clip(frames=1000, size=(320, 180)))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    early_kb, end_kb = map(int, result.stdout.split())
    assert end_kb <= 1.05 * early_kb
