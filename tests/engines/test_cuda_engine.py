"""The engines on a GPU, tested with a stand-in for torch.cuda: each frame gets its own map, in the right precision."""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from livecam import Explainer, LivecamError
from livecam.explain.answer import Answer
from livecam.explain.device import DTYPES
from livecam.explain.engines.compilation import Compilation
from livecam.explain.engines.cuda import CapturedProgram
from livecam.models import Preprocessing
from tests.support.cuda_stand_in import CudaStandIn
from tests.support.tiny import Tiny, pictures

SIDE = 64


@pytest.fixture(autouse=True)
def never_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, cuda: CudaStandIn) -> None:
    """Captured alone: TorchInductor has no stand-in."""
    monkeypatch.setenv("LIVECAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_BUILDING_SECONDS", {"cuda": math.inf})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "stand-in")


def explainer_on_gpu(model: type[Tiny] = Tiny, head_scale: float = 1.0, **options: Any) -> Explainer:
    torch.manual_seed(0)
    module, preprocessing = model(), Preprocessing(size=(SIDE, SIDE))
    with torch.no_grad():
        module.head.weight.mul_(head_scale)
    return Explainer(module, preprocessing=preprocessing, **{"device": "cuda", **options})


def numbered(count: int) -> list[Tensor]:
    """Pictures (1, side, side, 3) that all differ."""
    return [pictures(count)[number : number + 1] for number in range(count)]


def explained_until_settled(explainer: Explainer, images: list[Tensor], at_least: int = 0) -> list[tuple[int, Answer]]:
    """Explain the pictures in turn until no other program is on its way: which picture, and what was said of it."""
    answers: list[tuple[int, Answer]] = []
    deadline = time.monotonic() + 60
    with explainer:
        explainer.expect(math.inf)
        while True:
            compilation = explainer._runtime.engine._compilation
            is_settled = compilation is None or compilation.settled.is_set()
            number = len(answers) % len(images)
            answers.append((number, explainer.answer(images[number])))
            if len(answers) >= at_least and (is_settled or time.monotonic() > deadline):
                return answers


def takes(seconds: dict[str, float], calls: int = 20) -> Callable[..., dict[str, float]]:
    """Instead of measuring: these times, after the programs were all called beside the run."""

    def picture_seconds(compilation: Compilation, programs: dict[str, Any]) -> dict[str, float]:
        for program in programs.values():
            for _ in range(calls):
                program(torch.full_like(compilation._images, 7))
        return {precision: seconds[precision] for precision in programs}

    return picture_seconds


