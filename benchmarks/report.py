"""Insert the results into the documentation: `python -m benchmarks.report results docs`.

Each benchmark leaves NAME.json in the first folder, and NAME.txt with what it printed. In the Markdown files of the
second folder, everything between the lines `<!-- measured: NAME -->` and `<!-- end -->` is replaced by the command and
what it printed. The times of speed.json become the chart speed.svg.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from html import escape
from pathlib import Path
from typing import Any

BAR_HEIGHT, GAP, LABEL_WIDTH, CHART_WIDTH, MARGIN = 26, 10, 170, 720, 16
OURS, OTHERS, INK = "#1f77b4", "#b0b7bf", "#24292f"
CHARTED = "resnet50"

BLOCK = re.compile(r"(<!-- measured: ([\w/]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(page: str, results: Path) -> str:
    """Return the page with each block replaced whose benchmark has results; the others stay as they are."""

    def replacement(block: re.Match[str]) -> str:
        begin, name, end = block.groups()
        return f"{begin}{measured(name, results)}{end}" if (results / f"{name}.json").exists() else block[0]

    return BLOCK.sub(replacement, page)


def measured(name: str, results: Path) -> str:
    """Return the command of a benchmark and what it printed, as Markdown."""
    command = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))["command"]
    printed = (results / f"{name}.txt").read_text(encoding="utf-8").strip()
    shown = printed if "\n| " in printed else f"```text\n{printed}\n```"  # a table in Markdown, or one for a terminal
    return f"`{command}`\n\n{shown}\n"


def chart(speed: dict[str, Any]) -> str:
    """Return the times from a frame to its heatmap as a bar chart in SVG."""
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
    """Update the pages and the chart. A result that no page shows is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("docs", type=Path)
    options = parser.parse_args()
    unplaced = {path.stem for path in options.results.glob("*.json")}
    for path in options.docs.glob("*.md"):
        page = path.read_text(encoding="utf-8")
        path.write_text(updated(page, options.results), encoding="utf-8")
        unplaced -= {name for _, name, _ in BLOCK.findall(page)}
    speed = options.results / "speed.json"
    if speed.exists():
        (options.docs / "speed.svg").write_text(chart(json.loads(speed.read_text(encoding="utf-8"))), encoding="utf-8")
    if unplaced:
        sys.exit(f"no page has a block for {', '.join(sorted(unplaced))}; add <!-- measured: NAME --> and <!-- end -->")


if __name__ == "__main__":
    main()
