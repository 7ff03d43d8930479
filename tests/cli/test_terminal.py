"""What is printed, to whatever there is to print to, and without letting names control the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from livecam.errors import ModelError
from livecam.sources import kind_of

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]
SHORT = ("demo:?seconds=0.1&size=64x64", "-o", "null:", "--engine", "eager")
FORGERY = "x\nlivecam: note: all is well\x1b[2J\x9b31m\u202e\x07"


def shell(command: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, in which `livecam` is the program."""
    program = f'livecam() {{ "{sys.executable}" -m livecam "$@"; }}'
    return subprocess.run(
        ["bash", "-c", f"{program}; {command}"], capture_output=True, text=True, timeout=120, **options
    )  # type: ignore[call-overload, no-any-return]


def is_harmless(text: str) -> bool:
    return all(letter.isprintable() for letter in text.replace("\n", ""))


def test_the_name_of_a_file_forges_nothing(livecam: Livecam, tmp_path: Path) -> None:
    for name in (f"{FORGERY}.mp4", f"{FORGERY}.jpg"):
        (tmp_path / name).write_bytes(b"neither")
        for arguments in ([tmp_path / name, "-o", "null:"], [tmp_path, tmp_path / "other.mp4", "-o", tmp_path / "out"]):
            result = livecam("annotate", *arguments)
            assert result.exit_code == 1
            assert r"x\nlivecam: note: all is well\x1b[2J\x9b31m\u202e\x07" in result.output
            assert is_harmless(result.output)


def test_a_ledger_line_forges_nothing(livecam: Livecam, tmp_path: Path, clip: Clip) -> None:
    result = livecam("annotate", clip(f"{FORGERY}.mp4", frames=2), "-o", tmp_path / f"{FORGERY}out.mp4")
    assert result.exit_code == 0
    assert r"\x1b[2J" in result.output
    assert is_harmless(result.output)


@pytest.mark.parametrize("debug", [(), ("--debug",)])
@pytest.mark.parametrize(
    "url",
    [
        "http://secret:secret@127.0.0.1:9/clip.mp4?secret",
        "http:/secret:secret@127.0.0.1:9/picture.jpg",
        "http://127.0.0.1:9/clip.mp4;token=secret",
        "http://secret:secret@127.0.0.1:9",
        "rtsp://127.0.0.1:9/clip#secret",
        "rtsp://secret:secret secret@127.0.0.1:9/clip",
        "nonsense://secret:secret@host/clip",
    ],
)
def test_credentials_of_an_input_are_nowhere(
    livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, debug: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ([url], [url, "demo:?seconds=0.1&size=64x64"], [url, "--start", "1"], [url, url + ".mkv"]):
        result = livecam("annotate", *arguments, *debug)
        assert result.exit_code == 1
        assert "secret" not in result.output
    assert not [path for path in tmp_path.rglob("*") if "secret" in path.name]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://secret:secret@host/a/clip.mkv?secret", "clip.mkv"),
        ("http://host/clip.ts;secret", "clip.mp4"),
        ("rtsp://secret:secret@camera", "camera.mp4"),
        ("rtsp://secret:secret/secret@camera/x", "stream.mp4"),
        ("folder/camera.sdp", "camera.mp4"),
    ],
)
def test_the_name_of_an_output_holds_no_credentials(url: str, name: str) -> None:
    assert kind_of(url).output_name(url) == name


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_the_words_of_a_model_forge_nothing(
    livecam: Livecam, monkeypatch: pytest.MonkeyPatch, debug: tuple[str, ...]
) -> None:
    def fails(**options: object) -> None:
        raise ModelError(f"the model says {FORGERY}")

    monkeypatch.setattr("livecam.explain.explainer.Explainer", fails)
    result = livecam("annotate", *SHORT, *debug)
    assert result.exit_code == 1
    assert r"livecam: the model says x\nlivecam: note: all is well\x1b[2J" in result.stderr
    assert is_harmless(result.stderr)


def test_the_layers_of_a_model_forge_nothing(livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    Path("forging_nets.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
        "    return nn.Sequential(__import__('collections').OrderedDict({'x\\x1b[2J\\ny': net}))\n"
    )
    result = livecam("layers", "forging_nets:make")
    assert result.exit_code == 0, result.output
    assert is_harmless(result.output)
    assert r"x\x1b[2J\ny" in result.output


@pytest.mark.parametrize("streams", ["2>/dev/full", ">&-", "<&- >&- 2>&-"])
def test_what_nobody_can_read_is_no_error(tmp_path: Path, streams: str) -> None:
    command = f"livecam annotate 'demo:?seconds=0.2&size=64x64' -o out.mp4 --report run.json --engine eager {streams}"
    result = shell(command, cwd=tmp_path)
    assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "run.json"]


@pytest.mark.parametrize("command", ["--help", "models shapes", "layers"])
def test_a_full_disk_under_standard_output_is_one_line(command: str) -> None:
    result = shell(f"livecam {command} >/dev/full")
    assert result.returncode == 1
    assert result.stderr == "livecam: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("command", ["--help", "models"])
def test_a_reader_that_stops_is_no_error(command: str) -> None:
    result = shell(f"livecam {command} | true")
    assert (result.returncode, "Traceback" in result.stderr) == (0, False)


def test_no_file_takes_the_place_of_a_missing_stream(tmp_path: Path) -> None:
    """Libraries in C print to number 2, whichever file that is."""
    script = (
        "import os; from livecam.cli.terminal import open_missing_streams; open_missing_streams()\n"
        "file = open('file', 'w'); os.write(2, b'a message'); os.write(1, b'another'); assert file.fileno() > 2"
    )
    subprocess.run(["bash", "-c", f'"{sys.executable}" -c "{script}" <&- >&- 2>&-'], cwd=tmp_path, check=True)
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
def test_a_terminal_that_is_closed_is_no_error() -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "livecam", "annotate", *SHORT]
    with subprocess.Popen(command, stderr=theirs, stdin=subprocess.DEVNULL, start_new_session=True) as process:
        os.close(theirs)
        os.close(ours)
        assert process.wait(timeout=60) == 0
