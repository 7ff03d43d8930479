"""Interrupted runs: the partial output plays, and the final name never holds half a file."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import pytest
from click.testing import Result

from tests.support.clips import facts_of, make_clip, number_in

Clip = Callable[..., Path]
MOST_B_FRAMES = 3
"""In a row, by x264's own choice."""
SLOW = ("--model", "resnet18")
"""Still at work when a signal comes."""
EAGER = ("--engine", "eager")
"""With nothing compiled beside."""


@contextmanager
def annotating(source: Path, output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The program at work on its output, past its first frames."""
    command = [sys.executable, "-m", "livecam", "annotate", str(source), "-o", str(output), "--weights", "none"]
    options = ("--model", "shapes", "--opacity", "0.3", *options)
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    part = output.with_name(output.name + ".part")
    deadline_seconds = time.monotonic() + 60
    try:
        while not (part.exists() and part.stat().st_size > 20_000):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline_seconds
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=250, size=(640, 360), audio=["aac"])


@pytest.fixture
def long_clip(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made_once, tmp_path))


@pytest.mark.parametrize(
    ("number", "code", "ending", "engine"),
    [(signal.SIGINT, 130, "mp4", "auto"), (signal.SIGTERM, 143, "mkv", "eager")],
)
def test_a_signal_finishes_a_shorter_file_with_its_audio(
    long_clip: Path, number: signal.Signals, code: int, ending: str, engine: str
) -> None:
    output = long_clip.with_name(f"out.{ending}")
    with annotating(long_clip, output, *SLOW, "--engine", engine) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert f"{output}: stopped, " in errors
    after = facts_of(output)
    count = len(after.pictures)
    assert 0 < count < 250
    assert [number_in(picture) for picture in after.pictures] == list(range(count))
    assert abs(float(after.copied[0][1][-1][0]) - count / 25) < 1
    assert not list(output.parent.glob("*.part*"))


def test_killed_at_any_moment_the_part_plays_and_the_name_is_untouched(long_clip: Path) -> None:
    output = long_clip.with_name("out.mp4")
    output.write_bytes(b"precious")
    moments = random.Random(1)
    for _ in range(2):
        with annotating(long_clip, output, *SLOW, "--overwrite") as process:
            time.sleep(moments.uniform(0, 2))
            process.kill()
            process.wait(timeout=60)
        assert output.read_bytes() == b"precious"
        part = facts_of(output.with_name("out.mp4.part"))
        numbers = [number_in(picture) for picture in part.pictures]
        assert len(numbers) > MOST_B_FRAMES
        assert numbers == sorted(set(numbers))
        # Encoded before the frames between, the last may be there without them.
        assert numbers[-1] < len(numbers) + MOST_B_FRAMES
        assert numbers[:-MOST_B_FRAMES] == list(range(len(numbers) - MOST_B_FRAMES))


def test_a_second_run_at_the_same_output_is_refused(livecam: Callable[..., Result], long_clip: Path) -> None:
    output = long_clip.with_name("out.mp4")
    with annotating(long_clip, output, *EAGER, "--every", "5") as first:
        first.send_signal(signal.SIGSTOP)  # until the second has looked
        second = livecam("annotate", long_clip, "-o", output)
        first.send_signal(signal.SIGCONT)
        assert second.exit_code == 1
        assert "another run is writing" in second.stderr
        first.communicate(timeout=60)
        assert first.returncode == 0
    assert len(facts_of(output).pictures) == 250


def interrupted_after(ending: str, process: subprocess.Popen[str], line: str) -> str:
    """The line, after which the process is interrupted if it ends like this."""
    if line.endswith(ending):
        process.send_signal(signal.SIGINT)
    return line


def test_interrupted_while_the_model_loads_leaves_nothing(clip: Clip) -> None:
    source = clip()
    output = source.with_name("out.mp4")
    command = [sys.executable, "-X", "importtime", "-m", "livecam", "annotate", str(source), "-o", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = list(map(partial(interrupted_after, " torch._C\n", process), process.stderr))
    assert process.wait(timeout=60) == 130
    assert [line for line in lines if not line.startswith("import time:")] == []
    assert sorted(path.name for path in source.parent.iterdir()) == ["clip.mp4"]


class SilentServer:
    """Accepts a connection and says nothing; the process that runs the tests is then interrupted."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        self._client, _ = self._server.accept()
        self._interrupted_seconds = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    def seconds_since(self) -> float:
        """How long ago the interrupt was, after which the connection is closed."""
        self._thread.join(10)
        self._client.close()
        self._server.close()
        return time.monotonic() - self._interrupted_seconds


@pytest.mark.parametrize("command", [("annotate", "-o"), ("live", "--no-window", "--record")])
def test_interrupted_while_a_server_says_nothing_it_ends_at_once(
    livecam: Callable[..., Result], tmp_path: Path, command: Sequence[str]
) -> None:
    server = SilentServer()
    result = livecam(*command, tmp_path / "out.mp4", server.url)
    assert server.seconds_since() < 1
    assert result.exit_code == 130
    assert list(tmp_path.iterdir()) == []


def test_interrupted_before_a_command_begins_it_says_nothing() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "livecam", "annotate", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = list(map(partial(interrupted_after, " click.core\n", process), process.stderr))
        assert process.wait(timeout=60) in (-signal.SIGINT, 130)  # the second if the signal comes late
    assert [line for line in lines if not line.startswith("import time:")] == []


def test_interrupted_while_nothing_is_piped_it_ends_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "livecam", "annotate", "-", "-o", str(tmp_path / "out.mp4")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.endswith(" livecam.sources.video\n"):
                time.sleep(0.5)  # until it waits
                asked_seconds = time.monotonic()
                process.send_signal(signal.SIGINT)
                break
        assert process.wait(timeout=60) == 130
        assert time.monotonic() - asked_seconds < 2
        assert "livecam: " not in process.stderr.read()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_killed_while_writing_matroska_the_part_plays(long_clip: Path) -> None:
    output = long_clip.with_name("out.mkv")
    with annotating(long_clip, output, *EAGER):
        pass
    with av.open(str(output.with_name("out.mkv.part"))) as container:
        assert sum(1 for _ in container.decode(video=0)) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_second_signal_gives_up_without_a_crash(long_clip: Path, number: signal.Signals) -> None:
    """At once, while all stages are at work: whether the run is given up or finished, it ends by its exit code."""
    output = long_clip.with_name("out.mp4")
    with annotating(long_clip, output) as process:
        process.send_signal(number)
        time.sleep(0.02)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number


def test_a_live_run_ends_while_its_model_is_loading(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(
        "import torch\n\n\ndef make():\n    print('loading', flush=True)\n"
        "    while True:\n        torch.nn.Linear(600, 600)\n"
    )
    command = [sys.executable, "-m", "livecam", "live", "demo:", "--no-window", "--model", "endless:make"]
    command += ["--report", str(tmp_path / "run.json")]
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, **piped) as process:
        assert process.stdout is not None and process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "terminate" not in told
