"""Clicks on the screen: which point of the picture they mean."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import av
import cv2
import numpy as np
import pytest

from livecam.explain.point import point_of
from livecam.live.display import Click, Window
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation
from livecam.render import Style
from tests.live.harness import Parts, explained
from tests.support.doubles import HEIGHT, WIDTH, NumberedSource
from tests.support.explanations import explanation_of

COLD = np.zeros((8, 8), np.float32)
UPRIGHT, QUARTER_TURN, MIRRORED = Orientation(), Orientation(True, False, True), Orientation(flipped_x=True)
HALF_GREY = 128
WINDOW = 350, 250


def marked(orientation: Orientation) -> Frame:
    """Return a frame that is black but for 60 x 60 white pixels, away from names of sources."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[-60:, 40:100] = 255
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    return Frame(picture=picture, orientation=orientation)


def is_marked(frame: Frame, at: str) -> bool:
    x, y = point_of(at).in_picture(1, 1)
    upright = frame.to_rgb()
    height, width = upright.shape[:2]
    return bool(upright[int(y * height), int(x * width), 0] > HALF_GREY)


@pytest.mark.parametrize("orientation", [UPRIGHT, QUARTER_TURN, MIRRORED])
@pytest.mark.parametrize("view", ["overlay", "classes", "timeline"])
def test_a_click_means_the_point_of_the_frame_that_is_seen_there(view: str, orientation: Orientation) -> None:
    """In all panels and panes, in a window of another shape; beside and below the frames it means nothing."""
    parts = Parts(*[NumberedSource(1) for _ in range(3)])
    parts.display.size = WINDOW
    parts.screen.style, parts.screen.shows_figures = Style(view=view, caption=False), False
    frame = marked(orientation)
    for feed in parts.feeds:
        feed.put(frame)
        feed.put_explained(explained(feed.take_to_explain(), explanation_of(COLD, COLD, COLD)))
    parts.screen.present()
    parts.screen.refresh()
    seen = parts.display.pictures[-1].max(axis=2)
    wrong, asked = [], []
    for row, column in product(range(5, WINDOW[1], 11), range(5, WINDOW[0], 11)):
        near = seen[row - 3 : row + 4, column - 3 : column + 4]
        if (near > HALF_GREY).any() != (near > HALF_GREY).all():
            continue  # at an edge of the mark
        parts.display.press = lambda x=column, y=row: [Click((x + 0.5) / WINDOW[0], (y + 0.5) / WINDOW[1])]  # type: ignore[misc]
        points = [request["at"] for request in parts.screen.present()]  # type: ignore[index]
        asked += [is_marked(frame, at) for at in points]
        if any(is_marked(frame, at) for at in points) != (seen[row, column] > HALF_GREY):
            wrong.append((row, column, points))
    assert wrong == []
    assert True in asked
    assert False in asked


def test_below_the_picture_and_beside_it_a_click_means_nothing() -> None:
    parts = Parts(NumberedSource(1))
    parts.display.size = 640, 900
    parts.screen.style = Style(view="timeline", caption=False)
    (feed,) = parts.feeds
    feed.put(marked(UPRIGHT))
    feed.put_explained(explained(feed.take_to_explain(), explanation_of(COLD)))
    parts.screen.present()
    above, bottom = (900 - 504) // 2, (900 + 504) // 2  # 640 x 360, and below it a timeline of 144
    clicks = {above - 5: 0, above + 5: 1, above + 355: 1, above + 370: 0, bottom - 5: 0, bottom + 5: 0}
    for row, count in clicks.items():
        parts.display.press = lambda y=row: [Click(0.5, (y + 0.5) / 900)]  # type: ignore[misc]
        assert len(parts.screen.present()) == count, row


def test_the_left_button_chooses_a_point_and_the_right_one_removes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "setWindowTitle", lambda *arguments: None)
    monkeypatch.setattr(cv2, "imshow", lambda *arguments: None)
    window = Window()
    window.show(np.zeros((50, 200, 3), np.uint8), "")
    for event in (cv2.EVENT_MOUSEMOVE, cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONUP, cv2.EVENT_RBUTTONDOWN):
        window._on_mouse(event, 49, 24, 0, None)
    assert window._clicked() == [Click(49.5 / 200, 24.5 / 50), {"at": None}]
    assert window._clicked() == []
