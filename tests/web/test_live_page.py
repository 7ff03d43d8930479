"""`livecam live browser:` with a real browser whose camera films a known scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.support.chromium import Chromium
from tests.support.clips import number_in
from tests.web.looking import IS_ENDED, drawn, record, rest, wait_for_more
from tests.web.numbered_scene import LABEL, WIDTH, mask
from tests.web.program import Program

CHOOSE_SIDE_BY_SIDE = "(view.value = 'side-by-side', view.dispatchEvent(new Event('change')))"
IS_SIDE_BY_SIDE = f"drawn.filter(({{width}}) => width === {2 * WIDTH}).length > 5"


def hottest_place(pixels: np.ndarray) -> tuple[int, int]:
    """Return the row and column where the right half, with the heat, differs most from the left half without it."""
    plain, heated = (cv2.GaussianBlur(half.astype(np.float32), (0, 0), 3) for half in np.split(pixels, 2, axis=1))
    difference = np.abs(heated - plain).sum(axis=2)
    return np.unravel_index(difference.argmax(), difference.shape)  # type: ignore[return-value]


def test_the_page_shows_class_and_heat_of_each_frame_that_its_camera_films(chromium: Chromium, tmp_path: Path) -> None:
    with Program(tmp_path, "browser:", "--model", "shapes", "--engine", "eager", "--no-caption") as program:
        with chromium.open(program.url) as page:
            wait_for_more(page)
            record(page)
            page.evaluate(CHOOSE_SIDE_BY_SIDE)
            page.wait_for(IS_SIDE_BY_SIDE)
            pictures = [(facts, pixels) for facts, pixels in drawn(page) if facts["width"] == 2 * WIDTH]
            for facts, pixels in pictures:
                shape = mask(number_in(pixels[:, :WIDTH]))
                assert facts["classes"][0]["label"] == LABEL
                assert shape[hottest_place(pixels)]
            status = rest(page)
            assert status["explained"][0]["label"] == LABEL
            assert program.interrupt() == 130
            page.wait_for(IS_ENDED)
            assert page.problems == []
        frames = program.report()["frames"]
    assert frames["captured"] == status["captured"] == frames["shown"] + sum(frames["dropped"].values())
