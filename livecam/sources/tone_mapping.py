"""Tone mapping: the brightness and colours of HDR video (PQ and HLG) brought into the range of SDR."""

from __future__ import annotations

import struct
from typing import Any

import av
import numpy as np

_PQ, _HLG = 16, 18
HDR = {_PQ: "PQ", _HLG: "HLG"}
"""The transfer functions of HDR, by FFmpeg's AVColorTransferCharacteristic."""
TABLE_FORMAT = "gbrpf32le"
"""The pixel format of tables and of what they are applied to: haldclut mixes up the channels of gbrp10 and gbrp16."""
_WHITE_NITS = 203.0
"""The luminance of white paper in HDR, by ITU-R BT.2408; brighter are light sources and reflections."""
_USUAL_PEAK_NITS = 1000.0
_STEPS = 49
"""The colours of a table per channel; a Hald picture has a square number of them."""
_GAMMA = 2.4
# BT.2020 to BT.709, both linear, by ITU-R BT.2407.
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
# The constants of SMPTE ST 2084 (PQ) and of ARIB STD-B67 (HLG), both in ITU-R BT.2100.
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])


def tone_map(picture: av.VideoFrame) -> av.VideoFrame:
    """Return a table for pictures like this one, as a Hald picture in TABLE_FORMAT for FFmpeg's haldclut filter.

    It maps BT.2020 RGB in PQ or HLG to BT.709 RGB. What is darker than half of paper white stays as bright as it is,
    and what is brighter is compressed, up to the video's peak, which becomes white. The largest of a pixel's R, G and B
    decides, and all three keep their ratio.
    """
    steps = np.linspace(0, 1, _STEPS)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    coded = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    is_pq = picture.color_trc == _PQ
    nits = np.maximum((_nits_of_pq(coded) if is_pq else _nits_of_hlg(coded)) @ _TO_BT709.T, 0)
    largest = np.maximum(nits.max(axis=1, keepdims=True), 1e-6)
    linear = nits / largest * _compressed(largest, _peak_nits(picture) if is_pq else _USUAL_PEAK_NITS) / _WHITE_NITS
    return _hald(np.clip(linear, 0, 1) ** (1 / _GAMMA))


def _peak_nits(picture: av.VideoFrame) -> float:
    """Return the luminance of the brightest pixel that a PQ video promises, 1000 if it promises none."""
    side_data: dict[str, Any] = picture.side_data  # type: ignore[assignment]
    if light_level := side_data.get("CONTENT_LIGHT_LEVEL"):
        (brightest, _) = struct.unpack("=2I", bytes(light_level))
        if brightest:
            return float(brightest)
    if mastering := side_data.get("MASTERING_DISPLAY_METADATA"):
        *_, numerator, denominator, _, has_luminance = struct.unpack("=22i", bytes(mastering))
        if has_luminance and numerator > 0:
            return float(numerator / denominator)
    return _USUAL_PEAK_NITS


def _nits_of_pq(coded: np.ndarray) -> np.ndarray:
    power = coded ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _pq_of_nits(nits: np.ndarray | float) -> np.ndarray:
    power = (np.asarray(nits) / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _nits_of_hlg(coded: np.ndarray) -> np.ndarray:
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - _C) / _A) + _B) / 12)
    luminance = (scene @ _BT2020_LUMA)[:, None]
    return np.asarray(_USUAL_PEAK_NITS * luminance**0.2 * scene)


def _compressed(nits: np.ndarray, peak: float) -> np.ndarray:
    """Compress luminances from 0..peak to 0..paper white by ITU-R BT.2390: straight, then a smooth shoulder."""
    top = _pq_of_nits(max(peak, 2 * _WHITE_NITS))
    white = _pq_of_nits(_WHITE_NITS) / top
    value = np.minimum(_pq_of_nits(nits) / top, 1)
    knee = 1.5 * white - 0.5
    t = (value - knee) / (1 - knee)
    shoulder = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    return _nits_of_pq(np.where(value < knee, value, shoulder) * top)


def _hald(colors: np.ndarray) -> av.VideoFrame:
    """Return the picture of a table, (steps³, 3) in 0..1: red changes fastest, blue slowest."""
    side = round(len(colors) ** 0.5)
    picture = av.VideoFrame(side, side, TABLE_FORMAT)
    for plane, channel in zip(picture.planes, (1, 2, 0), strict=True):
        lines = np.zeros((side, plane.line_size // 4), "<f4")
        lines[:, :side] = colors[:, channel].reshape(side, side)
        plane.update(lines.tobytes())
    return picture
