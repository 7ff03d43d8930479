"""The engines: their precisions, what must agree before they switch, and when they compile."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from livecam import Explainer, LivecamError
from livecam.explain.answer import Answer, agreement
from livecam.explain.tap import held_in
from livecam.models import Preprocessing
from tests.support.tiny import Tiny, pictures, tiny


class Undecided(Tiny):
    """What it does depends on what it sees, which no graph can tell."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean() > 0 else -x)


class UndecidedByNumPy(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if np.asarray(x.detach().cpu()).mean() > 0 else -x)


class UndecidedByList(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean().tolist() > 0 else -x)


def answer_of(best: list[int], maps: list[list[float]], best_scores: list[float] | None = None) -> Answer:
    """Of pictures with a single explained class each, the best of two."""
    count = len(best)
    scores = torch.tensor(best_scores or [0.9] * count)[:, None]
    return Answer(
        torch.tensor(maps).reshape(count, 1, 1, -1),
        torch.tensor(best)[:, None],
        scores,
        torch.tensor([[first, 1 - first] for first in best]),
        torch.cat([scores, 1 - scores], dim=1),
    )


def test_in_half_precision_the_map_stays_and_small_gradients_do_not_vanish() -> None:
    """Scores of a head with tiny weights: unscaled, their gradients would all be 0 in float16."""
    torch.manual_seed(0)
    model = Tiny()
    with torch.no_grad():
        model.head.weight.mul_(1e-4)
    facts: dict[str, Any] = {"preprocessing": Preprocessing(size=(64, 64)), "engine": "eager", "target": 2}
    expected, given = (Explainer(model, precision=name, **facts).answer(pictures()) for name in ("fp32", "fp16"))
    assert expected.maps.abs().max() > 0
    assert agreement([given], [expected]).cosine > 0.999


def test_weights_held_in_another_precision_come_back_bit_by_bit() -> None:
    model = Tiny()
    before = {name: (each, each.data_ptr(), each.clone()) for name, each in model.state_dict(keep_vars=True).items()}
    with pytest.raises(KeyError), held_in(model, torch.bfloat16):
        assert model.head.weight.dtype == torch.bfloat16
        raise KeyError
    for name, each in model.state_dict(keep_vars=True).items():
        same, address, values = before[name]
        assert each is same
        assert each.data_ptr() == address
        assert torch.equal(each, values)


def test_agreement_looks_at_maps_and_best_classes() -> None:
    reference = answer_of([0, 1], [[1.0, 0.0], [1.0, 1.0]])
    assert agreement([reference], [reference]) == pytest.approx((1, True, 0))
    turned = answer_of([0, 1], [[1.0, 0.0], [1.0, -1.0]])
    assert agreement([turned], [reference]) == pytest.approx((0, True, 0))
    scaled = answer_of([0, 1], [[1e-30, 0.0], [3.0, 3.0]])
    assert agreement([scaled], [reference]).cosine == pytest.approx(1)


def test_another_best_class_disagrees_unless_it_is_a_tie() -> None:
    reference, other = answer_of([0], [[1.0, 0.0]]), answer_of([1], [[1.0, 0.0]])
    assert agreement([other], [reference])[:2] == (0.0, False)
    tied = answer_of([0], [[1.0, 0.0]], [0.501])
    assert agreement([answer_of([1], [[0.0, 1.0]])], [tied])[:2] == (0.0, True), "the maps of two classes are no match"
    two = answer_of([0, 1], [[1.0, 0.0]] * 2), answer_of([0, 0], [[1.0, 0.0]] * 2, [0.9, 0.501])
    assert agreement(two[:1], two[1:])[:2] == (1.0, True)


def test_scores_that_differ_by_more_than_a_twentieth_of_the_best_one_disagree() -> None:
    reference, near, far = (answer_of([0], [[1.0, 0.0]], [score]) for score in (0.36, 0.35, 0.31))
    assert agreement([near], [reference]).suffices
    assert not agreement([far], [reference]).suffices
    another = reference._replace(targets=torch.tensor([[3]]), scores=torch.tensor([[0.001]]))
    assert agreement([another._replace(scores=torch.tensor([[0.002]]))], [another]).suffices, "small beside the best"
    assert agreement([far], [reference]).difference == "scores differ by 14%"


def test_of_numbers_below_zero_the_best_agrees_with_itself() -> None:
    reference = answer_of([0], [[1.0, 0.0]], [-3.0])._replace(best_scores=torch.tensor([[-3.0, -3.5]]))
    assert agreement([reference], [reference]).same_best
    other = reference._replace(best=torch.tensor([[1, 0]]))
    assert not agreement([other], [reference]).same_best


