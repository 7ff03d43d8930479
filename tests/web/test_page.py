"""The page in a real browser, with a server that publishes pictures which spell their number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from livecam.web.server import WebOptions, WebServer
from tests.support.chromium import Chromium, Page
from tests.support.clips import number_in, numbered_picture
from tests.web.looking import IS_CONNECTED, IS_ENDED, WITHOUT_H264, asked, drawn, press, record
from tests.web.stand_in import SETTINGS

SIZE = 160, 90
STATE = {
    "model": "shapes",
    "sources": [{"name": "numbers", "width": SIZE[0], "height": SIZE[1]}],
    "settings": None,
    "choices": None,
    "waits_for": None,
    "ledger": [],
    "problem": None,
}
BUSY = "setTimeout(() => { const end = performance.now() + 500; while (performance.now() < end); })"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer(WebOptions(port=0)) as server:
        server.set_state(STATE)
        yield server


def publish(server: WebServer, numbers: range, source: int = 0, size: tuple[int, int] = SIZE) -> None:
    for number in numbers:
        picture = av.VideoFrame.from_ndarray(numbered_picture(number, *size), format="rgb24")
        said = {"label": str(number), "score": 1.0, "index": number, "text": "100%"}
        server.publish(source, picture.reformat(format="yuv420p"), {"classes": [said], "best": [said]})
        time.sleep(0.005)


def shows(number: int) -> str:
    return f"drawn.length && drawn.at(-1).classes[0].label === '{number}'"


def assert_all_are_of_their_own_picture(page: Page) -> None:
    for facts, pixels in drawn(page):
        assert number_in(pixels) == facts["classes"][0]["index"]


@pytest.mark.parametrize("script", ["", WITHOUT_H264])
def test_what_is_said_is_of_the_picture_that_is_drawn_also_in_a_page_that_was_busy(
    chromium: Chromium, server: WebServer, script: str
) -> None:
    with chromium.open(server.url, script=script) as page:
        page.wait_for(IS_CONNECTED)
        record(page)
        publish(server, range(20))
        page.wait_for(shows(19))
        page.evaluate(BUSY)
        publish(server, range(20, 100))
        page.wait_for(shows(99))
        assert_all_are_of_their_own_picture(page)
        assert {facts["codec"] for facts, _ in drawn(page)} == {"jpeg" if script else "h264"}
        assert page.problems == []


def test_a_late_page_gets_the_last_picture_of_a_paused_run(chromium: Chromium, server: WebServer) -> None:
    publish(server, range(3))
    with chromium.open(server.url) as page:
        page.wait_for("livecam.status().explained.some(({label}) => label === '2')")


NAMES = ["crane", "crane", '<b>dog</b>, the "best"', "a" * 1500]


@pytest.mark.parametrize(
    ("labels", "shown", "targets"),
    [
        (NAMES, NAMES, ["0", "1", NAMES[2], "3"]),
        ([], ["class 0", "class 1"], ["0", "1"]),
        (["cat", "hen"], ["cat", "hen", "a group"], ["cat", "hen", "a group"]),
    ],
)
def test_a_click_on_a_class_asks_for_this_class(
    chromium: Chromium, server: WebServer, labels: list[str], shown: list[str], targets: list[str]
) -> None:
    choices = {"methods": [], "layers": [], "groups": [], "views": [], "colormaps": []}
    server.set_state({**STATE, "settings": SETTINGS, "choices": choices, "labels": labels})
    best = [{"label": label, "score": 0.5, "index": index, "text": "50%"} for index, label in enumerate(shown)]
    server.publish(0, av.VideoFrame(*SIZE, "yuv420p"), {"classes": best[:1], "best": best})
    with chromium.open(server.url) as page:
        page.wait_for(f"document.querySelectorAll('#classes button').length === {len(shown)}")
        page.evaluate("document.querySelectorAll('#classes button').forEach((row) => row.click())")
        assert asked(server, page) == [{"target": target} for target in targets]


def test_a_click_on_a_class_before_the_settings_are_known_breaks_nothing(chromium: Chromium, server: WebServer) -> None:
    best = [{"label": "cat", "score": 0.5, "index": 0, "text": "50%"}]
    server.publish(0, av.VideoFrame(*SIZE, "yuv420p"), {"classes": best, "best": best})
    with chromium.open(server.url) as page:
        page.wait_for("document.querySelectorAll('#classes button').length === 1")
        page.evaluate("document.querySelector('#classes button').click()")
        assert page.evaluate("document.getElementById('settings').disabled")
        assert page.problems == []


def test_nothing_found_cannot_be_chosen(chromium: Chromium, server: WebServer) -> None:
    choices = {"methods": [], "layers": [], "groups": [], "views": [], "colormaps": []}
    server.set_state({**STATE, "settings": SETTINGS, "choices": choices, "labels": ["cat"]})
    nothing = {"label": "nothing", "score": 0.0, "index": None, "text": "0%"}
    server.publish(0, av.VideoFrame(*SIZE, "yuv420p"), {"classes": [nothing], "best": []})
    with chromium.open(server.url) as page:
        page.wait_for("document.querySelectorAll('#classes button').length === 1")
        page.evaluate("document.querySelector('#classes button').click()")
        press(page, "k")
        assert asked(server, page) == []
        assert page.problems == []


def click(page: Page, selector: str, x: float, y: float) -> None:
    """Click at a place of an element, in fractions of it, with the mouse."""
    box = page.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
    where = {
        "x": box["left"] + x * box["width"],
        "y": box["top"] + y * box["height"],
        "button": "left",
        "clickCount": 1,
    }
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, **where)


@pytest.mark.parametrize("takes_points", [True, False])
def test_a_click_on_the_picture_asks_for_the_point_there_where_the_model_has_points(
    chromium: Chromium, server: WebServer, takes_points: bool
) -> None:
    """The first click on another source only chooses it."""
    choices = {"methods": [], "layers": [], "groups": [], "views": [], "colormaps": [], "takes_points": takes_points}
    sources = [{"name": name, "width": SIZE[0], "height": SIZE[1]} for name in ("one", "two")]
    server.set_state({**STATE, "sources": sources, "settings": SETTINGS | {"at": "10%,20%"}, "choices": choices})
    with chromium.open(server.url) as page:
        page.wait_for("document.getElementById('picture-1') && !document.getElementById('no-point').hidden")
        record(page)
        for source in (0, 1):
            publish(server, range(1), source)
        page.wait_for("new Set(drawn.map(({source}) => source)).size === 2")
        for selector in ("#picture", "#picture-1", "#picture-1"):
            click(page, selector, 0.25, 0.75)
        page.evaluate("document.getElementById('no-point').click()")
        *points, last = asked(server, page)
        assert last == {"at": None}
        assert page.problems == []
    assert [point["source"] for point in points] == ([0, 1] if takes_points else [])
    for point in points:
        assert (point["x"], point["y"]) == pytest.approx((0.25, 0.75), abs=0.01)


def test_panel_and_status_are_those_of_the_chosen_source(chromium: Chromium, server: WebServer) -> None:
    ledger = [{"read": read, "shown": read, "dropped": {}, "in_fps": 0, "out_fps": 0} for read in (3, 5, 0)]
    sources = [{"name": name, "width": 0, "height": 0} for name in ("one", "two", "three")]
    with chromium.open(server.url) as page:
        page.wait_for(IS_CONNECTED)
        record(page)
        server.set_state({**STATE, "sources": sources, "ledger": ledger})
        publish(server, range(3))
        page.wait_for(shows(2))
        publish(server, range(20, 25), source=1)
        page.wait_for(shows(24))
        for place, label in enumerate(["2", "24", None]):
            page.evaluate(f"document.querySelectorAll('#tiles figure')[{place}].click()")
            assert page.evaluate("document.querySelector('#classes button')?.dataset.label") == label
            status = page.wait_for(f"livecam.status().captured === {ledger[place]['read']} && livecam.status()")
            assert status["shown"] == page.evaluate(f"drawn.filter(({{source}}) => source === {place}).length")


def test_a_wrong_address_is_told_and_not_tried_again(chromium: Chromium, server: WebServer) -> None:
    address, _, _ = server.url.partition("#")
    with chromium.open(f"{address}#wrong") as page:
        page.wait_for(IS_ENDED)
        assert "token" in page.evaluate("document.body.innerText")
    assert server.pages == 0


def test_a_run_that_has_ended_says_why(chromium: Chromium, server: WebServer) -> None:
    with chromium.open(server.url) as page:
        page.wait_for(IS_CONNECTED)
        server.close("Ctrl-C was pressed")
        page.wait_for(IS_ENDED)
        assert "Ctrl-C was pressed" in page.evaluate("document.body.innerText")


@pytest.mark.parametrize(("width", "height", "phone"), [(1280, 713, False), (900, 600, False), (360, 640, True)])
def test_the_page_fits(chromium: Chromium, server: WebServer, width: int, height: int, phone: bool) -> None:
    with chromium.open(server.url) as page:
        page.appear(width=width, height=height, phone=phone)
        page.wait_for(IS_CONNECTED)
        publish(server, range(3))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if not phone:
            assert page.evaluate("document.documentElement.scrollHeight") <= height


def test_a_recording_goes_on_in_another_file_when_the_size_changes(
    chromium: Chromium, server: WebServer, tmp_path: Path
) -> None:
    chromium.save_into(tmp_path)
    with chromium.open(server.url) as page:
        page.wait_for(IS_CONNECTED)
        record(page)
        publish(server, range(1))
        page.wait_for(shows(0))
        page.evaluate("document.querySelector('#record').click()")
        publish(server, range(1, 20))
        page.wait_for(shows(19))
        publish(server, range(20, 40), size=(320, 90))
        page.wait_for(shows(39))
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")
        page.evaluate("document.querySelector('#record').click()")
        deadline = time.monotonic() + 30
        while len(paths := [path for path in tmp_path.iterdir() if path.suffix != ".crdownload"]) < 2:
            assert time.monotonic() < deadline, paths
            time.sleep(0.02)
        assert page.problems == []
    assert {width_of(path) for path in paths} == {160, 320}


def width_of(path: Path) -> int:
    with av.open(str(path)) as recording:
        return next(recording.decode(video=0)).width
