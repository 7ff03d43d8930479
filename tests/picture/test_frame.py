"""Frames made from arrays."""

from __future__ import annotations

import numpy as np

from livecam.picture.frame import Frame


def test_bytes_of_a_frame_are_those_of_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 13, 3), np.uint8)
    assert np.array_equal(Frame.from_rgb(image[:, ::-1]).picture.to_ndarray(format="rgb24"), image[:, ::-1])
