"""Turning pictures and rectangles upright and back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from livecam.picture.media import Orientation, Region

ALL = [Orientation(*flags) for flags in itertools.product([False, True], repeat=3)]
ONE = 1 << 16


@pytest.mark.parametrize("orientation", ALL)
def test_upright_and_coded_undo_each_other(orientation: Orientation) -> None:
    picture = np.arange(3 * 5 * 2).reshape(3, 5, 2)
    assert np.array_equal(orientation.coded(orientation.upright(picture)), picture)
    assert orientation.upright(picture).shape[1::-1] == orientation.swap(5, 3)


@pytest.mark.parametrize("orientation", ALL)
def test_mirrored_exchanges_left_and_right_as_shown(orientation: Orientation) -> None:
    picture = np.arange(3 * 5).reshape(3, 5)
    assert np.array_equal(orientation.mirrored().upright(picture), orientation.upright(picture)[:, ::-1])


@pytest.mark.parametrize("orientation", ALL)
def test_a_region_follows_the_picture(orientation: Orientation) -> None:
    upright = np.zeros(orientation.swap(40, 20)[::-1])
    height, width = upright.shape
    upright[: height // 4, : width // 2] = 1
    coded = orientation.coded(upright)
    left, top, right, bottom = Region(0, 0, 0.5, 0.25).coded(orientation)
    rows, columns = np.nonzero(coded)
    assert (rows.min(), rows.max() + 1) == (round(top * 20), round(bottom * 20))
    assert (columns.min(), columns.max() + 1) == (round(left * 40), round(right * 40))


def test_display_matrices() -> None:
    picture = np.arange(6).reshape(2, 3)
    clockwise = Orientation.of((0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30))
    assert np.array_equal(clockwise.upright(picture), np.rot90(picture, -1))
    counter_clockwise = Orientation.of((0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30))
    assert np.array_equal(counter_clockwise.upright(picture), np.rot90(picture))
    mirrored = Orientation.of((-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30))
    assert np.array_equal(mirrored.upright(picture), picture[:, ::-1])
    assert Orientation.of(None) == Orientation()
