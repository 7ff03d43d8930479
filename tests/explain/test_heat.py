"""The conversion of signed maps to heat."""

from __future__ import annotations

import numpy as np
import pytest

from livecam import LivecamError
from livecam.explain.heat import Heat, HeatOptions

CAM = np.array([[-2.0, -1.0, 0.0, 1.0], [2.0, 3.0, 4.0, 8.0]], np.float32)


def heat(cam: np.ndarray = CAM, **options: object) -> tuple[np.ndarray, float]:
    return Heat(HeatOptions(**options))(cam.astype(np.float32))[:2]  # type: ignore[arg-type]


def test_by_default_the_positive_evidence_over_its_maximum() -> None:
    shown, cutoff = heat()
    np.testing.assert_allclose(shown, np.maximum(CAM, 0) / 8)
    assert cutoff == 0
    for dark in (-np.ones((2, 2)), np.zeros((2, 2))):
        assert not heat(dark)[0].any()


@pytest.mark.parametrize(("threshold", "cutoff"), [(0.25, 2.0), (-0.25, -2.0), ("min", -2.0)])
def test_a_threshold_replaces_the_zero(threshold: float | str, cutoff: float) -> None:
    shown, used = heat(threshold=threshold)
    assert used == cutoff
    np.testing.assert_allclose(shown, np.clip((CAM - cutoff) / (8 - cutoff), 0, 1))


def test_the_automatic_threshold_splits_weak_from_strong() -> None:
    """Otsu's: the split with the least spread within the two groups, found here by trying all."""
    rng = np.random.default_rng(0)
    cam = np.concatenate([rng.normal(1, 0.3, 150), rng.normal(6, 0.5, 46)]).reshape(14, 14).astype(np.float32)
    evidence = np.maximum(cam, 0).ravel()

    def spread(cut: float) -> float:
        weak, strong = evidence[evidence <= cut], evidence[evidence > cut]
        return weak.size * weak.var() + strong.size * strong.var()

    shown, cutoff = heat(cam, threshold="auto")
    assert spread(cutoff) <= 1.01 * min(spread(cut) for cut in np.linspace(0.5, 6, 200) if evidence.min() < cut)
    assert ((shown > 0) == (cam > cutoff)).all()


def test_smoothing_spreads_and_keeps_what_there_is() -> None:
    spike = np.zeros((15, 15), np.float32)
    spike[7, 7] = 1
    shown, _ = heat(spike, smooth=1.0)
    assert shown[7, 7] == 1
    assert 0.5 < shown[7, 8] < 0.7  # exp(-1/2)
    np.testing.assert_allclose(heat(np.full((5, 5), 3.0), smooth=2.0)[0], 1)


def test_an_absolute_scale_tells_weak_from_strong_frames() -> None:
    np.testing.assert_allclose(heat(scale=16.0)[0], np.maximum(CAM, 0) / 16)
    np.testing.assert_allclose(heat(scale=4.0)[0], np.clip(CAM / 4, 0, 1))


@pytest.mark.parametrize("threshold", [0.0, 0.3, "auto", "min"])
@pytest.mark.parametrize("scale", [0.001, 0.5, 2.0])
def test_what_is_above_a_small_scale_is_full_heat_at_any_threshold(threshold: float | str, scale: float) -> None:
    for cam in (CAM, CAM + 10):
        shown, _ = heat(cam, threshold=threshold, scale=scale)
        assert (shown[cam >= scale] == 1).all()
        assert threshold == "min" or not shown[cam <= 0].any()


def test_min_max_scaling_shows_what_is_all_negative_too() -> None:
    np.testing.assert_allclose(heat(CAM - 10, threshold="min")[0], (CAM + 2) / 10, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "threshold is auto, min, or a number from -1 to below 1"),
        ({"threshold": float("nan")}, "threshold is"),
        ({"threshold": "warm"}, "threshold is"),
        ({"smooth": -1}, "smooth is a number of cells"),
        ({"smooth": float("nan")}, "smooth is"),
        ({"scale": 0}, "scale is auto or a number above 0"),
        ({"scale": "movie"}, "scale is"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(LivecamError, match=message):
        HeatOptions(**options)  # type: ignore[arg-type]