def test_each_frame_has_its_own_map_while_three_precisions_are_tried_beside_the_one_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were an input shared, pictures of the trial of the compiled programs would come into the maps of the run."""

    def loaded(compilation: Compilation, entry: object, precision: str) -> CapturedProgram:
        graph = compilation._traced.in_precision(DTYPES[precision])
        return CapturedProgram(graph, compilation._images.to(torch.device("cuda")), torch.device("cuda"))

    def builder(module: str, job: Path, entry: Path) -> list[str]:
        made = [str(entry / f"{precision}.pt2") for precision in ("fp16", "bf16", "fp32")]
        return [sys.executable, "-c", f"import pathlib\nfor each in {made}: pathlib.Path(each).touch()"]

    replay = torch.cuda.CUDAGraph.replay

    def replay_later(graph: Any) -> None:
        time.sleep(0.001)  # as on a GPU, whatever is done meanwhile comes before it
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", replay_later)
    seconds = {"fp16": 1e-9, "bf16": 2e-9, "fp32": 3e-9}
    monkeypatch.setattr(Compilation, "_picture_seconds", takes(seconds, calls=100))
    monkeypatch.setattr(Compilation, "_loaded", loaded)
    monkeypatch.setattr("livecam.explain.engines.compilation.module_command", builder)
    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_BUILDING_SECONDS", {"cuda": 0.0})
    images = numbered(20)
    with explainer_on_gpu(engine="eager", precision="fp32") as eager:
        expected = [eager.answer(image).maps for image in images]
    explainer = explainer_on_gpu()
    answers = explained_until_settled(explainer, images, at_least=500)
    for number, answer in answers:
        cosine = nn.functional.cosine_similarity(answer.maps.flatten(), expected[number].flatten(), dim=0)
        assert cosine > 0.99, f"picture {number} has the map of another"
    assert (explainer.engine, explainer.precision) == ("captured", "fp16")


def test_two_captured_programs_share_no_input(cuda: CudaStandIn) -> None:
    """`images.to(device)` gives the very tensor back when it is there already."""
    images = pictures(2)
    double, triple = (
        CapturedProgram(lambda batch, factor=factor: (batch.float() * factor,), images, torch.device("cuda"))  # type: ignore[misc]
        for factor in (2, 3)
    )
    other = torch.flip(images, [0])
    assert double._inputs[0].data_ptr() != triple._inputs[0].data_ptr() != images.data_ptr()
    torch.testing.assert_close(double(images)[0], images.float() * 2)
    torch.testing.assert_close(triple(other)[0], other.float() * 3)
    torch.testing.assert_close(double(images)[0], images.float() * 2)


@pytest.mark.parametrize(
    ("seconds", "left"),
    [
        ({"fp16": 1e-9, "bf16": 2e-9, "fp32": 3e-9}, "fp16"),
        ({"fp16": 3e-9, "bf16": 1e-9, "fp32": 2e-9}, "bf16"),
        ({"fp16": 3e-9, "bf16": 2e-9, "fp32": 1e-9}, "fp32"),
    ],
)
def test_the_fastest_precision_that_agrees_is_left(
    seconds: dict[str, float], left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Compilation, "_picture_seconds", takes(seconds))
    explainer = explainer_on_gpu()
    explained_until_settled(explainer, numbered(5))
    assert (explainer.engine, explainer.precision) == ("captured", left)


def test_a_precision_whose_maps_differ_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compilation, "_picture_seconds", takes({"fp16": 1e-9, "bf16": 2e-9, "fp32": 3e-9}))
    explainer = explainer_on_gpu(head_scale=1e6)  # beyond float16, not beyond bfloat16
    explained_until_settled(explainer, numbered(5))
    assert (explainer.engine, explainer.precision) == ("captured", "bf16")


def test_a_short_file_is_captured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capturing takes a second: it does not wait until compiling would pay."""
    monkeypatch.setattr(Compilation, "_picture_seconds", takes(dict.fromkeys(("fp16", "bf16", "fp32"), 1e-9)))
    explainer = explainer_on_gpu()
    with explainer:
        explainer.expect(60)
        for image in numbered(8):
            explainer.answer(image)
        explainer.settle()
        explainer.answer(numbered(1)[0])
    assert explainer.engine == "captured"


def spoils(precision: str, spoilt: Callable[[Tensor], bool], made: list[str]) -> Callable[[Compilation, str], Any]:
    """Instead of capturing: the captured program, but in one precision the maps of some pictures are wrong."""
    captured = Compilation._captured

    def spoiling(compilation: Compilation, name: str) -> Any:
        made.append(name)
        program = captured(compilation, name)

        def compute(images: Tensor, *inputs: Tensor) -> Any:
            maps, *rest = program(images, *inputs)
            return (-maps if name == precision and spoilt(images) else maps, *rest)

        return compute

    return spoiling


def explained_run(explainer: Explainer, images: list[Tensor], **options: Any) -> list[Tensor]:
    """Explain a run, and return its maps from where no other engine is on its way."""
    explainer.expect(1000, **options)
    assert explainer.engine == "eager"
    for image in images:
        explainer.answer(image)
    explainer.settle()
    return [explainer.answer(image).maps for image in images]


