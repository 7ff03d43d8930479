"""The start of the program: what is imported before a mistake is told, and what a terminal shows meanwhile."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

HEAVY = ("torch", "torchvision", "timm", "transformers", "openvino")
READING = ("numpy", "cv2", "av", "PIL")
"""What reads and draws pictures, which takes half a second to import."""

# Each command line in the same process, with the line that answers and which of the packages are imported by then.
SCRIPT = """
import contextlib, io, json, sys
from livecam.cli import cli
for arguments in json.loads(sys.argv[1]):
    nowhere = contextlib.redirect_stdout(io.StringIO())
    with nowhere, contextlib.redirect_stderr(io.StringIO()) as told, contextlib.suppress(SystemExit):
        cli(arguments, prog_name="livecam")
    imported = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    print(json.dumps([told.getvalue().splitlines()[-1], imported]))
"""

MISSING = {
    "annotate missing.mp4": "livecam: missing.mp4 does not exist",
    "annotate missing -o out.mp4": "livecam: missing does not exist",
    "annotate empty.png": "livecam: empty.png is empty",
    "live missing.mp4": "livecam: missing.mp4 does not exist",
    "annotate a.jpg --target 1 --top 2": "--target and --top exclude each other",
    "annotate a.jpg --method cam": "--method takes no 'cam'",
    "annotate a.jpg --model resnet51": "no model 'resnet51'; did you mean resnet",
    "live --model google/vit": "no model 'google/vit'; did you mean hf:google/vit?",
    "layers timm:resnet5": "no model 'timm:resnet5'; did you mean timm:resnet",
    "bench --model vit_tiny_patch16_224": "did you mean timm:vit_tiny_patch16_224?",
    "bench --model own": "no model 'own'; name the function in it that makes the model: --model own:make or own:small",
    "bench --model own.py": "no model 'own.py'; name the function in it that makes the model: --model own:make or own",
    "bench --model own.py:small": "no model 'own.py:small'; name the function in it that makes the model: --model own:",
    "models Resnet50": "timm has more",
}
"""Command lines whose mistake is told before anything that reads pictures is imported."""

WITHOUT_MODEL = {
    "models": "livecam models 'clip:*' lists them",
    "annotate": "needs an INPUT",
    "annotate photo.png -o nowhere/out.png": "livecam: the folder nowhere does not exist",
    "annotate photo.png -o photo.png --overwrite": "photo.png would be the input",
    "annotate photo.png -o exists.png": "exists.png exists",
    "annotate photo.png -o out.xyz": "has to be one of .jpg",
    "annotate photo.png --every 2": "every is for videos",
    "annotate demo: -o out.mp4 --crf 999": "livecam: libx264 does not take --crf 999; it takes 0 to 51",
    "annotate demo: -o out.mp4 --codec libx999": "livecam: the encoder 'libx999' is not available",
    "annotate *.mp4": "nothing is named like *.mp4",
    "annotate text.png": "text.png is not a picture",
    "annotate demo:?size=1": "size",
}
"""Command lines whose mistake is told before torch is imported."""


def answers(folder: Path, commands: list[str], packages: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    arguments = json.dumps([command.split() for command in commands]), json.dumps(packages)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    return [tuple(json.loads(line)) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(("commands", "packages"), [(MISSING, (*HEAVY, *READING)), (WITHOUT_MODEL, HEAVY)])
def test_a_mistake_is_told_before_what_is_heavy_is_imported(
    tmp_path: Path, commands: dict[str, str], packages: tuple[str, ...]
) -> None:
    for name in ("photo.png", "exists.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    (tmp_path / "empty.png").touch()
    (tmp_path / "own.py").write_text("def make():\n    def inner(): ...\ndef small(): ...\ndef of(size): ...\n")
    (tmp_path / "text.png").write_text("no picture")
    for (line, imported), expected in zip(answers(tmp_path, list(commands), packages), commands.values(), strict=True):
        assert expected in line
        assert imported == []


@contextmanager
def at_a_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Python with a terminal as its standard error, which is read from the number that is yielded."""
    reading, terminal = pty.openpty()
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal) as process:
        os.close(terminal)
        try:
            yield process, reading
        finally:
            process.kill()
            os.close(reading)


def rest_of(terminal: int) -> str:
    text = b""
    with suppress(OSError):  # which is how a terminal ends
        while part := os.read(terminal, 1000):
            text += part
    return text.decode()


def test_a_terminal_says_what_is_loaded_until_it_is_there() -> None:
    with at_a_terminal("-c", "from livecam.cli.loading import loading\nwith loading('shapes'): pass") as (_, terminal):
        text = rest_of(terminal)
    assert text.replace(" ", "") == "loadingshapes…\r\r"
    assert text.endswith(f"\r{' ' * len('loading shapes …')}\r")


def test_ctrl_c_while_a_model_is_loaded_ends_without_a_traceback() -> None:
    with at_a_terminal("-m", "livecam", "layers", "resnet50") as (process, terminal):
        assert os.read(terminal, 1000).decode().startswith("loading resnet50 …")
        time.sleep(0.3)  # amid the imports
        process.send_signal(2)
        assert process.wait(timeout=30) == 130
        assert rest_of(terminal).strip() == ""


def test_a_model_that_is_not_torchvisions_starts_without_it(tmp_path: Path) -> None:
    """Importing torchvision takes a third of the start."""
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    models = "shapes", "efficientnet_lite0"
    commands = [f"annotate photo.png -o null: --engine eager --model {model}" for model in models]
    for answer, imported in answers(tmp_path, commands, HEAVY):
        assert "1 drawn" in answer  # null: keeps nothing
        assert imported == ["torch"]
