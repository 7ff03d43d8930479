"""`livecam live browser:` with a real browser whose camera films a known scene."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tests.support.chromium import Chromium
from tests.support.clips import number_in
from tests.web.looking import IS_CONNECTED, IS_ENDED, drawn, record, rest, wait_for_more
from tests.web.numbered_scene import LABEL, WIDTH, mask
from tests.web.program import Program

TAKES_SETTINGS = "!settings.disabled"
CHOOSE_SIDE_BY_SIDE = "(view.value = 'side-by-side', view.dispatchEvent(new Event('change')))"
IS_SIDE_BY_SIDE = f"drawn.filter(({{width}}) => width === {2 * WIDTH}).length > 5"
RECORD_ANSWERS = """
window.answers = [];
new MutationObserver(() => answers.push(answer.textContent)).observe(answer, {childList: true});
"""
CHOOSE_ALL = """
for (const select of settings.querySelectorAll("select")) {
  for (const {value} of [...select.options].reverse()) {
    select.value = value;
    select.dispatchEvent(new Event("change", {bubbles: true}));
  }
}
for (const box of settings.querySelectorAll("input[type=checkbox]")) {
  box.click();
  box.click();
}
for (const range of settings.querySelectorAll("input[type=range]")) {
  for (range.value of [range.max, range.min, range.defaultValue]) {
    range.dispatchEvent(new Event("input", {bubbles: true}));
    range.dispatchEvent(new Event("change", {bubbles: true}));
  }
}
"""


@pytest.fixture(scope="module")
def program(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    arguments = ("browser:", "--model", "shapes", "--engine", "eager", "--no-caption")
    with Program(tmp_path_factory.mktemp("program"), *arguments) as program:
        yield program


def hottest_place(pixels: np.ndarray) -> tuple[int, int]:
    """Return the row and column where the right half, with the heat, differs most from the left half without it."""
    plain, heated = (cv2.GaussianBlur(half.astype(np.float32), (0, 0), 3) for half in np.split(pixels, 2, axis=1))
    difference = np.abs(heated - plain).sum(axis=2)
    return np.unravel_index(difference.argmax(), difference.shape)  # type: ignore[return-value]


def test_the_page_shows_class_and_heat_of_each_frame_that_its_camera_films(
    chromium: Chromium, program: Program
) -> None:
    with chromium.open(program.url) as page:
        wait_for_more(page)
        record(page)
        page.wait_for(TAKES_SETTINGS)
        page.evaluate(CHOOSE_SIDE_BY_SIDE)
        page.wait_for(IS_SIDE_BY_SIDE)
        for facts, pixels in drawn(page):
            if facts["width"] == 2 * WIDTH:
                assert facts["classes"][0]["label"] == LABEL
                assert mask(number_in(pixels[:, :WIDTH]))[hottest_place(pixels)]
        assert rest(page)["explained"][0]["label"] == LABEL
        assert page.problems == []


def test_livecam_takes_all_that_the_panel_offers(chromium: Chromium, program: Program) -> None:
    with chromium.open(program.url) as page:
        wait_for_more(page)
        page.evaluate(RECORD_ANSWERS)
        page.wait_for(TAKES_SETTINGS)
        page.evaluate(CHOOSE_ALL)
        wait_for_more(page)
        assert page.evaluate("answers") == []
        assert page.evaluate(IS_CONNECTED)
        assert page.problems == []


def test_ctrl_c_ends_the_run_and_the_page_tells_it(chromium: Chromium, program: Program) -> None:
    with chromium.open(program.url) as page:
        wait_for_more(page)
        assert program.interrupt() == 130
        page.wait_for(IS_ENDED)
        assert "livecam has ended" in page.evaluate("card.innerText")
    frames = program.report()["frames"]
    assert frames["captured"] == frames["shown"] + sum(frames["dropped"].values())
