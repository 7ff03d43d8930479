"""Whole files: a plain transcode, livecam with several models, and typical hand-written loops.

    python -m benchmarks.pipeline [--clip FILE] [--frames 90] [--size 1920x1080] [--rounds 3] [--works NAME,...]

All take the same H.264 file with audio, one that is given or the generated scene, and encode with the same codec,
preset and quality where they can choose (OpenCV's writer cannot: it writes MPEG-4 Part 2, without audio). The last loop
needs pytorch-grad-cam, which `make bench` brings. Each run is a process of its own, the runs are interleaved, and
medians are quoted. The clock inside a process starts after imports, when the model is loaded, compiled (if it will be)
and warm, and ends when the file is closed.

efficientnet_lite0 and `shapes` have real weights. ResNet-50's are random: its maps jump from frame to frame, and that
costs the encoder. "Undrawn" leaves the picture as it is, and so shows the explanation alone.

CPU is the processor time of all threads and child processes. Overlap is the share of the cores' time that was used:
frames a second over the most that the cores could do of such frames, cores / CPU-seconds a frame.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.timing import cpu_seconds, print_machine, print_table, spread, weights_of
from livecam.bench import make_clip
from livecam.bench.timing import write_json


def transcode(clip: Path, output: Path) -> dict[str, Any]:
    """Decode and encode with PyAV, audio copied: a lower bound for annotating."""
    import av

    with Clock() as clock, av.open(str(clip)) as source, av.open(str(output), "w") as out:
        stream = source.streams.video[0]
        stream.thread_type = "AUTO"
        video = out.add_stream("libx264", rate=stream.average_rate, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = stream.width, stream.height, "yuv420p"
        video.thread_type = "FRAME"
        audio = out.add_stream_from_template(source.streams.audio[0], opaque=True)
        for packet in source.demux():
            if packet.stream.type == "audio" and packet.size:
                packet.stream = audio
                out.mux(packet)
            elif packet.stream is stream:
                for frame in stream.decode(packet):
                    frame.pict_type = 0
                    out.mux(video.encode(frame))
                    clock.frames += 1
        out.mux(video.encode(None))
    return clock.figures()


def annotate_with(model: str, engine: str, *, is_drawn: bool = True) -> Callable[[Path, Path], dict[str, Any]]:
    """Return a run of livecam; if not `is_drawn`, one that explains without drawing."""

    def run(clip: Path, output: Path) -> dict[str, Any]:
        from livecam import Explainer, annotate
        from livecam.bench.overhead import warm
        from livecam.explain.device import find_device, usual_batch
        from livecam.render import Style

        style = Style() if is_drawn else Style(opacity=0, caption=False)
        make = partial(Explainer, model, weights=weights_of(model), engine=engine)
        explainer = warm(make, usual_batch(find_device("auto", model)))
        with Clock() as clock:
            ledger = annotate(clip, output, explainer, style=style)
        clock.frames = ledger.delivered
        stages = {stage: times["p50"] for stage, times in ledger.report()["stages_ms"].items()}
        return {**clock.figures(), **explainer.report(), "stages_ms_p50": stages}

    return run


def loop_by_hand(clip: Path, output: Path) -> dict[str, Any]:
    """Run a hand-written loop: hooks, a full backward pass through ResNet-50, the overlay in NumPy."""
    import cv2
    import numpy as np
    import torch

    model = _resnet50()
    kept: dict[str, Any] = {}
    model.layer4.register_forward_hook(lambda module, inputs, output: kept.update(activation=output))
    model.layer4.register_full_backward_hook(lambda module, into, out: kept.update(gradient=out[0]))

    def explain(image: Any) -> Any:
        scores = model(_imagenet_input(image))
        model.zero_grad()
        scores[0, scores.argmax()].backward()
        weights = kept["gradient"].mean(dim=(2, 3), keepdim=True)
        cam = torch.relu((weights * kept["activation"]).sum(1))[0].detach().numpy()
        return (cam - cam.min()) / (cam.max() - cam.min() + 1e-7)

    def draw(image: Any, cam: Any) -> Any:
        cam = cv2.resize(cam, (image.shape[1], image.shape[0]))
        heatmap = cv2.applyColorMap((255 * cam).astype(np.uint8), cv2.COLORMAP_JET)[:, :, ::-1]
        overlay = np.float32(heatmap) / 255 * 0.5 + np.float32(image) / 255 * 0.5
        return (255 * overlay / overlay.max()).astype(np.uint8)

    return _loop(clip, output, explain, draw)


def loop_with_grad_cam(clip: Path, output: Path) -> dict[str, Any]:
    """Run a loop with pytorch-grad-cam and its own overlay, as in its README."""
    import cv2
    import numpy as np
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import show_cam_on_image

    model = _resnet50()
    grad_cam = GradCAM(model=model, target_layers=[model.layer4[-1]])

    def draw(image: Any, cam: Any) -> Any:
        cam = cv2.resize(cam, (image.shape[1], image.shape[0]))
        return show_cam_on_image(np.float32(image) / 255, cam, use_rgb=True)

    return _loop(clip, output, lambda image: grad_cam(_imagenet_input(image), targets=None)[0], draw)


def _loop(clip: Path, output: Path, explain: Callable[[Any], Any], draw: Callable[[Any, Any], Any]) -> dict[str, Any]:
    """Read and write with cv2, one frame after the other, RGB in between, without audio."""
    import cv2

    explain(_grey_picture())  # a warm-up, as livecam gets one
    with Clock() as clock:
        capture = cv2.VideoCapture(str(clip))
        size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        writer = cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS), size)
        while True:
            more, frame = capture.read()
            if not more:
                break
            image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            writer.write(cv2.cvtColor(draw(image, explain(image)), cv2.COLOR_RGB2BGR))
            clock.frames += 1
        writer.release()
    return clock.figures()


def _resnet50() -> Any:
    from livecam.models import load_model

    return load_model("resnet50", weights="none").module.eval()


def _imagenet_input(image: Any) -> Any:
    import cv2
    import numpy as np
    import torch

    small = (cv2.resize(image, (224, 224)) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return torch.from_numpy(small.astype(np.float32)).permute(2, 0, 1)[None]


WORK: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "transcode": transcode,
    **{
        f"livecam {model} compiled": annotate_with(model, "compiled")
        for model in ("shapes", "efficientnet_lite0", "resnet50")
    },
    "livecam resnet50 eager": annotate_with("resnet50", "eager"),
    **{
        f"livecam {model} compiled undrawn": annotate_with(model, "compiled", is_drawn=False)
        for model in ("efficientnet_lite0", "resnet50")
    },
    "loop by hand resnet50": loop_by_hand,
    "loop with pytorch-grad-cam resnet50": loop_with_grad_cam,
}


class Clock:
    """Wall clock and processor time of a block that counts frames."""

    def __init__(self) -> None:
        self.frames = 0

    def __enter__(self) -> Clock:
        self._cpu_seconds, self._seconds = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self._cpu_seconds, self._seconds = cpu_seconds() - self._cpu_seconds, time.perf_counter() - self._seconds

    def figures(self) -> dict[str, Any]:
        """Return frames a second, milliseconds of processor time a frame, and the overlap."""
        return {
            "fps": self.frames / self._seconds,
            "cpu_ms_per_frame": 1000 * self._cpu_seconds / self.frames,
            "overlap": self._cpu_seconds / self._seconds / (os.cpu_count() or 1),
        }


def _grey_picture() -> Any:
    import numpy as np

    return np.full((64, 64, 3), 128, np.uint8)


def run_in_process(work: str, clip: Path, output: Path) -> dict[str, Any]:
    """Do one run in a process of its own, as a user would start it."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.pipeline",
        "--only",
        work,
        "--clip",
        str(clip),
        "--output",
        str(output),
    ]
    # The program livecam sets this before torch loads; a loop written by hand would not.
    settings = {"OMP_WAIT_POLICY": "PASSIVE"} if work.startswith("livecam") else {}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **settings})
    return dict(json.loads(result.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--works", default=",".join(WORK), help="comma-separated, from this list")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--clip", type=Path, help="a video with audio instead of the generated scene")
    parser.add_argument("--only", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(WORK[options.only](options.clip, options.output)))
        return
    runs: dict[str, list[dict[str, Any]]] = {work: [] for work in options.works.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or Path(folder) / "clip.mp4"
        if options.clip is None:
            make_clip(clip, options.size, options.frames)
        for number in range(options.rounds):
            for work in runs:
                runs[work].append(run_in_process(work, clip, Path(folder) / f"{number}-{work.replace(' ', '-')}.mp4"))
    report(runs, options)


def report(runs: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    """Print the table, and write the JSON if asked to."""
    figures = {
        work: {name: median([run[name] for run in done]) for name in ("fps", "cpu_ms_per_frame", "overlap")}
        for work, done in runs.items()
    }
    print_machine()
    print(f"{_clip_name(options)}, {options.rounds} rounds\n")
    header = ["", "fps", "least-most", "CPU ms/frame", "overlap", "stages, ms (p50)"]
    print_table(header, [_row(work, figures[work], done) for work, done in runs.items()])
    if options.json:
        settings = {"clip": _clip_name(options), "rounds": options.rounds}
        write_json(options.json, {"settings": settings, "medians": figures, "runs": runs})


def _clip_name(options: argparse.Namespace) -> str:
    return options.clip.name if options.clip else f"generated scene, {options.size}, {options.frames} frames"


def _row(work: str, figures: dict[str, float], done: list[dict[str, Any]]) -> list[str]:
    middle = sorted(done, key=lambda run: run["fps"])[len(done) // 2]
    return [
        work,
        f"{figures['fps']:.1f}",
        spread([run["fps"] for run in done]),
        f"{figures['cpu_ms_per_frame']:.0f}",
        f"{figures['overlap']:.0%}",
        " ".join(f"{stage} {time_ms:.1f}" for stage, time_ms in middle.get("stages_ms_p50", {}).items()),
    ]


if __name__ == "__main__":
    main()