@pytest.mark.parametrize("is_dark_first", [True, False])
def test_each_run_is_answered_as_it_would_be_alone_with_what_was_made_for_those_before(
    is_dark_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A precision that has failed before is tried again, and one that was taken before is compared again."""
    made: list[str] = []
    measured: list[str] = []
    taken = takes({"fp16": 1e-9, "bf16": 2e-9, "fp32": 3e-9})

    def picture_seconds(compilation: Compilation, programs: dict[str, Any]) -> dict[str, float]:
        measured.extend(programs)
        return taken(compilation, programs)

    monkeypatch.setattr(Compilation, "_picture_seconds", picture_seconds)
    monkeypatch.setattr(Compilation, "_captured", spoils("fp16", lambda images: bool((images < 100).all()), made))
    bright = [image // 2 + 100 for image in numbered(8)]
    dark = [image // 4 for image in numbered(8)]
    explainer, alone = explainer_on_gpu(), explainer_on_gpu()
    first, second = (dark, bright) if is_dark_first else (bright, dark)
    with explainer:
        explained_run(explainer, first)
        assert explainer.precision == ("bf16" if is_dark_first else "fp16")
        maps = explained_run(explainer, second)
        assert sorted(made) == ["bf16", "fp16", "fp32"], "each once"
        assert measured == ["bf16", "fp32", "fp16", "bf16", "fp32"][0 if is_dark_first else 2 :], "if not known to pay"
    with alone:
        assert all(map(torch.equal, maps, explained_run(alone, second)))
    assert explainer.precision == alone.precision == ("fp16" if is_dark_first else "bf16")


def test_pictures_that_do_not_belong_together_are_explained_in_the_precision_of_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was compared on some says nothing of the others. A video after them is not concerned."""
    monkeypatch.setattr(Compilation, "_picture_seconds", takes({"fp16": 1e-9, "bf16": 2e-9, "fp32": 3e-9}))
    explainer = explainer_on_gpu()
    with explainer:
        for separate, precision in ((True, "fp32"), (False, "fp16"), (True, "fp32")):
            explained_run(explainer, numbered(8), separate=separate)
            assert (explainer.engine, explainer.precision) == ("captured", precision)
    half = explainer_on_gpu(precision="bf16")
    with half:
        explained_run(half, numbered(8), separate=True)
        assert half.precision == "bf16"


def test_maps_that_overflow_in_one_run_are_not_held_against_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compilation, "_picture_seconds", takes({"fp16": 1e-9, "bf16": 2e-9, "fp32": 3e-9}))
    explainer = explainer_on_gpu()
    with explainer:
        explained_run(explainer, numbered(8))
        let_overflow(explainer, numbered(1)[0])
        explainer.answer(numbered(1)[0])
        assert (explainer.precision, explainer.report()["not_finite"]) == ("fp32", 1)
        explained_run(explainer, numbered(8))
    assert (explainer.precision, explainer.report()["not_finite"]) == ("fp16", 0)


def let_overflow(explainer: Explainer, image: Tensor) -> None:
    """Let the maps of the engine in use be no numbers from now on."""
    compilation = explainer._runtime.engine._compilation
    assert compilation is not None
    candidate = compilation.candidate
    assert candidate is not None
    overflown = [
        torch.full_like(output, math.nan) if output.ndim == 4 else output for output in candidate.program(image)
    ]
    compilation.candidate = dataclasses.replace(candidate, program=lambda images: overflown)


def test_nan_after_the_switch_is_told_counted_and_explained_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(Compilation, "_picture_seconds", takes({"fp16": 1e-9, "bf16": 2e-9, "fp32": 3e-9}))
    explainer = explainer_on_gpu()
    image = numbered(1)[0]
    with explainer:
        explained_until_settled(explainer, numbered(5))
        assert explainer.precision == "fp16"
        let_overflow(explainer, image)
        answer = explainer.answer(image)
    assert torch.isfinite(answer.maps).all()
    assert explainer.precision == "fp32"
    assert explainer.report()["not_finite"] == 1
    assert [record.message for record in caplog.records] == ["maps in fp16 are not finite: switching to fp32"]


def test_a_model_whose_own_maps_are_not_finite_is_left_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    explainer = explainer_on_gpu(engine="eager", precision="fp32")
    with torch.no_grad():
        explainer.classifier.module.head.weight.fill_(math.inf)
    assert not torch.isfinite(explainer.answer(pictures()).maps).all()
    assert explainer.report()["not_finite"] == 0


