"""`demo:motion`, the scene of motions as a source."""

from __future__ import annotations

import numpy as np
import pytest

from livecam import InputError, open_source
from livecam.motion_scene import MotionScene
from livecam.picture.conversion import Bt709Converter
from livecam.picture.planes import planes


def pixels(uri: str, start_seconds: float = 0.0, duration_seconds: float | None = None) -> list[np.ndarray]:
    with open_source(uri, start_seconds=start_seconds, duration_seconds=duration_seconds) as source:
        return [planes(frame.picture)[0].copy() for frame in source.frames(lambda packet: None)]


def test_its_frames_are_those_of_the_scene() -> None:
    scene, convert = MotionScene(3, width=160, height=90), Bt709Converter()
    expected = [planes(convert(scene.render(number / 10)))[0].copy() for number in range(20)]
    shown = pixels("demo:motion?size=160x90&fps=10&seconds=2&seed=3")
    np.testing.assert_array_equal(shown, expected)
    part = pixels("demo:motion?size=160x90&fps=10&seconds=2&seed=3", start_seconds=0.5, duration_seconds=1)
    np.testing.assert_array_equal(part, expected[5:15])


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("demo:motion?shapes=2", "demo:motion has no option 'shapes'; it has size, fps, seconds, seed$"),
        ("demo:motion?seed=-1", "seed=-1 is not a number from 0 on"),
        ("demo:motions", "demo:motion has no option 's'"),
        ("demo:emotion", "demo: has no option 'emotion'; it has size, fps, seconds, seed, shapes$"),
    ],
)
def test_wrong_options_are_told_in_one_line(uri: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(uri)
