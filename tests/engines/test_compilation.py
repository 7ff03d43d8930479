"""Compiled programs: their maps, the switch to them during a run, and the cache that keeps them."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from torch import Tensor, nn

from livecam import Explainer, open_source
from livecam.errors import LivecamError
from livecam.explain.engines import cache
from livecam.explain.engines.compilation import Compilation
from livecam.explain.engines.cuda import CapturedProgram
from livecam.explain.engines.graph import trace
from livecam.explain.engines.openvino import OpenVINOProgram, openvino
from livecam.system.cores import module_command, module_environment
from livecam.system.files import locked
from tests.support.building import build_here
from tests.support.tiny import Tiny, pictures, program_of, tiny

DEMO = "demo:?size=320x180&fps=10&seconds=4&seed=3"


@pytest.fixture(scope="module")
def compiled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with `shapes` compiled for one picture at a time in float32."""
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        build_here(patch)
        patch.setenv("LIVECAM_CACHE", str(folder))
        explainer = Explainer("shapes", engine="compiled", precision="fp32")
        explainer(scenes(1)[0])
        assert explainer.engine == "compiled"
    return folder


@pytest.fixture
def known(compiled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same cache; to compile once more is an error."""
    monkeypatch.setenv("LIVECAM_CACHE", str(compiled_cache))
    monkeypatch.setattr("livecam.explain.engines.compilation.subprocess.Popen", _must_not_be_called)
    return compiled_cache


def _must_not_be_called(*arguments: object, **options: object) -> None:
    raise AssertionError("compiled again")


def scenes(count: int) -> list[np.ndarray]:
    with open_source(DEMO) as source:
        frames: Iterator[Any] = source.frames(lambda packet: None)
        return [next(frames).picture.to_ndarray(format="rgb24") for _ in range(count)]


def test_compiled_maps_are_those_of_the_eager_engine(known: Path) -> None:
    compiled, eager = (Explainer("shapes", engine=engine, precision="fp32") for engine in ("compiled", "eager"))
    for scene in scenes(20):
        given, expected = compiled(scene), eager(scene)
        assert given.index == expected.index
        assert np.vdot(given.cam, expected.cam) >= 0.9999 * np.linalg.norm(given.cam) * np.linalg.norm(expected.cam)
        assert given.score == pytest.approx(expected.score, abs=1e-5)
    assert compiled.engine == "compiled"
    assert compiled.report()["compiled"]["cosine_to_eager"] >= 0.9999


def test_more_pictures_than_were_compiled_for_are_explained_in_turn(known: Path) -> None:
    compiled, eager = (Explainer("shapes", engine=engine, precision="fp32") for engine in ("compiled", "eager"))
    for given, expected in zip(compiled.explain(scenes(5)), eager.explain(scenes(5)), strict=True):
        np.testing.assert_allclose(given.cam, expected.cam, rtol=1e-3, atol=1e-5)


def test_pictures_may_lie_in_memory_as_they_like(known: Path) -> None:
    compiled, eager = (Explainer("shapes", engine=engine, precision="fp32") for engine in ("compiled", "eager"))
    height, width = compiled.classifier.preprocessing.size
    images = torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(0)).byte()
    for each in (images.permute(0, 2, 3, 1), images.permute(0, 2, 3, 1).contiguous()):
        torch.testing.assert_close(compiled.answer(each).maps, eager.answer(each).maps, rtol=1e-3, atol=1e-5)


def test_another_target_for_once_is_explained_as_well(known: Path) -> None:
    compiled, eager = (Explainer("shapes", engine=engine, precision="fp32") for engine in ("compiled", "eager"))
    scene = scenes(1)[0]
    assert compiled(scene, target=4).index == 4
    np.testing.assert_allclose(compiled(scene, target=4).cam, eager(scene, target=4).cam, rtol=1e-3, atol=1e-5)


def test_the_engine_changes_during_the_run_and_no_picture_is_lost_or_doubled(known: Path) -> None:
    """What each call gives belongs to its picture, whichever engine it comes from."""
    explainer, eager = Explainer("shapes", precision="fp32"), Explainer("shapes", engine="eager", precision="fp32")
    # On a busy machine compiled code may happen to be slower than the eager engine was: it is to be taken all the same.
    seen, some = set(), scenes(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "livecam.explain.engines.compilation.Compilation._picture_seconds",
            lambda self, programs: dict.fromkeys(programs, 0.0),
        )
        with explainer:
            explainer.expect(math.inf)
            deadline = time.monotonic() + 60
            for number in range(10**6):
                explanation = explainer(some[number % len(some)])
                seen.add(explainer.engine)
                expected = eager(some[number % len(some)])
                np.testing.assert_allclose(explanation.cam, expected.cam, rtol=1e-3, atol=1e-5)
                if "compiled" in seen and number % 8 == 0 or time.monotonic() > deadline:
                    break
    assert seen == {"eager", "compiled"}


def test_changed_weights_are_seen(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code has the weights of when it was traced."""
    explainer = Explainer("shapes", engine="compiled", precision="fp32")
    scene = scenes(1)[0]
    before = explainer(scene)
    assert explainer.engine == "compiled"
    with torch.no_grad():
        for weight in explainer.classifier.module.parameters():
            weight.mul_(0.5)
    monkeypatch.setattr("livecam.explain.engines.engine.importlib.util.find_spec", lambda name: None)
    after = explainer(scene)
    assert explainer.engine == "eager"
    assert np.abs(after.cam).max() < 0.9 * np.abs(before.cam).max()


def test_a_damaged_model_is_told_passed_over_and_built_again(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(known, damaged)
    (model,) = damaged.glob("engines/*/model.xml")
    model.write_bytes(model.read_bytes()[:1000])
    monkeypatch.setenv("LIVECAM_CACHE", str(damaged))
    explainer = Explainer("shapes", engine="compiled", precision="fp32")
    assert explainer(scenes(1)[0]).label
    assert explainer.engine == "eager"
    assert "cannot be used" in caplog.text
    assert not model.exists()


def test_the_command_explains_with_compiled_code_and_reports_it(
    known: Path, livecam: Callable[..., Result], tmp_path: Path
) -> None:
    report = tmp_path / "run.json"
    # The known program is without the runner-up that a steady video needs.
    options = ("--steady", "off", "--engine", "compiled", "--precision", "fp32", "--batch", 1, "--report", report)
    result = livecam("annotate", DEMO, "-o", "null:", *options)
    assert result.exit_code == 0, result.output
    facts = json.loads(report.read_text())
    assert (facts["engine"], facts["precision"], facts["frames"]["explained"]) == ("compiled", "fp32", 40)


def test_what_was_not_used_for_longest_is_removed_from_the_cache(cache_folder: Path) -> None:
    for age, name in enumerate(["newest", "middle", "oldest"]):
        entry = cache_folder / "engines" / name
        entry.mkdir(parents=True)
        (entry / "model.bin").write_bytes(bytes(1000))
        os.utime(entry, (0, 1e9 - age))
    cache.prune(kept_bytes=2000)
    assert sorted(path.name for path in (cache_folder / "engines").iterdir()) == ["middle", "newest"]


@pytest.mark.parametrize("other_runs", [(), (3, 1e6)])
def test_a_builder_at_work_ends_with_its_explainer_and_not_before(other_runs: tuple[float, ...]) -> None:
    explainer = tiny()
    explainer.expect(math.inf)
    compilation = explainer._runtime.engine._compilation
    assert compilation is not None
    compilation._launched.wait()
    process = compilation._builder
    assert process is not None
    assert isinstance(process.args, list)
    folder = Path(process.args[-2])
    for pictures_to_come in other_runs:
        explainer.expect(pictures_to_come)
        assert compilation._builder is process
    assert process.poll() is None
    assert folder.exists()
    thread = compilation._thread
    assert thread is not None
    del explainer, compilation
    thread.join(timeout=20)
    assert process.poll() is not None
    assert not folder.exists()


def test_an_explainer_collected_in_the_thread_of_another_does_not_wait_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread in which the garbage collector runs may hold a lock that the other needs: that of an import."""
    lock, is_held, is_needed = threading.Lock(), threading.Event(), threading.Event()
    forgotten: list[Explainer] = []
    was_free: list[bool] = []

    class Collecting(Compilation):
        def _search(self) -> None:
            with lock:
                is_held.set()
                is_needed.wait()
                forgotten.clear()

    class Collected(Compilation):
        def _search(self) -> None:
            is_held.wait()
            is_needed.set()
            was_free.append(lock.acquire(timeout=5))

    def started(kind: type[Compilation]) -> Explainer:
        monkeypatch.setattr("livecam.explain.engines.engine.Compilation", kind)
        explainer = tiny()
        explainer.expect(math.inf)
        return explainer

    forgotten.append(started(Collected))
    started(Collecting).settle()
    for thread in threading.enumerate():
        if thread.name == "livecam-compilation":
            thread.join()
    assert was_free == [True]


def test_a_builder_whose_run_was_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    """Nobody else removes its temporary files then."""
    folder, job = tmp_path / "temporary", tmp_path / "job"
    folder.mkdir()
    (folder / "draft").touch()
    torch.save(({"fp32": None}, torch.zeros(1), False), job)
    with job.open("rb") as handed_over:
        command = module_command("livecam.explain.engines.build", folder, tmp_path / "entry")
        child = subprocess.run(command, stdin=handed_over, capture_output=True, env=module_environment(), check=False)
    assert child.returncode == 1
    assert b"NoneType" in child.stderr
    assert not folder.exists()


def test_what_was_handed_to_the_builder_is_gone_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as large as the weights."""
    monkeypatch.setattr("livecam.explain.engines.compilation.tempfile.tempdir", str(tmp_path))
    explainer = tiny(engine="compiled")
    explainer.answer(pictures())
    explainer.settle()
    assert explainer.engine == "compiled"
    assert not list(tmp_path.glob("livecam-*"))


def test_an_operation_that_cannot_be_converted_is_named_once_and_not_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unusual(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.special.i1(x))

    explainer = tiny(Unusual, engine="compiled")
    explainer.answer(pictures())
    assert explainer.engine == "eager"
    assert "cannot be compiled (-- No conversion rule found for operations: aten.special_i1" in caplog.text
    begun: list[Any] = []
    monkeypatch.setattr("livecam.explain.engines.compilation.subprocess.Popen", lambda *a, **k: begun.append(a))
    explainer.expect(10)
    explainer.answer(pictures())
    assert explainer.engine == "eager"
    assert (begun, len(caplog.records)) == ([], 1)


def test_a_short_run_is_explained_eagerly_whatever_came_before(
    known: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(Compilation, "_picture_seconds", lambda self, programs: dict.fromkeys(programs, 0.0))
    for limit in ("_WORTH_TRYING_SECONDS", "_WORTH_BUILDING_SECONDS"):
        monkeypatch.setattr(f"livecam.explain.engines.engine.{limit}", {"cpu": 100.0})
    explainer, some = Explainer("shapes", precision="fp32"), scenes(8)
    with explainer:
        for pictures_to_come, engine in ((1e6, "compiled"), (8, "eager"), (1e6, "compiled")):
            explainer.expect(pictures_to_come)
            for scene in some:
                explainer(scene)
            explainer.settle()
            assert explainer.engine == engine
    assert len(caplog.records) == 1, "a form that was told of is not told of again"


@pytest.mark.usefixtures("known")
def test_what_has_too_few_pictures_to_compare_on_settles_as_it_is() -> None:
    explainer = Explainer("shapes", precision="fp32")
    explainer.expect(math.inf)
    explainer(scenes(1)[0])
    settling = threading.Thread(target=explainer.settle, daemon=True)
    settling.start()
    settling.join(60)
    assert not settling.is_alive()
    assert explainer.engine == "eager"


def test_what_is_no_faster_is_not_taken(
    known: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = "livecam.explain.engines.compilation.Compilation._picture_seconds"
    monkeypatch.setattr(slow, lambda self, programs: dict.fromkeys(programs, 1e6))
    explainer = Explainer("shapes", precision="fp32")
    with explainer:
        explainer.expect(math.inf)
        for scene in scenes(6):
            explainer(scene)
        explainer.settle()
        explainer(scenes(1)[0])
    assert explainer.engine == "eager"
    assert "no faster here" in caplog.text


@pytest.mark.parametrize("fails_in", ["__init__", "__call__"])
def test_a_precision_that_fails_leaves_the_others_alone(
    fails_in: str, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailsInHalf(OpenVINOProgram):
        def __init__(self, model: Path, precision: str) -> None:
            if precision == "bf16" and fails_in == "__init__":
                raise RuntimeError("out of order")
            super().__init__(model, "fp32")
            self._fails = precision == "bf16"

        def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
            if self._fails:
                raise RuntimeError("out of order")
            return super().__call__(images)

    monkeypatch.setattr("livecam.explain.engines.compilation.OpenVINOProgram", FailsInHalf)
    monkeypatch.setattr("livecam.explain.engines.engine.likely_fast", lambda device: ("bf16", "fp32"))
    explainer = Explainer("shapes", engine="compiled")
    explainer(scenes(1)[0])
    explainer.settle()
    assert (explainer.engine, explainer.precision) == ("compiled", "fp32")
    assert len(list(known.glob("engines/*/model.xml"))) == 1


@pytest.mark.parametrize(
    ("method", "tried"), [("gradcam", ("bf16", "fp32")), ("eigencam", ("fp32",)), ("eigengradcam", ("fp32",))]
)
def test_half_precision_is_not_tried_where_the_sign_of_maps_hangs_on_it(
    method: str, tried: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    monkeypatch.setattr(Compilation, "start", lambda self, precisions, **options: found.append(precisions))
    monkeypatch.setattr("livecam.explain.engines.engine.likely_fast", lambda device: ("bf16", "fp32"))
    tiny(method=method).expect(math.inf)
    assert found == [tried]


def test_weights_that_change_while_they_are_handed_over_do_not_get_into_the_cache(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a later run with the weights of before would find those of after."""
    explainer = tiny(engine="compiled")
    save = torch.save

    def changed_meanwhile(*arguments: Any) -> None:
        with torch.no_grad():
            explainer.classifier.module.head.weight.mul_(1.01)
        save(*arguments)

    monkeypatch.setattr("livecam.explain.engines.compilation.torch.save", changed_meanwhile)
    explainer.expect(10)
    compilation = explainer._runtime.engine._compilation
    assert compilation is not None
    assert "weights were changed" in str(compilation.problem)
    assert not list(cache_folder.glob("engines/*/*"))


@pytest.mark.usefixtures("built_here")
def test_half_an_entry_is_built_again(cache_folder: Path) -> None:
    """Of a builder that was killed between its two files."""
    tiny(engine="compiled").answer(pictures(1))
    (model,) = cache_folder.glob("engines/*/model.xml")
    model.unlink()
    explainer = tiny(engine="compiled")
    explainer.answer(pictures(1))
    assert explainer.engine == "compiled"
    assert model.exists()


def test_what_another_process_is_building_is_waited_for(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several workers of one machine need the same program at the same time; `known` lets none of them build it."""
    (model,) = known.glob("engines/*/model.xml")
    mine = tmp_path / "mine"
    monkeypatch.setenv("LIVECAM_CACHE", str(mine))
    (mine / "locks").mkdir(parents=True)
    lock = locked(mine / "locks" / model.parent.name)
    assert lock is not None
    explainer = Explainer("shapes", precision="fp32")
    explainer.expect(math.inf)
    explainer(scenes(1)[0])
    assert explainer.engine == "eager"
    shutil.copytree(model.parent, mine / "engines" / model.parent.name, dirs_exist_ok=True)
    lock.close()
    for scene in scenes(6):
        explainer(scene)
    explainer.settle()
    compilation = explainer._runtime.engine._compilation
    assert compilation is not None
    assert compilation.problem is None
    assert compilation._builder is None


@pytest.mark.usefixtures("built_here")
def test_a_layer_that_was_replaced_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = tiny(engine="compiled", precision="fp32")
    before = explainer.answer(pictures(1))
    assert explainer.engine == "compiled"
    monkeypatch.setattr("livecam.explain.engines.engine.importlib.util.find_spec", lambda name: None)
    explainer.classifier.module.head = nn.Linear(8, 5).requires_grad_(False)
    after = explainer.answer(pictures(1))
    assert explainer.engine == "eager"
    assert not torch.allclose(after.best_scores, before.best_scores)


def test_a_cache_that_others_can_write_to_is_not_used(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What lies in it may be code."""
    shared = tmp_path / "shared"
    shutil.copytree(known, shared)
    (shared / "engines").chmod(0o777)
    monkeypatch.setenv("LIVECAM_CACHE", str(shared))
    explainer = Explainer("shapes", engine="compiled", precision="fp32")
    explainer(scenes(1)[0])
    assert explainer.engine == "eager"
    assert "others can write to the cache" in caplog.text


def test_what_is_built_is_for_the_user_alone(known: Path) -> None:
    (entry,) = (known / "engines").iterdir()
    assert [path.stat().st_mode & 0o777 for path in (entry, entry.parent)] == [0o700, 0o700]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_program_gives_what_the_eager_engine_gives_from_the_same_buffers() -> None:
    device = torch.device("cuda")
    explainer = Explainer("shapes", engine="eager", precision="fp32", device="cuda")
    height, width = explainer.classifier.preprocessing.size
    images = torch.randint(0, 256, (4, height, width, 3)).byte()
    graph = trace(program_of(explainer), explainer.classifier.module, images.to(device))
    captured = CapturedProgram(graph.module, images.to(device), device)
    allocated = torch.cuda.memory_allocated()
    for _ in range(5):
        images = torch.randint(0, 256, images.shape).byte()
        for given, expected in zip(captured(images), explainer.answer(images).tensors, strict=True):
            torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-4)
    assert torch.cuda.memory_allocated() == allocated


@pytest.mark.usefixtures("built_here")
def test_a_prediction_sees_changed_weights_as_well() -> None:
    explainer = tiny(engine="compiled", precision="fp32")
    explainer.answer(pictures(1))
    before = explainer.predict(pictures(1))
    with torch.no_grad():
        explainer.classifier.module.head.bias.add_(torch.arange(5.0))
    assert not torch.allclose(explainer.predict(pictures(1)).best_scores, before.best_scores)


def test_a_processor_without_a_precision_is_not_said_to_compute_in_it(
    known: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenVINO computes in single precision then, without a word."""
    if "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor computes in half precision")
    explainer = Explainer("shapes", engine="compiled", precision="bf16")
    explainer(scenes(1)[0])
    assert (explainer.engine, explainer.precision) == ("eager", "bf16")
    assert "does not compute in bf16" in caplog.text


def test_a_user_without_a_home_has_a_cache_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIVECAM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert cache.folder().parent == tmp_path
    entry = cache.Entry(cache.folder() / "engines" / "one")
    entry.make()
    entry.check_is_ours()
    if os.geteuid() == 0:
        os.chown(cache.folder(), 12345, -1)
        with pytest.raises(LivecamError, match="others can write to the cache"):
            entry.check_is_ours()
