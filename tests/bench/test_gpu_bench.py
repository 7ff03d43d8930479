"""`make gpu`: its steps with a stand-in for CUDA, and the time limits of its runner."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.gpu import __main__ as conductor
from benchmarks.gpu import correctness, environment, runs, speed
from benchmarks.gpu.__main__ import STEPS, conduct, run_here
from benchmarks.gpu.common import Results, Settings, SkippedError
from livecam.models import Classifier, Preprocessing
from livecam.system.cores import module_command, module_environment
from tests.support.cuda_stand_in import CudaStandIn

NAME = "tests.bench.test_gpu_bench:tiny"


def tiny() -> Classifier:
    """A classifier that costs next to nothing and tells pictures apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 10))
        nn.init.normal_(module[-1].weight, std=3)  # type: ignore[arg-type]
    return Classifier(NAME, module, None, Preprocessing(size=(48, 48)))


TINY = Settings(
    models=(NAME,),
    run_models=(NAME,),
    exact_model=NAME,
    small_model=NAME,
    batches=(1, 2),
    rounds=1,
    seconds=1.0,
    pictures=8,
    size="160x90",
    frames=6,
    live_size="160x90",
    live_frames=6,
    arrivals_fps=(60,),
    soak_frames=8,
    methods=("gradcam", "eigencam", "scorecam"),
    backend="eager",
)
SLEEP = "import time; time.sleep(600)"


def found_by(results: Results) -> dict[str, Any]:
    """All that a step yields, as it comes back from its JSON."""
    return dict(json.loads(json.dumps(dict(results))))


