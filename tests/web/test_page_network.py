"""The page on a way to livecam that carries little or nothing."""

from __future__ import annotations

from livecam.web.server import WebOptions, WebServer
from tests.support.chromium import Chromium

HOLDS_PINGS = """
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
      if (!(window.isHeld && typeof data === "string" && data.includes('"ping"'))) send.call(this, data);
    };
"""
STATE = {"sources": [{"name": "browser:", "width": 0, "height": 0}], "ledger": []}
COUNTS = "(({sent, dropped, connection}) => ({sent, dropped: dropped.browser ?? 0, connection}))(livecam.status())"


def test_frames_are_left_out_while_livecam_does_not_answer_and_the_page_comes_back(chromium: Chromium) -> None:
    with WebServer(WebOptions(port=0, camera=True)) as server, chromium.open(server.url, script=HOLDS_PINGS) as page:
        server.set_state(STATE)
        page.wait_for("livecam.status().sent > 5")
        page.evaluate("window.isHeld = true")
        begin = page.evaluate(COUNTS)
        page.wait_for(f"livecam.status().dropped.browser > {begin['dropped'] + 3}")
        late = page.evaluate(COUNTS)
        page.wait_for(f"livecam.status().dropped.browser > {late['dropped'] + 10}")
        later = page.evaluate(COUNTS)
        assert later["connection"] == "connected"
        assert later["sent"] == late["sent"]
        page.evaluate("window.isHeld = false")
        page.wait_for(f"livecam.status().sent > {later['sent']}")  # in a new connection
        assert page.problems == []


def test_what_was_on_the_way_when_livecam_ended_counts_as_dropped(chromium: Chromium) -> None:
    entry = {"source": 0, "read": 4, "shown": 0, "dropped": {"explain": 4}, "in_fps": 0.0, "out_fps": 0.0}
    with WebServer(WebOptions(port=0, camera=True)) as server, chromium.open(server.url) as page:
        server.set_state(STATE)
        page.wait_for("livecam.status().sent > 5")
        server.set_state(STATE | {"ledger": [entry]})
        server.close("it was stopped")
        page.wait_for("livecam.status().connection === 'ended'")
        status = page.evaluate("livecam.status()")
        assert status["captured"] > 5
        assert status["captured"] == status["shown"] + sum(status["dropped"].values())
