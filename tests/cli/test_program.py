"""Help, version and tab completion of the program, and the contents of its distribution."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

import livecam as package
from livecam.cli import cli, main

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]
ROOT = Path(__file__).parents[2]
COMMANDS = ("annotate", "live", "models", "layers", "bench", "doctor")


# Help


def sections_of(help_text: str) -> dict[str, list[str]]:
    """The options below each heading, by their long names."""
    blocks = re.findall(r"^(\S[^\n]*):\n((?:  .*\n)+)", help_text, re.MULTILINE)
    return {heading: re.findall(r"^  (?:-\w, )?(--[\w-]+)", block, re.MULTILINE) for heading, block in blocks}


def test_the_help_lists_the_commands_in_order_with_a_line_each(livecam: Livecam) -> None:
    text = livecam("--help").stdout
    (block,) = re.findall(r"^Commands:\n((?:  .*\n)+)", text, re.MULTILINE)
    lines = [re.fullmatch(r"  (\w+) +([A-Z].*\.)", line) for line in block.splitlines()]
    assert tuple(line[1] for line in lines if line) == COMMANDS
    assert "..." not in block  # which stands where click has cut a line short


def test_the_examples_of_the_help_can_be_typed(livecam: Livecam) -> None:
    examples = re.findall(r"^ +livecam (.+)", livecam("--help").stdout, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        name, *arguments = shlex.split(example)
        cli.commands[name].make_context(name, arguments)  # raises for what it does not know


def test_options_are_listed_by_topic(livecam: Livecam) -> None:
    annotate = sections_of(livecam("annotate", "--help").stdout)
    assert list(annotate) == [
        *("Output", "Many inputs", "On a cluster", "Model", "What is explained", "Heatmap", "How it looks"),
        *("Videos", "Video encoder", "Sidecar files", "Service", "Speed", "Other options"),
    ]
    assert annotate["Model"] == [
        *("--model", "--weights", "--labels", "--scores", "--confidence", "--unit"),
        *("--fit", "--input-size", "--mean", "--std"),
    ]
    assert annotate["Sidecar files"] == ["--predictions", "--save-map", "--report"]
    assert annotate["Other options"] == ["--quiet", "--verbose", "--debug", "--help"]
    live = sections_of(livecam("live", "--help").stdout)
    assert list(live)[0] == "Source"
    assert live["Source"] == [
        *("--size", "--fps", "--pixel-format", "--stream", "--max-megapixels"),
        *("--open-timeout", "--insecure", "--realtime", "--loop"),
    ]
    assert live["How it looks"] == annotate["How it looks"]
    assert "Measurement" in sections_of(livecam("bench", "--help").stdout)
    assert list(sections_of(livecam("doctor", "--help").stdout)) == ["Options"]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_listed_once_and_told_in_sentences(livecam: Livecam, name: str) -> None:
    listed = [option for options in sections_of(livecam(name, "--help").stdout).values() for option in options]
    options = [param for param in cli.commands[name].params if isinstance(param, click.Option)]
    longest = [max(option.opts, key=len) for option in options]
    assert sorted(listed) == sorted([*longest, "--help"])
    for option in options:
        assert option.help
        assert re.fullmatch(r"(\S.*\.)", option.help), option.help
        assert "[default" not in option.help  # which click adds, so that all look alike


def test_defaults_are_told_alike(livecam: Livecam) -> None:
    text = " ".join(livecam("annotate", "--help").stdout.split())
    of_model = "(efficientnet_lite0 if it is installed; for demo: shapes)"
    for default in (
        of_model,
        "(top1)",
        "(gradcam; for boxes hirescam)",
        "caption",
        "(libx264; libvpx-vp9 for .webm)",
        "0.5; 0<=x<=1",
    ):
        assert f"[default: {default}]" in text


def test_help_and_version_come_without_torch() -> None:
    script = (
        "import sys, livecam; from livecam.cli import cli\n"
        "for name in cli.commands: cli([name, '--help'], standalone_mode=False)\n"
        "print(livecam.__version__, 'torch' in sys.modules, 'cv2' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[-1] == f"{package.__version__} False False"


# Tab completion


@pytest.fixture
def completes(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the program prints to the shell: completes("bash_source"), or the words typed so far."""

    def run(instruction: str, *words: str) -> str:
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # which main sets, for all of this process
        monkeypatch.setenv("_LIVECAM_COMPLETE", instruction)
        monkeypatch.setenv("COMP_WORDS", shlex.join(["livecam", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit, match="0"):
            main()
        return capfd.readouterr().out

    return run


@pytest.mark.parametrize(("shell", "line"), [("bash", "complete -o nosort -F"), ("zsh", "#compdef livecam")])
def test_the_shell_gets_a_script(completes: Callable[..., str], shell: str, line: str) -> None:
    script = completes(f"{shell}_source")
    assert line in script
    assert f"_LIVECAM_COMPLETE={shell}_complete" in script


def test_commands_options_values_and_files_are_completed(completes: Callable[..., str]) -> None:
    assert completes("bash_complete", "ann") == "plain,annotate\n"
    assert completes("bash_complete", "annotate", "--colorm") == "plain,--colormap\n"
    assert completes("bash_complete", "annotate", "--view", "over") == "plain,overlay\n"
    for words in (["annotate", "cl"], ["live", "cl"], ["annotate", "-o", "cl"], ["layers", "--weights", "cl"]):
        assert completes("bash_complete", *words) == "file,cl\n"


# The distribution


def test_the_version_is_told(livecam: Livecam) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", package.__version__)
    assert livecam("--version").output == f"livecam {package.__version__}\n"


def test_the_wheel_has_the_version_and_all_files(tmp_path: Path) -> None:
    """Built of a copy, since a build leaves its traces."""
    pytest.importorskip("setuptools", "77")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "livecam", tmp_path / "livecam", ignore=shutil.ignore_patterns("__pycache__"))
    assert (tmp_path / "livecam" / "py.typed").exists()
    files = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "livecam").rglob("*") if path.is_file()}
    script = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, timeout=120, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert files <= set(archive.namelist())
        metadata = archive.read(f"livecam-{package.__version__}.dist-info/METADATA").decode()
    assert f"\nVersion: {package.__version__}\n" in metadata
