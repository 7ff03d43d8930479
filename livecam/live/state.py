"""The state of a live run as plain data: what a page tells beside the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from livecam.live.pane import Pane
from livecam.live.settings import Settings, layer_name
from livecam.names import COLORMAPS, VIEWS

if TYPE_CHECKING:  # it imports torch, which takes seconds: the window opens before
    from livecam.live.explainer_thread import ExplainerThread


def state_of(
    panes: Sequence[Pane], model_name: str, settings: Settings | None, explaining: ExplainerThread | None
) -> dict[str, Any]:
    """Describe a run.

    Args:
        panes: The panes of its sources.
        model_name: The name of the model.
        settings: The settings; None until the model is loaded.
        explaining: What explains; None until the model is loaded.

    Returns:
        The `model`, the `engine` with its precision, the `settings` as `livecam.live.settings` has them, the `choices`
        that there are for them, the `labels` of the classes, the `sources` with their sizes, an account of each in the
        `ledger`, what is waited for before the first pictures (`waits_for`), and a `problem`, such as a camera that is
        unplugged. What is not known yet, or not so, is None.
    """
    first = panes[0].drawn
    return {
        "model": model_name,
        "engine": first and "{engine} {precision}".format(**first.facts),
        "settings": settings and settings.values(),
        "choices": explaining and _choices(explaining),
        "labels": explaining and explaining.labels,
        "sources": [_source(pane) for pane in panes],
        "ledger": [_account(pane) for pane in panes],
        "waits_for": next((pane.waits_for for pane in panes if pane.waits_for), None),
        "problem": next((problem for pane in panes if (problem := _problem(pane))), None),
    }


def _choices(explaining: ExplainerThread) -> dict[str, Any]:
    layers = zip(explaining.layers, explaining.layer_titles, strict=True)
    return {
        "methods": explaining.methods,
        "layers": [{"name": layer_name(layer), "title": title} for layer, title in layers],
        "groups": explaining.groups,
        "takes_prompts": bool(explaining.question.prompts),
        "takes_points": explaining.takes_points,
        "views": VIEWS,
        "colormaps": COLORMAPS,
    }


def _source(pane: Pane) -> dict[str, Any]:
    width, height = pane.picture_size
    return {"name": pane.name, "width": width, "height": height}


def _account(pane: Pane) -> dict[str, Any]:
    pane.feed.count_dropped()
    ledger, (in_fps, out_fps) = pane.feed.ledger, pane.figures.fps
    read, shown, dropped = ledger.read, ledger.delivered, Counter(ledger.dropped)
    if pane.feed.is_stopped:  # what is on its way will not be shown
        dropped["end"] = read - shown - (dropped.total() - dropped["end"])
    return {
        "source": pane.name,
        "read": read,
        "shown": shown,
        "dropped": +dropped,
        "in_fps": round(in_fps, 1),
        "out_fps": round(out_fps, 1),
        "latency_ms": pane.figures.latency_ms,
    }


def _problem(pane: Pane) -> str:
    """Return why a source gives no pictures, or shows them too slowly; empty if there is no problem."""
    if pane.lost_seconds:
        return f"no signal from {pane.name.rstrip(':')}: {pane.feed.source.signal.problem}"
    return pane.slowness
