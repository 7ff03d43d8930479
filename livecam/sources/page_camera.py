"""`browser:`, the camera of a page. It comes from the server of the page, so `livecam.live.watch` has it."""

from __future__ import annotations

from typing import NoReturn

from livecam.errors import InputError
from livecam.names import BROWSER
from livecam.sources.base import SourceKind


def _refuse(name: str, *arguments: object, **options: object) -> NoReturn:
    problem = "is the camera of a page, which is only shown live" if name == BROWSER else "names no source"
    raise InputError(f"{name} {problem}; use: livecam live {BROWSER}")


PAGE_CAMERA = SourceKind(
    recognises=lambda name: name.startswith(BROWSER),
    open=_refuse,
    open_live=_refuse,
    output_name=lambda name: "browser.mp4",
)