def in_python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_running(pid: int) -> bool:
    """If a process is there, and not only waited for."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.long
def test_without_a_gpu_it_says_what_it_skips_and_ends_well(tmp_path: Path) -> None:
    done = subprocess.run(
        module_command("benchmarks.gpu", "--results", tmp_path),
        capture_output=True,
        text=True,
        env=module_environment(CUDA_VISIBLE_DEVICES=""),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["machine"]["gpu"] is None and facts["seconds"] > 0
    for name in list(STEPS)[1:]:
        assert f"{name}: 0 s, skipped: there is no GPU that torch can use\n" in done.stdout
        assert "no GPU" in json.loads((tmp_path / f"{name}.json").read_text())["skipped"]
        assert f"| {name} | 0.0 | skipped" in (tmp_path / "gpu.txt").read_text()
    assert not (tmp_path / "gpu.json").exists()


def test_where_torch_is_missing_it_is_told_once(tmp_path: Path) -> None:
    command = in_python("import a_missing_package")
    found = conduct({"facts": 60, "speed": 60}, tmp_path, 60, lambda name: command)
    assert found["facts"]["failed"] == "ModuleNotFoundError: No module named 'a_missing_package'"
    assert found["speed"]["skipped"] == "nothing runs here, see facts"


@pytest.mark.long
def test_what_takes_too_long_is_killed_with_all_that_it_started_and_the_rest_goes_on(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    spawning = f"""
import os, pathlib, subprocess, sys, time
own_session = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
pathlib.Path({str(tmp_path / "spawning.json")!r}).write_text('{{"first": 1}}')
pathlib.Path({str(pids)!r}).write_text(f"{{os.getpid()}} {{own_session.pid}}")
time.sleep(600)
"""
    commands = {"sleeping": in_python(SLEEP), "spawning": in_python(spawning), "last": in_python("print('done')")}
    begin = time.monotonic()
    found = conduct({"sleeping": 0.5, "spawning": 3, "last": 60}, tmp_path, 60, commands.__getitem__)
    assert time.monotonic() - begin < 20
    assert found["sleeping"]["failed"].startswith("it was stopped after 0")
    assert found["spawning"]["failed"] == "it was stopped after 3 s"
    assert found["spawning"]["first"] == 1
    assert "failed" not in found["last"] and (tmp_path / "last.log").read_text() == "done\n"
    assert json.loads((tmp_path / "sleeping.json").read_text())["seconds"] >= 0.5
    parent, child = map(int, pids.read_text().split())
    assert not is_running(parent)
    assert not is_running(child)


def test_at_the_deadline_the_rest_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "LEAST_SECONDS", 1.5)
    found = conduct({"first": 60, "second": 60}, tmp_path, 2, lambda name: in_python("import time; time.sleep(1)"))
    assert "failed" not in found["first"]
    assert found["second"] == {"skipped": "no time was left", "seconds": 0.0}
    assert json.loads((tmp_path / "second.json").read_text())["skipped"] == "no time was left"
    found = conduct({"first": 60}, tmp_path, 1.6, lambda name: in_python(SLEEP))
    assert found["first"]["failed"] == "it was stopped after 2 s"


def test_a_step_that_fails_keeps_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(settings: Settings) -> Results:
        yield "first", 1
        yield "second", 2
        raise RuntimeError("and no further")

    def tests(settings: Settings) -> Results:
        yield "first", 1
        raise SkippedError("not here")

    monkeypatch.setattr(environment, "facts", facts)
    with pytest.raises(RuntimeError, match="no further"):
        run_here("facts", tmp_path)
    assert json.loads((tmp_path / "facts.json").read_text()) == {"first": 1, "second": 2}
    monkeypatch.setattr(environment, "tests", tests)
    run_here("tests", tmp_path)
    assert json.loads((tmp_path / "tests.json").read_text()) == {"first": 1, "skipped": "not here"}


def test_what_pytest_says_is_kept() -> None:
    told = found_by(environment.tested(in_python("print('first'); print('== 3 passed in 0.1s ==')")))
    assert told == {"exit_code": 0, "tail": ["first", "== 3 passed in 0.1s =="], "summary": "3 passed in 0.1s"}
    with pytest.raises(RuntimeError, match="pytest ended with 1: 1 failed"):
        found_by(environment.tested(in_python("print('== 1 failed =='); raise SystemExit(1)")))


def test_agreements(cuda: CudaStandIn) -> None:
    found = found_by(correctness.agreements(TINY))
    assert set(found["gradcam"]) == {f"{how} {name}" for how in ("eager", "captured") for name in TINY.precisions}
    assert set(found["scorecam"]) == {f"eager {name}" for name in TINY.precisions}
    assert found["least_cosines"]["captured fp32"] > 0.999
    assert not any("failed" in each for method in TINY.methods for each in found[method].values())


def test_identity(cuda: CudaStandIn) -> None:
    found = found_by(correctness.identity(TINY))
    for batch in (1, 16):
        told = found[f"batch {batch}"]
        assert told["wrong"] == 0 and told["answers"] > 10
        assert told["closest_call"] < 0.5 and told["least_distance"] > 0.1
    assert "batch 1: 0 of " in found["summary"]


def test_the_answer_of_another_picture_is_found(cuda: CudaStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    from livecam import Explainer

    answer, calls = Explainer.answer, []

    def late(self: Explainer, images: Any) -> Any:
        calls.append(images.clone())
        return answer(self, calls[-2] if len(calls) == 30 else images)

    monkeypatch.setattr(Explainer, "answer", late)
    with pytest.raises(RuntimeError, match=r"[1-9]\d* of .* answers are another picture"):
        found_by(correctness.identity(TINY))


def test_speed(cuda: CudaStandIn) -> None:
    found = found_by(speed.speed(TINY))
    for batch in TINY.batches:
        told = found[f"{NAME}, batch {batch}"]
        assert "failed" not in told
        for name in ("eager fp32", "captured fp32", "captured fp16"):
            assert all(told["times_ms"][f"{what} {name}"]["p50"] > 0 for what in ("prediction", "explanation"))
            assert told["ratio"][name] > 0
        assert any(name.startswith("explanation auto: ") for name in told["times_ms"])
    assert found["summary"].startswith(f"captured fp16, batch 1: {NAME} ")


@pytest.mark.slow
def test_compilation_tells_what_was_said(cuda: CudaStandIn) -> None:
    """There is no GPU to compile for, which is what it says."""
    before = os.environ["LIVECAM_CACHE"]
    found = found_by(speed.compilation(TINY))
    assert found["settled_seconds"] >= found["first_answer_seconds"] > 0
    assert found["log"]
    assert found["identity"]["wrong"] == 0
    assert found["report"]["engine"] != "compiled"
    assert os.environ["LIVECAM_CACHE"] == before


def test_anchor(cuda: CudaStandIn) -> None:
    found = found_by(speed.anchor(TINY))
    assert found[f"{NAME}, batch 2"]["times_ms"]["prediction torch.compile fp16"]["p50"] > 0
    assert found[f"{NAME}, batch 2"]["first_call_seconds"] > 0


def test_files(cuda: CudaStandIn) -> None:
    found = found_by(runs.files(TINY))
    for name in ("nothing, from the start", "nothing", "H.264"):
        assert found[f"{NAME} to {name}"]["written"] == TINY.frames
        assert set(found[f"{NAME} to {name}"]["stages_ms"]) == {"capture", "explain", "render", "write"}


def test_live(cuda: CudaStandIn) -> None:
    found = found_by(runs.live(TINY))
    told = found[f"{NAME} at 60"]
    assert told["shown"] + told["dropped"] == TINY.live_frames
    assert told["latency_ms"]["p99"] > 0


def test_memory(cuda: CudaStandIn) -> None:
    found = found_by(runs.memory(TINY))
    assert [sample["frame"] for sample in found["samples"]] == [2, 8]
    assert found["samples"][0]["rss_mb"] > 50


def test_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        major, minor, total_memory = 9, 0, 80 * 10**9

    told = {"gpu": {"name": "a GPU"}, "torch": "2.11.0"}
    monkeypatch.setattr(environment, "machine", lambda: told)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: Properties)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (79 * 10**9, 80 * 10**9))
    found = found_by(environment.facts(TINY))
    assert (found["machine"], found["memory_gb"], found["capability"]) == (told, 80.0, [9, 0])
    assert found["summary"].startswith("a GPU, torch 2.11.0, CUDA ")


def test_the_page_of_benchmarks_has_a_chapter_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import report

    def command(results: Path, name: str) -> list[str]:
        data = {"facts": {"machine": MACHINE, "summary": "a GPU"}}.get(name, {"summary": "done"})
        data = {"shapes, batch 1": {"times_ms": {"prediction": {"p50": 1.5}}}, **data} if name == "speed" else data
        return in_python(
            f"import pathlib; pathlib.Path({str(results / name)!r} + '.json').write_text({json.dumps(data)!r})"
        )

    monkeypatch.setattr(conductor, "module_command", lambda module, name, option, results: command(results, name))
    monkeypatch.setattr(sys, "argv", shlex.split(f"gpu --results {tmp_path}/gpu"))
    with pytest.raises(SystemExit) as ending:
        conductor.main()
    assert not ending.value.code
    (tmp_path / "benchmarks.md").write_text("## On a GPU\n\n<!-- measured: gpu/gpu -->\n<!-- end -->\n")
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path), str(tmp_path)])
    report.main()
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| speed | 0." in page and "| shapes, batch 1 | 1.50 |" in page


MACHINE = {
    "processor": "A processor",
    "cores": 2,
    "gpu": {"name": "A GPU"},
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "torch_threads": 2,
}
