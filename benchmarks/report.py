"""Put what was measured together: `python -m benchmarks.report results docs`.

Of each benchmark there is NAME.json in the first folder, and NAME.txt with what it printed. They become benchmarks.md
in the second folder, and the times of speed.json the chart speed.svg.
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

BAR_HEIGHT, GAP, LABEL_WIDTH, CHART_WIDTH, MARGIN = 26, 10, 170, 720, 16
OURS, OTHERS, INK = "#1f77b4", "#b0b7bf", "#24292f"
CHARTED = "resnet50"

CHAPTERS = {
    "engine": "What does an explanation cost beside the prediction alone?",
    "speed": "How fast is livecam beside its peers?",
    "bench": "What does `livecam bench` say?",
    "latency": "How late is a frame of a live source?",
    "live": "How late is what `livecam live` shows?",
    "pipeline": "How fast are whole files?",
    "stages": "What does each stage of a file cost?",
    "conversion": "Which models does OpenVINO compute, and as PyTorch does?",
    "every": "What does it save to explain every Nth frame?",
    "steady": "How steady are the heatmaps of a video?",
    "soak": "Does a long run grow?",
    "classes": "What do ten classes cost against one?",
    "pointing": "Does the heatmap point at what it explains?",
    "faithfulness": "How good are the methods' maps?",
    "methods": "Are the methods' maps those of the papers?",
    "gpu/gpu": "What does livecam do on a GPU?",
}


def chapter(name: str, title: str, results: Path) -> str:
    """Return a heading, the command, and what it printed."""
    command = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))["command"]
    printed = (results / f"{name}.txt").read_text(encoding="utf-8").strip()
    shown = printed if "\n| " in printed else f"```\n{printed}\n```"  # a table in Markdown, or one for a terminal
    return f"## {title}\n\n`{command}`\n\n{shown}\n"


def chart(speed: dict[str, Any]) -> str:
    """Draw the times of a frame to its heatmap as bars, in SVG."""
    times = {name: of["p50"] for name, of in speed["models"][CHARTED]["heatmap_ms"].items()}
    longest = max(times.values())
    title = f"One frame of {speed['settings']['size']} to its Grad-CAM heatmap, {CHARTED}, milliseconds"
    subtitle = f"{speed['machine']['processor']}, {speed['machine']['cores']} cores; less is better"
    top = 64
    height = top + len(times) * (BAR_HEIGHT + GAP) + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CHART_WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{CHART_WIDTH}" height="{height}" fill="white"/>',
        _text(MARGIN, 28, title, 15, "bold"),
        _text(MARGIN, 48, subtitle, 12),
    ]
    for number, (name, time_ms) in enumerate(sorted(times.items(), key=lambda item: item[1])):
        y = top + number * (BAR_HEIGHT + GAP)
        width = (CHART_WIDTH - LABEL_WIDTH - 5 * MARGIN) * time_ms / longest
        fill = OURS if name.startswith("livecam") else OTHERS
        lines += [
            _text(MARGIN, y + 18, name, 13),
            f'<rect x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{fill}"/>',
            _text(LABEL_WIDTH + width + 8, y + 18, f"{time_ms:.1f}", 13),
        ]
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, text: str, size: int, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{INK}">{escape(text)}</text>'


def main() -> None:
    """Write the page and the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("docs", type=Path)
    options = parser.parse_args()
    chapters = [
        chapter(name, title, options.results)
        for name, title in CHAPTERS.items()
        if (options.results / f"{name}.json").exists()
    ]
    introduction = "# Benchmarks\n\nWritten by `make bench`: each command, the machine, and what it printed.\n"
    (options.docs / "benchmarks.md").write_text("\n".join([introduction, *chapters]), encoding="utf-8")
    speed = options.results / "speed.json"
    if speed.exists():
        (options.docs / "speed.svg").write_text(chart(json.loads(speed.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