def test_a_map_that_is_no_number_agrees_with_nothing() -> None:
    reference = answer_of([0, 0], [[1.0, 0.0]] * 2)
    assert agreement([answer_of([0, 0], [[1.0, 0.0], [math.nan, 0.0]])], [reference]).cosine == 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_of_classes_that_tie_the_explained_one_is_the_first_of_the_best(precision: str) -> None:
    """In half precision logits are often equal to the last digit."""
    model = Tiny()
    with torch.no_grad():
        model.head.weight.copy_(model.head.weight[:1].expand_as(model.head.weight))
        model.head.bias.zero_()
    answer = Explainer(model, preprocessing=Preprocessing(size=(64, 64)), engine="eager", precision=precision).answer(
        pictures(8)
    )
    assert torch.equal(answer.targets[:, 0], answer.best[:, 0])


def test_maps_without_any_evidence_agree_with_each_other_alone() -> None:
    empty, full = answer_of([0], [[0.0, 0.0]]), answer_of([0], [[1.0, 0.0]])
    assert agreement([empty], [empty]).suffices
    assert not agreement([empty], [full]).suffices


@pytest.mark.parametrize("options", [{"engine": "turbo"}, {"precision": "int8"}])
def test_an_unknown_choice_is_told_with_those_that_there_are(options: dict[str, str]) -> None:
    with pytest.raises(LivecamError, match="is one of auto, .*, not"):
        tiny(**options)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_precision_that_is_asked_for_is_computed_in(precision: str) -> None:
    explainer = tiny(engine="eager", precision=precision)
    explainer.answer(pictures())
    assert (explainer.engine, explainer.precision) == ("eager", precision)
    assert next(explainer.classifier.module.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (Tiny, {"method": "scorecam", "layer": "features"}, "many times for each picture"),
        (Undecided, {}, "value out of a tracing tensor"),
        (UndecidedByNumPy, {}, "reads numbers from tensors"),
        (UndecidedByList, {}, "reads numbers from tensors"),
    ],
)
def test_what_cannot_be_compiled_is_explained_eagerly_and_told_once(
    model: type[Tiny], options: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    explainer = tiny(model, engine="compiled", **options)
    for _ in range(3):
        explainer.answer(pictures())
    assert explainer.engine == "eager"
    assert [reason in record.message for record in caplog.records if record.name == "livecam"] == [True]


def test_without_openvino_it_stays_eager_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("livecam.explain.engines.engine.importlib.util.find_spec", lambda name: None)
    explainer = tiny(engine="auto")
    explainer.expect(math.inf)
    for _ in range(3):
        explainer.answer(pictures())
    assert explainer.engine == "eager"
    assert [record.message for record in caplog.records] == [
        "explained by the eager engine: OpenVINO, which is faster, is not installed; install it with: "
        "pip install openvino"
    ]


def test_openvino_reports_to_nobody() -> None:
    code = (
        "from livecam.explain.engines.openvino import openvino; import sys; openvino(); "
        "sys.exit(sys.modules['openvino_telemetry'] is not None)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_a_place_for_the_cache_it_stays_eager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LIVECAM_CACHE", str(tmp_path / "file"))
    explainer = tiny(engine="compiled")
    explainer.answer(pictures())
    assert explainer.engine == "eager"
    assert "the cache cannot be used (Not a directory" in caplog.text


@pytest.mark.parametrize(
    ("pictures_to_come", "is_compiled"), [(10, False), (1e6, True), (math.inf, True), (None, False)]
)
def test_it_is_compiled_where_so_many_pictures_repay_it(
    pictures_to_come: float | None, is_compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr("livecam.explain.engines.compilation.Compilation.start", lambda *a, **k: started.append(a))
    explainer = tiny()
    explainer.expect(pictures_to_come)
    for _ in range(4):
        explainer.answer(pictures())
    assert bool(started) == is_compiled


def test_who_says_nothing_gets_it_compiled_once_it_would_have_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_BUILDING_SECONDS", {"cpu": 0.05})
    started = []
    monkeypatch.setattr("livecam.explain.engines.compilation.Compilation.start", lambda *a, **k: started.append(a))
    explainer = tiny()
    deadline = time.monotonic() + 30
    while not started and time.monotonic() < deadline:
        explainer.answer(pictures())
    assert started


def test_for_runs_that_are_too_short_for_it_it_is_compiled_once_that_would_have_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_BUILDING_SECONDS", {"cpu": 0.1})
    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_TRYING_SECONDS", {"cpu": 0.0})
    may_build: list[bool] = []
    monkeypatch.setattr(
        "livecam.explain.engines.compilation.Compilation.start", lambda *a, **k: may_build.append(k["may_build"])
    )
    explainer = tiny()
    deadline = time.monotonic() + 30
    while True not in may_build and time.monotonic() < deadline:
        explainer.expect(12)
        for _ in range(4):
            explainer.answer(pictures())
    assert True in may_build
