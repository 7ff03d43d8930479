"""Which protocols this FFmpeg has."""

from __future__ import annotations

import pytest

from livecam.errors import InputError
from livecam.sources import open_source
from livecam.sources.protocols import PROTOCOLS
from livecam.system.machine import has_protocol


def test_a_protocol_is_there_or_not() -> None:
    assert [name for name in PROTOCOLS if name != "srt" and not has_protocol(name)] == []
    assert not has_protocol("nonsense")


def test_a_protocol_that_is_missing_is_named() -> None:
    problem = r"cannot open nonsense://127.0.0.1: this build of FFmpeg has no NONSENSE; livecam doctor lists"
    with pytest.raises(InputError, match=problem):
        open_source("nonsense://127.0.0.1")
