"""H.264 whose fields come in packets of their own, which no encoder here writes: tiny grey pictures, coded by hand."""

from __future__ import annotations

from pathlib import Path

_SAMPLES = 256 + 128  # of a macroblock in 4:2:0
_START = b"\0\0\0\1"


def field_pairs(path: Path, *, pictures: int) -> Path:
    """Write a raw stream of pictures of 16x32, each as two packets: its upper field, then its lower one."""
    parameters = _START + b"\x67" + _parameters_of_sequence() + _START + b"\x68" + _parameters_of_picture()
    fields = [_field(number, lower=lower) for number in range(pictures) for lower in (False, True)]
    path.write_bytes(parameters + b"".join(fields))
    return path


def _ue(number: int) -> str:
    """An unsigned Exp-Golomb code."""
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _bytes_of(bits: str) -> bytes:
    """The bits, with the trailing one of a unit."""
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def _parameters_of_sequence() -> bytes:
    main_profile, level = "01001101" + "00000000", "00011110"
    numbers = _ue(0) + _ue(0) + _ue(2) + _ue(1)  # id, bits of frame numbers, order as decoded, one reference
    size = "0" + _ue(0) + _ue(0)  # a macroblock wide, a pair of macroblocks high
    return _bytes_of(main_profile + level + numbers + size + "0010" + "0")  # fields, direct 8x8, no crop; no VUI


def _parameters_of_picture() -> bytes:
    return _bytes_of(_ue(0) + _ue(0) + "00" + _ue(0) + _ue(0) + _ue(0) + "000" + 3 * _ue(0) + "000")


def _field(number: int, *, lower: bool) -> bytes:
    is_key = number == 0 and not lower
    header = _ue(0) + _ue(7) + _ue(0) + f"{number % 16:04b}" + "1" + str(int(lower))
    header += _ue(0) + "00" if is_key else "0"
    header += _ue(0) + _ue(25)  # the usual quantiser; a macroblock of plain samples
    header += "0" * (-len(header) % 8)
    unit = int(header, 2).to_bytes(len(header) // 8) + bytes([128 + number]) * _SAMPLES
    return _START + (b"\x65" if is_key else b"\x61") + unit + b"\x80"
