"""`livecam annotate --on`: the workers of a Ray cluster share the inputs, also if some of them are killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import facts_of, make_clip, number_in
from tests.support.clusters import TOKEN, Killer, environment_for_ray, head, workers_of

pytest.importorskip("ray")
pytest.importorskip("grpc")
pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds workers to cores")

MODEL = ("--model", "tests.support.tiny:quick_shapes", "--engine", "eager", "--opacity", "0.3", "--preset", "ultrafast")
"""With a preset by which x264 writes the same bytes for the same pictures. Its usual ones weigh macroblocks by those
that follow (mbtree), and do that a little differently each time, also in one thread."""


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with environment_for_ray() as environment:
        yield environment


def livecam(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    """The program, in the folder of livecam, from where the tests' own model is imported."""
    return subprocess.Popen(
        [sys.executable, "-m", "livecam", "annotate", *map(str, arguments), *MODEL],
        env=environment,
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def alone(environment: dict[str, str], *arguments: object) -> list[str]:
    """What one process prints that has one core, as each worker: encoders write other bytes with more threads."""
    core = min(os.sched_getaffinity(0))
    with subprocess.Popen(
        [sys.executable, "-m", "livecam", "annotate", *map(str, arguments), *MODEL],
        env={**environment, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, [core]),
    ) as process:
        return ended(process)[1]


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit code, and the lines that were printed."""
    _, errors = process.communicate(timeout=240)
    assert "Traceback" not in errors
    return process.returncode, errors.splitlines()


def make_inputs(folder: Path, videos: int, pictures: int, broken: int) -> Path:
    """Short clips and pictures, and files of both kinds that are neither."""
    folder.mkdir()
    for number in range(videos):
        make_clip(folder / f"clip{number}.mp4", frames=30 + 10 * (number % 5), size=(320, 180))
    for number in range(pictures):
        Image.fromarray(np.full((40, 60, 3), number % 256, np.uint8)).save(folder / f"picture{number}.png")
    for number in range(broken):
        (folder / f"broken{number}.{('mp4', 'png')[number % 2]}").write_bytes(b"neither" * 100)
    return folder


def written(folder: Path) -> dict[str, str]:
    """A digest of each output."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def frames_in(*files: Path) -> int:
    return sum(len(facts_of(path).pictures) if path.suffix == ".mp4" else 1 for path in files)


def check(folder: Path, output: Path, code: int, lines: list[str], broken: int) -> None:
    """Check that all is done but the broken ones, and that the report counts what the files hold."""
    inputs = len(list(folder.iterdir()))
    assert code == 1, lines
    assert lines[-1] == f"livecam: {inputs - broken} of {inputs} inputs done, {broken} failed"
    failed = [line.split()[1] for line in lines if line.startswith("  failed")]
    assert sorted(Path(name).stem for name in failed) == sorted(f"broken{number}" for number in range(broken))
    assert not list(output.glob("*.part"))
    assert set(written(output)) == {path.name for path in folder.iterdir() if not path.stem.startswith("broken")}
    frames = frames_in(*(output / name for name in written(output)))
    report = json.loads((output.parent / "run.json").read_text())
    assert report["inputs"] == {"done": inputs - broken, "failed": broken}
    assert report["frames"]["written"] == report["frames"]["explained"] == frames
    assert len(report["failed_files"]) == broken
    (account,) = [line for line in lines if line.startswith("in all: ")]
    assert f", {frames} written" in account


def test_two_workers_do_all_also_if_one_is_killed(environment: dict[str, str], tmp_path: Path) -> None:
    folder, output = make_inputs(tmp_path / "in", videos=2, pictures=2, broken=2), tmp_path / "out"
    options = ("--cores", 1, "--report", tmp_path / "run.json")
    process = livecam(environment, folder, "-o", output, "--on", "ray", *options)
    with Killer(environment, output, kills=1) as killer:
        code, lines = ended(process)
    assert killer.killed == 1
    check(folder, output, code, lines, broken=2)
    assert not workers_of(environment)
    for source in folder.glob("clip*"):
        assert [number_in(picture) for picture in facts_of(output / source.name).pictures] == list(
            range(frames_in(source))
        )


@pytest.fixture(scope="module")
def addresses(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """A head of two cores in another process, as machines of the cluster and as clients join it."""
    with head(environment, cores=2) as (address, of_clients):
        yield {"machine": address, "client": of_clients}


@pytest.fixture(scope="module")
def sixty(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sixty files, ten of them broken, and beside it what one process makes of them, undisturbed."""
    folder = make_inputs(tmp_path_factory.mktemp("sixty") / "in", videos=24, pictures=26, broken=10)
    assert alone(environment, folder, "-o", folder.parent / "alone")[-1].startswith("livecam: 50 of 60 inputs done")
    return folder


@pytest.mark.long
@pytest.mark.parametrize("how", ["machine", "client"])
def test_sixty_files_by_a_head_in_another_process(
    environment: dict[str, str], addresses: dict[str, str], sixty: Path, tmp_path: Path, how: str
) -> None:
    """Workers are killed, and all is as if they were not; a second run has nothing to do."""
    output = tmp_path / "out"
    options = ("--on", addresses[how], "--cores", 1, "--report", tmp_path / "run.json")
    process = livecam(environment, sixty, "-o", output, *options)
    with Killer(environment, output, kills=5) as killer:
        code, lines = ended(process)
    assert killer.killed == 5, lines
    check(sixty, output, code, lines, broken=10)
    assert written(output) == written(sixty.parent / "alone")
    code, lines = ended(livecam(environment, sixty, "-o", output, *options, "--resume"))
    assert lines[-1] == "livecam: 0 of 60 inputs done, 50 done before, 10 failed"
    assert json.loads((tmp_path / "run.json").read_text())["done_before"]["inputs"] == 50


@pytest.mark.long
def test_after_an_interrupt_nothing_is_half_written(environment: dict[str, str], tmp_path: Path) -> None:
    folder, output = make_inputs(tmp_path / "in", videos=12, pictures=0, broken=0), tmp_path / "out"
    process = livecam(environment, folder, "-o", output, "--on", "ray", "--cores", 1)
    deadline_seconds = time.monotonic() + 120
    while not (len(list(output.glob("*.mp4"))) >= 2 and list(output.glob("*.part"))):
        assert time.monotonic() < deadline_seconds
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: also to what the program has started
    code, lines = ended(process)
    assert code == 130
    done = len(list(output.glob("*.mp4")))
    assert lines[-1] == f"livecam: {done} of 12 inputs done, {12 - done} not begun"
    assert 2 <= done < 12
    assert not list(output.glob("*.part"))
    assert not workers_of(environment)
    code, lines = ended(livecam(environment, folder, "-o", output, "--resume"))
    assert code == 0
    assert lines[-1] == f"livecam: {12 - done} of 12 inputs done, {done} done before"


@pytest.mark.long
@pytest.mark.parametrize("how", ["machine", "client"])
@pytest.mark.parametrize("token", ["f" * 64, ""])
def test_a_cluster_that_asks_for_another_token_is_an_error_in_one_line(
    environment: dict[str, str], addresses: dict[str, str], tmp_path: Path, how: str, token: str
) -> None:
    make_clip(tmp_path / "a.mp4")
    ours = {**environment, "RAY_AUTH_TOKEN": token, "HOME": str(tmp_path)}
    code, lines = ended(livecam(ours, tmp_path / "a.mp4", "-o", tmp_path / "b.mp4", "--on", addresses[how]))
    assert code == 1
    (line,) = lines
    expected = "another token than that of RAY_AUTH_TOKEN" if token else "a token"
    assert line.startswith(f"livecam: the cluster {addresses[how]} asks for {expected}; take the same on all")
    assert TOKEN not in line and "f" * 64 not in line
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--on", "127.0.0.1:1"), r"no cluster answers at 127\.0\.0\.1:1; check the address"),
        (("--on", "ray://127.0.0.1:1"), r"no cluster answers at ray://127\.0\.0\.1:1; check the address"),
        (("--on", "nonsense"), "nonsense is no address of a cluster; say ray, auto, HOST:6379 or ray://HOST:10001"),
    ],
)
def test_where_there_is_no_cluster_one_line_says_so(
    environment: dict[str, str], tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    make_clip(tmp_path / "a.mp4")
    code, lines = ended(livecam(environment, tmp_path / "a.mp4", "-o", tmp_path / "b.mp4", *options))
    assert code == (2 if "nonsense" in options else 1)
    (line,) = lines
    assert re.match(f"livecam: {problem}", line)