def test_what_cannot_be_captured_is_found_before_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, cuda: CudaStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """In PyTorch 2.11 a capture that fails leaves the allocator in capture mode for good."""

    class Decomposes(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            symmetric = x[:, 0] @ x[:, 0].mT
            return super().forward(x) + torch.linalg.eigh(symmetric).eigenvalues[:, :5]

    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_BUILDING_SECONDS", {"cuda": 0.0})
    monkeypatch.setattr("livecam.explain.engines.compilation.subprocess.Popen", None)  # nor is it compiled
    explainer = explainer_on_gpu(Decomposes)
    explained_until_settled(explainer, numbered(5))
    assert explainer.engine == "eager"
    assert (cuda.failed_captures, cuda.open_captures) == (0, [])
    assert "_linalg_eigh waits for the GPU" in caplog.text


def test_a_capture_that_fails_all_the_same_is_ended(cuda: CudaStandIn) -> None:
    with pytest.raises(RuntimeError, match="capturing"):
        CapturedProgram(lambda images: (images.nonzero(),), pictures(), torch.device("cuda"))
    assert cuda.open_captures == []
    working = CapturedProgram(lambda images: (images + 1,), pictures(), torch.device("cuda"))
    assert torch.equal(working(pictures())[0], pictures() + 1)


def test_capturing_does_not_wait_for_the_whole_device(cuda: CudaStandIn) -> None:
    CapturedProgram(lambda images: (images + 1,), pictures(), torch.device("cuda"))
    assert cuda.synchronisations == 0


def test_a_captured_frame_is_one_launch_and_one_wait(cuda: CudaStandIn) -> None:
    program = CapturedProgram(lambda images: (images.float().mean(), images + 1), pictures(), torch.device("cuda"))
    before, waits = len(cuda.launches), cuda.waits
    program(pictures())
    assert [what for what, _ in cuda.launches[before:]] == ["wait", "replay", "record"]
    assert cuda.waits - waits == 1


def test_everything_is_launched_on_the_device_that_was_named(
    monkeypatch: pytest.MonkeyPatch, cuda: CudaStandIn
) -> None:
    monkeypatch.setattr(Compilation, "_picture_seconds", takes(dict.fromkeys(("fp16", "bf16", "fp32"), 1e-9)))
    explainer = explainer_on_gpu(device="cuda:1")
    explained_until_settled(explainer, numbered(5))
    assert explainer.engine == "captured"
    assert {index for what, index in cuda.launches} == {1}


def test_a_live_run_that_changed_its_method_is_compiled_once_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was only captured until then begins again."""
    begun: list[bool] = []
    monkeypatch.setattr(Compilation, "_run", lambda compilation: begun.append(compilation.may_build))
    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_BUILDING_SECONDS", {"cuda": 30.0})
    explainer = explainer_on_gpu()
    with explainer:
        explainer.expect(100)
        for image in numbered(3):
            explainer.answer(image)
        explainer.expect(math.inf)
    assert begun == [False, True]


def test_who_says_nothing_of_what_is_to_come_is_not_captured_for_a_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []
    monkeypatch.setattr(Compilation, "_run", lambda compilation: begun.append(compilation.may_build))
    explainer = explainer_on_gpu()
    for image in numbered(4):
        explainer.answer(image)
    assert begun == []


class Hungry(Tiny):
    """Has memory for so many pictures."""

    room = 2

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)


def test_a_batch_that_memory_does_not_hold_is_explained_in_parts(caplog: pytest.LogCaptureFixture) -> None:
    hungry, enough = (
        explainer_on_gpu(Hungry, engine="eager", precision="fp32"),
        explainer_on_gpu(engine="eager", precision="fp32"),
    )
    for _ in range(2):
        torch.testing.assert_close(hungry.answer(pictures(8)).maps, enough.answer(pictures(8)).maps)
    assert [record.message for record in caplog.records] == [
        "the memory of cuda is too small for a batch of 8: trying half of it",
        "the memory of cuda is too small for a batch of 4: trying half of it",
    ]


def test_memory_for_no_picture_at_all_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = explainer_on_gpu(Hungry, engine="eager", precision="fp32")
    monkeypatch.setattr(Hungry, "room", 0)
    with pytest.raises(LivecamError, match="the memory of cuda is too small for this model, .*--device cpu"):
        explainer.answer(pictures(2))


def test_the_captured_answers_are_those_of_the_eager_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compilation, "_picture_seconds", takes({"fp16": 3.0, "bf16": 2.0, "fp32": 1e-9}))
    images = numbered(6)
    explainer, eager = explainer_on_gpu(), explainer_on_gpu(engine="eager", precision="fp32")
    for number, answer in explained_until_settled(explainer, images, at_least=20):
        np.testing.assert_allclose(answer.maps, eager.answer(images[number]).maps, rtol=1e-3, atol=1e-5)


def test_a_compiler_that_fails_is_told_also_where_the_captured_program_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Compilation, "_picture_seconds", takes(dict.fromkeys(("fp16", "bf16", "fp32"), 1e-9)))
    monkeypatch.setattr("livecam.explain.engines.engine._WORTH_BUILDING_SECONDS", {"cuda": 0.0})
    fails = [sys.executable, "-c", "raise RuntimeError('no cuda.h')"]
    monkeypatch.setattr("livecam.explain.engines.compilation.module_command", lambda *arguments: fails)
    explainer = explainer_on_gpu()
    explained_until_settled(explainer, numbered(5))
    assert explainer.engine == "captured"
    assert "cannot be compiled (RuntimeError: no cuda.h): continuing with it captured" in caplog.text
