"""Errors of downloads."""

from __future__ import annotations

from livecam.errors import ModelError


def download_error(name: str, host: str, exc: BaseException) -> ModelError:
    """Return the error for weights that cannot be downloaded: no network, a full disk, a file cut short."""
    return ModelError(
        f"the weights of {name} cannot be downloaded from {host} ({first_cause(exc)}); connect to the network once, or "
        "give --weights FILE, or take --model efficientnet_lite0 or shapes, which need no download, or --weights none "
        "to try the speed"
    )


def first_cause(exc: BaseException) -> str:
    """Return the first line of the innermost cause: libraries wrap the system's message in longer ones."""
    while (inner := exc.__cause__ or exc.__context__) and not isinstance(inner, StopIteration):  # which json raises
        exc = inner
    reason = getattr(exc, "reason", None) or exc
    text = str(getattr(reason, "strerror", None) or reason) or type(reason).__name__
    return text.splitlines()[0]
