"""How late is a picture in a browser? `python -m benchmarks.browser --seconds 60 --json FILE`.

Chromium without a screen films the generated scene at 1280x720 and 30 frames a second, `livecam live browser:` explains
it, and the page shows the result; browser and server share two cores. The round trip is from a frame that the page
hands to its encoder until its explained picture is drawn, on the page's own clock.

Then one page, and after it three at a time, look at one source of the server.

The engine is compiled from the start. The first seconds are not counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.timing import print_machine, print_table
from livecam.bench.timing import write_json
from livecam.ledger import percentiles
from livecam.sources import open_source
from tests.support.chromium import PROGRAM, Chromium, Page, write_y4m

_CORES = 2
_FPS = 30
_SCENE = f"demo:?size=1280x720&fps={_FPS}"
_FILM_SECONDS = 7
_VIEWERS = (1, 3)
_WARM_UP_SECONDS = 5.0
_PATIENCE_SECONDS = 120.0
_LISTEN = """
window.trips = new Map();
addEventListener("livecam:drawn", ({detail: {captured_ms, round_trip_ms}}) => {
  if (round_trip_ms !== null && !trips.has(captured_ms)) trips.set(captured_ms, round_trip_ms);
});
"""  # a picture that is drawn once more counts once


@contextmanager
def program(*arguments: str) -> Iterator[str]:
    """Run the command in the block, whose page is at the URL."""
    command = [sys.executable, "-m", "livecam", "live", *arguments, "--engine", "compiled"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        try:
            yield url
        finally:
            process.terminate()  # SIGINT is ignored where a shell started this in the background
            process.communicate()


def film(path: Path) -> Path:
    """Write the scene as a camera of Chromium."""
    with open_source(f"{_SCENE}&seconds={_FILM_SECONDS}") as source:
        return write_y4m(path, (frame.picture for frame in source.frames(lambda packet: None)), _FPS)


def camera(browser: Chromium, model: str, seconds: float) -> dict[str, Any]:
    """Measure the round trip of the page's own camera."""
    with program("browser:", "--model", model) as url, browser.open(url) as page:
        _warm_up(page)
        page.evaluate(_LISTEN)
        before = page.evaluate("livecam.status()")
        begin = time.perf_counter()
        time.sleep(seconds)
        after = page.evaluate("livecam.status()")
        lasted_seconds = time.perf_counter() - begin
        trips_ms = page.evaluate("[...trips.values()]")
    shown = after["shown"] - before["shown"]
    dropped = {place: count - before["dropped"].get(place, 0) for place, count in after["dropped"].items()}
    return {
        "captured": after["captured"] - before["captured"],
        "shown": shown,
        "fps": shown / lasted_seconds,
        "dropped": {place: count for place, count in dropped.items() if count},
        "round_trip_ms": percentiles(trips_ms),
    }


def viewers(browser: Chromium, model: str, count: int, seconds: float) -> list[float]:
    """Return the frames a second that each of several pages shows of one source."""
    with ExitStack() as stack:
        url = stack.enter_context(program(_SCENE, "--model", model, "--show", "browser"))
        pages = [stack.enter_context(browser.open(url)) for _ in range(count)]
        for page in pages:
            _warm_up(page)
        before = [page.evaluate("livecam.status().shown") for page in pages]
        begin = time.perf_counter()
        time.sleep(seconds)
        after = [page.evaluate("livecam.status().shown") for page in pages]
        lasted_seconds = time.perf_counter() - begin
    return [(late - early) / lasted_seconds for early, late in zip(before, after, strict=True)]


def _warm_up(page: Page) -> None:
    page.wait_for("livecam.status().shown", _PATIENCE_SECONDS)
    time.sleep(_WARM_UP_SECONDS)


def main() -> None:
    """Print the tables, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if PROGRAM is None:
        sys.exit("chromium is not installed; install it")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])  # also those of browser and server
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Chromium(folder / "profile", film(folder / "scene.y4m")) as browser:
            own = camera(browser, options.model, options.seconds)
            seen = {count: viewers(browser, options.model, count, options.seconds) for count in _VIEWERS}
    print_machine()
    print(
        f"{options.model}, 1280x720 at {_FPS} frames a second for {options.seconds:g} s, browser and server together\n"
    )
    print_table(
        ["", "captured", "shown", "dropped", "frames/s", "round trip p50 ms", "p90 ms", "p99 ms"],
        [["the page's camera", *_cells(own)]],
    )
    print()
    print_table(
        ["pages of one source", "frames/s of each"],
        [[count, ", ".join(f"{fps:.1f}" for fps in each)] for count, each in seen.items()],
    )
    if options.json:
        write_json(options.json, {"seconds": options.seconds, "camera": own, "viewers": seen})


def _cells(figures: dict[str, Any]) -> list[str]:
    dropped = ", ".join(f"{count} {place}" for place, count in figures["dropped"].items()) or "0"
    trips = (f"{figures['round_trip_ms'][name]:.1f}" for name in ("p50", "p90", "p99"))
    return [str(figures["captured"]), str(figures["shown"]), dropped, f"{figures['fps']:.1f}", *trips]


if __name__ == "__main__":
    main()
