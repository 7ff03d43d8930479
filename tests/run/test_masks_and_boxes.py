"""Runs of models that segment and detect: each frame has its own mask or box, map and class."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result

from livecam import Explainer, Explanation
from livecam.picture.frame import Frame
from livecam.render import Renderer, Style
from livecam.run.pipeline import Pipeline
from tests.live.harness import LiveRun
from tests.run.test_pipeline import Collector
from tests.support.doubles import NumberedSource
from tests.support.numbered_models import CLASSES, MODELS, ROWS, check_is_of

COUNT = 40
kinds = pytest.mark.parametrize("kind", MODELS)


@kinds
@pytest.mark.parametrize("batch", [1, 3])
def test_each_frame_of_a_file_has_its_own(kind: str, batch: int) -> None:
    shown: list[tuple[Frame, Explanation]] = []
    with Explainer(MODELS[kind](), method="hirescam", engine="eager") as explainer:
        Pipeline(
            NumberedSource(COUNT),
            explainer,
            Renderer("yuv420p", Style(caption=False)),
            Collector(),
            batch=batch,
            entry=lambda frame, explanation: partial(shown.append, (frame, explanation)),
        ).run()
    assert [frame.index for frame, _ in shown] == list(range(COUNT))
    for frame, explanation in shown:
        check_is_of(frame.index, explanation, kind)


@kinds
@pytest.mark.parametrize("is_live", [False, True])
def test_each_frame_that_is_shown_live_has_its_own(kind: str, is_live: bool) -> None:
    explainer = Explainer(MODELS[kind](), method="hirescam", engine="eager")
    run = LiveRun(NumberedSource(COUNT, is_live=is_live), explainer=explainer)()
    assert run.indices if is_live else run.indices == list(range(COUNT))
    for _, frame, explanation in run.shown:
        assert explanation.frame_index == frame.index
        check_is_of(frame.index, explanation, kind)


@kinds
def test_each_line_of_the_predictions_is_of_its_own_frame(
    kind: str, livecam: Callable[..., Result], clip: Callable[..., Path], tmp_path: Path
) -> None:
    made = {"masks": "segmenter", "boxes": "detector"}[kind]
    lines = tmp_path / "p.jsonl"
    options = ("--model", f"tests.support.numbered_models:{made}", "--method", "hirescam", "--predictions", lines)
    result = livecam("annotate", clip("numbers.mp4"), "-o", tmp_path / "out.mp4", *options)
    assert result.exit_code == 0, result.output
    for number, line in enumerate(map(json.loads, lines.read_text().splitlines())):
        (explained,) = line["explained"]
        assert (line["index"], explained["label"]) == (number, CLASSES[number // ROWS]), line
        top, bottom = 90 * (number % ROWS) / ROWS, 90 * (number % ROWS + 1) / ROWS
        assert top < explained["peak"]["y"] < bottom
        if kind == "boxes":
            (box,) = line["boxes"]
            assert (box["left"], box["right"], box["label"]) == (40, 120, explained["label"])
            assert (box["top"], box["bottom"]) == pytest.approx((top, bottom), abs=0.06)
            assert explained["boxes"] == [1]
        else:
            assert (line["unit"], explained["score"]) == ("share of the picture", 1 / ROWS)
    assert number == 11
