"""The ledger of a run: its counts, its text and its JSON report."""

from __future__ import annotations

import pickle
import re
import time

import pytest

from livecam.ledger import FILE, LIVE, Durations, Gap, Ledger


def test_the_report_of_a_file_has_its_documented_keys() -> None:
    report = Ledger(FILE, "clip.mp4").report()
    assert report["frames"].keys() == {"read", "explained", "carried", "dropped", "written", "unreadable", "damaged"}
    assert report["frames"]["dropped"] == 0
    assert report["stages_ms"].keys() == {"capture", "explain", "render", "write"}
    assert {"failed_files", "fps", "seconds", "stages_ms", "latency_ms", "verified"} <= report.keys()


def test_the_report_of_a_live_run_has_its_documented_keys() -> None:
    ledger = Ledger(LIVE, "camera 0")
    ledger.dropped["explain"] += 2
    ledger.gaps = [Gap(1.0, 2.5, "unplugged")]
    report = ledger.report()
    assert {"captured", "explained", "shown", "unreadable", "damaged", "dropped"} <= report["frames"].keys()
    assert report["frames"]["dropped"] == {"explain": 2}
    assert report["stages_ms"].keys() == {"explain", "draw", "show"}
    assert report["source"] == "camera 0"
    assert report["gaps"] == [{"begin_seconds": 1.0, "end_seconds": 2.5, "problem": "unplugged"}]
    assert {"seconds", "latency_ms"} <= report.keys()


def test_a_notebook_shows_what_happened() -> None:
    ledger = Ledger(FILE, "http://user:secret@host/clip.mp4")
    ledger.read = ledger.delivered = 3
    assert repr(ledger) == f"Ledger(http://host/clip.mp4: {ledger.line()})"
    assert "3 read" in repr(ledger)


def test_every_frame_that_was_read_is_delivered_or_dropped() -> None:
    ledger = Ledger(LIVE, "camera")
    ledger.read = 5
    ledger.deliver(time.perf_counter(), 0)
    ledger.deliver(time.perf_counter(), 3)
    ledger.dropped["show"] += 1
    assert (ledger.delivered, ledger.carried) == (2, 1)
    assert not ledger.is_balanced
    ledger.end(on_their_way=2)
    assert ledger.dropped == {"show": 1, "end": 2}
    assert ledger.is_balanced


def test_the_clock_runs_from_the_beginning_to_the_end() -> None:
    ledger = Ledger(LIVE, "camera")
    assert ledger.seconds == ledger.fps == 0
    ledger.begin()
    time.sleep(0.02)
    ledger.begin()  # which was before
    ledger.end()
    assert ledger.seconds == ledger.seconds >= 0.02


def test_a_line_tells_what_people_need() -> None:
    ledger = Ledger(FILE, "clip.mp4")
    ledger.read = ledger.explained = 4
    ledger.unreadable, ledger.damaged, ledger.verified = 3, 1, True
    counts = "4 read, 4 explained, 0 dropped, 0 written, 3 unreadable, 1 damaged, verified"
    assert ledger.line() == f"{counts} in 0.0 s (0.0 fps)"
    assert not ledger.complete
    live = Ledger(LIVE, "camera")
    live.read = 4
    live.deliver(time.perf_counter(), 1)
    live.dropped.update({"show": 1, "explain": 2})
    live.gaps = [Gap(1.0, 2.5, "unplugged")]
    counts = "4 captured, 0 explained, 1 carried, 3 dropped (2 at explain, 1 at show), 1 shown, 1 gap"
    assert re.fullmatch(rf"{re.escape(counts)} in 0.0 s, latency p50 \d+ ms, p99 \d+ ms", live.line())


def test_percentiles_are_of_what_is_kept_and_of_the_most_recent() -> None:
    durations = Durations(capacity=10)
    assert durations.percentiles_ms() is None
    assert durations.recent_ms(3) is None
    for number in range(25):
        durations.add(number / 1000)
    kept = durations.percentiles_ms()
    assert kept is not None
    assert (kept["p50"], kept["max"]) == (pytest.approx(19.5), 24)
    recent = durations.recent_ms(3)
    assert recent is not None
    assert (recent["p50"], recent["p99"]) == (23, pytest.approx(23.98))


def of_a_run(source: str, frames: int, **counts: int) -> Ledger:
    """The ledger of a file run, each frame of which took 10 ms to be explained."""
    ledger = Ledger(FILE, source)
    ledger.read = ledger.explained = frames
    for _ in range(frames):
        ledger.deliver(time.perf_counter(), 0)
        ledger.stages["explain"].add(0.01)
    for name, count in counts.items():
        setattr(ledger, name, count)
    ledger.end()
    return ledger


def test_the_sum_of_ledgers_has_all_that_they_count() -> None:
    first, second = of_a_run("a.mp4", 3, carried=1, verified=True), of_a_run("b.mp4", 4, unreadable=2)
    first.dropped["end"] += 1
    second.failed_files["c.png"] = "damaged"
    total = Ledger(FILE, "2 inputs")
    for ledger in (first, second):
        total.add(ledger)
    report = total.report()
    assert report["frames"] == {
        name: first.report()["frames"][name] + second.report()["frames"][name] for name in report["frames"]
    }
    assert report["frames"]["written"] == 7
    assert report["failed_files"] == {"c.png": "damaged"}
    assert report["stages_ms"]["explain"] == {"mean": pytest.approx(10), "max": pytest.approx(10)}
    assert "verified" in total.line()


def test_a_ledger_travels_light() -> None:
    """Thousands of them arrive at the machine that counts."""
    ledger = of_a_run("a.mp4", 5000)
    pickled = pickle.dumps(ledger)
    assert len(pickled) < 2000
    total = Ledger(FILE, "all")
    total.add(pickle.loads(pickled))
    assert total.report()["frames"] == ledger.report()["frames"]
    assert total.report()["stages_ms"]["explain"]["mean"] == pytest.approx(10)
