"""Tensors that a task holds beside the pictures: a change of them is seen by the next picture, in every engine."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from livecam import Explainer
from livecam.explain.answer import Answer
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.compilation import Compilation
from livecam.explain.engines.graph import Graph, trace
from livecam.explain.functions import Functions
from tests.support.cuda_stand_in import CudaStandIn
from tests.support.tiny import Tiny, pictures, program_of, tiny


class Weighted:
    """A target that weights the scores of a model by one tensor, picks one by another, and does not use a third."""

    def __init__(self) -> None:
        self.set(torch.ones(5), 0)

    def set(self, weights: Tensor, number: int) -> None:
        self.inputs = torch.ones(3), weights, torch.tensor([number])

    def __call__(self, output: Tensor) -> Tensor:
        _, weights, number = self.inputs
        return (output * weights).sum(dim=1) + output.gather(1, number.expand(len(output), 1))[:, 0]


@pytest.fixture
def weighted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Weighted:
    target = Weighted()
    monkeypatch.setenv("LIVECAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Functions, "inputs", property(lambda task: target.inputs))
    return target


def expected(weights: Tensor, number: int, images: Tensor) -> Answer:
    """The answer of a model in which the tensors are fixed."""
    target = Weighted()
    target.set(weights, number)
    return tiny(target=target, engine="eager", precision="fp32").answer(images)


def assert_same(given: Answer, wanted: Answer) -> None:
    torch.testing.assert_close(given.maps, wanted.maps, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(given.best_scores, wanted.best_scores, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("built_here")
@pytest.mark.parametrize("engine", ["eager", "compiled"])
def test_a_change_is_seen_by_the_next_pictures_without_compiling_anew(weighted: Weighted, engine: str) -> None:
    explainer, images = tiny(target=weighted, engine=engine, precision="fp32"), pictures(1)
    with explainer:
        explainer.answer(images)
        compilation = explainer._runtime.engine._compilation
        for number in range(3):
            weights = torch.randn(5)
            weighted.set(weights, number)
            assert_same(explainer.answer(images), expected(weights, number, images))
        assert_same(explainer.answer(pictures(2)), expected(weights, 2, pictures(2)))
        assert explainer._runtime.engine._compilation is compilation
    assert explainer.engine == engine


def test_a_captured_program_has_the_current_ones_and_is_compared_by_those_of_its_samples(
    weighted: Weighted, cuda: CudaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_BUILDING_SECONDS", {"cuda": math.inf})
    monkeypatch.setattr(Compilation, "_picture_seconds", lambda self, programs: dict.fromkeys(programs, 0.0))
    explainer, images = tiny(target=weighted, precision="fp32", device="cuda"), pictures(1)
    weights = [torch.randn(5) for _ in range(7)]
    wanted = [expected(each, 3, images) for each in weights]
    deadline = time.monotonic() + 60
    with explainer:
        explainer.expect(math.inf)
        turn = 0
        while explainer.engine == "eager" and time.monotonic() < deadline or turn % 7:
            weighted.set(weights[turn % 7], 3)
            assert_same(explainer.answer(images), wanted[turn % 7])
            turn += 1
        assert explainer.engine == "captured"
        for each, answer in zip(weights, wanted, strict=True):
            weighted.set(each, 3)
            assert_same(explainer.answer(images), answer)
            predicted = explainer.predict(images).best_scores
            torch.testing.assert_close(predicted, answer.best_scores, rtol=1e-3, atol=1e-5)


def graph_of(explainer: Explainer) -> Graph:
    return trace(program_of(explainer), explainer.classifier.module, pictures(1))


def test_a_trace_takes_them_as_inputs_and_not_as_constants(weighted: Weighted) -> None:
    graph = graph_of(tiny(target=weighted))
    placeholders = [node for node in graph.module.graph.nodes if node.op == "placeholder"]
    assert [len(node.users) > 0 for node in placeholders] == [True, False, True, True]


def test_programs_for_other_shapes_of_them_are_other_entries_of_the_cache(weighted: Weighted) -> None:
    def entry(weights: Tensor) -> Path:
        weighted.set(weights, 0)
        digest = graph_of(tiny(target=weighted)).digest()
        return Entry.of(digest, (1, 64, 64, 3), torch.device("cpu")).path

    assert entry(torch.ones(5)) == entry(torch.zeros(5))
    assert entry(torch.ones(5)) != entry(torch.ones(1, 5))
    assert entry(torch.ones(5)) != entry(torch.ones(5, dtype=torch.float64))


def test_a_classifier_has_none(cuda: CudaStandIn) -> None:
    model: Any = tiny(Tiny)
    assert model.task.inputs == () == graph_of(model).inputs
