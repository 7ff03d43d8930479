"""What the user of the page can do: keys, the panel, and files in place of a camera."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import livecam.web
from livecam.live.commands import KEYS, QUIT_KEYS
from livecam.web.server import WebOptions, WebServer
from tests.support.chromium import Chromium, Page
from tests.web.looking import asked, press
from tests.web.stand_in import LABELS, LAYERS, SETTINGS

FOLDER = Path(livecam.web.__file__).parent / "page"
STATE = {
    "model": "shapes",
    "sources": [{"name": "browser:", "width": 0, "height": 0}],
    "settings": SETTINGS | {"layer": None},
    "choices": {
        "methods": ["gradcam", "gradcam++", "hirescam"],
        "layers": [{"name": None, "title": "the usual"}, *LAYERS],
        "views": ["overlay", "heatmap"],
        "colormaps": ["jet", "turbo"],
        "groups": ["dog"],
    },
    "labels": LABELS,
    "ledger": [],
    "problem": None,
}
DROP = """
    const bytes = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], '{name}', {{type: '{kind}'}}));
    dispatchEvent(new DragEvent('drop', {{dataTransfer, cancelable: true}}));
"""
CARD = "document.getElementById('card').hidden ? '' : document.getElementById('card').innerText"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer(WebOptions(port=0, camera=True)) as server:
        server.set_state(STATE)
        yield server


@pytest.fixture
def page(chromium: Chromium, server: WebServer) -> Iterator[Page]:
    with chromium.open(server.url, script="delete MediaDevices.prototype.getUserMedia") as page:
        page.wait_for("!document.getElementById('settings').disabled")
        yield page


def drop(page: Page, name: str, kind: str, data: bytes) -> None:
    page.evaluate(f"{{{DROP.format(data=base64.b64encode(data).decode(), name=name, kind=kind)}}}")


def test_the_page_has_the_keys_of_the_window_but_quits_nothing() -> None:
    table = (FOLDER / "controls.js").read_text(encoding="utf-8").split("#table() {")[1].split("\n  }\n")[0]
    in_page = set(re.findall(r'^ {6}"?(.)"?: ', table, flags=re.MULTILINE))
    assert in_page == {key for entry in KEYS for key in entry.keys} - set(QUIT_KEYS)


def test_keys_that_follow_each_other_count_on_before_livecam_has_answered(server: WebServer, page: Page) -> None:
    press(page, "m", "m", "L", "L", "L", "v", "x", "x", "]", "c")
    assert asked(server, page) == [
        *({"method": method} for method in ("gradcam++", "hirescam")),
        *({"layer": layer} for layer in ("stages.2", "stages.3", None)),
        {"view": "heatmap"},
        {"mirror": True},
        {"mirror": False},
        {"opacity": 0.6},
        {"target": "top2"},
    ]
    assert page.problems == []


def test_what_livecam_did_not_take_is_shown_as_it_is(server: WebServer, page: Page) -> None:
    press(page, "m")
    server.set_state(STATE | {"problem": "that method does not fit"})
    page.wait_for("document.getElementById('method').value === 'gradcam++'")
    page.wait_for("livecam.status().method === 'gradcam'")


def test_a_class_is_chosen_by_its_name_and_let_go(server: WebServer, page: Page) -> None:
    page.evaluate("target.value = 'star', target.dispatchEvent(new Event('change'))")
    page.evaluate("best.click()")
    assert asked(server, page) == [{"target": "star"}, {"target": None}]
    assert page.evaluate("[...labels.options].map(({value}) => value)") == ["dog", *LABELS]


def test_without_a_camera_the_page_says_what_to_do(page: Page) -> None:
    assert "Choose a file" in page.wait_for(CARD)


def test_that_there_is_no_camera_hides_no_other_source(server: WebServer, page: Page) -> None:
    page.wait_for(CARD)
    server.set_state(STATE | {"sources": [{"name": "demo:", "width": 64, "height": 36}, *STATE["sources"]]})
    page.wait_for("document.getElementById('card').parentElement.querySelector('canvas')?.id === 'picture-1'")


def test_a_picture_that_is_dropped_is_sent_like_a_camera(server: WebServer, page: Page) -> None:
    with io.BytesIO() as file:
        Image.new("RGB", (65, 33), (250, 10, 10)).save(file, "PNG")
        drop(page, "red.png", "image/png", file.getvalue())
    page.wait_for("livecam.status().sent > 0")
    picture = next(server.camera.frames(lambda packet: None)).picture
    assert (picture.width, picture.height) == (66, 34)
    assert picture.to_ndarray(format="rgb24").mean(axis=(0, 1)).round(-1).tolist() == [250, 10, 10]


def test_a_file_that_is_no_picture_is_told(page: Page) -> None:
    drop(page, "note.txt", "text/plain", b"no picture")
    page.wait_for("document.getElementById('card').innerText.includes('cannot be shown')")


def test_the_field_of_the_class_takes_prompts_where_the_model_compares_with_words(
    server: WebServer, page: Page
) -> None:
    press(page, "/")
    assert page.evaluate("document.activeElement.id") == "target"
    server.set_state(STATE | {"choices": {**STATE["choices"], "takes_prompts": True}})  # type: ignore[dict-item]
    page.wait_for("document.getElementById('target').placeholder === 'a new prompt'")
