"""README.md and docs/*.md are true: commands and Python code run, and options, messages, figures and links exist."""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import livecam as package
from livecam.cli import cli
from tests.support import tiny_clip
from tests.support.clips import make_clip

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
COMMANDS = cli.commands
SUBSTITUTIONS = {
    # Weights that would have to be downloaded.
    "--model resnet50": "--model resnet18 --weights none",
    "layers resnet50": "layers resnet18",
    "--model deeplabv3_resnet50": "--model lraspp_mobilenet_v3_large --weights none",
    "--model retinanet_resnet50_fpn_v2": "--model ssdlite320_mobilenet_v3_large --weights none",
    "--model fcos_resnet50_fpn": "--model ssdlite320_mobilenet_v3_large --weights none",
    "--model clip:ViT-B-16": "--model clip:tiny-vit --weights none",
    'Explainer("clip:ViT-B-16"': 'Explainer("clip:tiny-vit", weights="none"',
    # Names of ImageNet's classes, which the quick model of these tests does not know.
    "photo.jpg --target ": "photo.jpg --model efficientnet_lite0 --target ",
    "--realtime --target ": "--realtime --model efficientnet_lite0 --target ",
    # The window, the camera, and scenes that are long or do not end.
    "livecam live ": "livecam live --no-window --predictions live.jsonl --engine eager ",
    " demo:motion": ' "demo:"motion?size=64x48&seconds=1.2',  # in quotes, so that it is not substituted again
    " demo:": " demo:?size=64x48&seconds=0.2",
    'watch(["0"]': 'watch(["demo:?size=64x48"]',
    "duration_seconds=60": "duration_seconds=0.2",
}
"""What is put in the place of what, in commands and Python code, before they run."""
ONLY_PARSED = {
    r"livecam live( \d|$| --| /dev/)": "there is no camera",
    r"rtsp://": "there is no server",
    r"--loop|--watch": "it does not end",
    r"browser": "it waits for a page, and tests of its own run it",
    r" --on ": "it starts or joins a cluster, and tests of its own run it",
    r"livecam doctor": "it takes ten seconds, and tests of its own run it",
    r"livecam bench": "it takes a minute, and tests of its own run it",
}
"""Commands that are not run, and why."""
RUN_ELSEWHERE = {"docs/recipes.md": "tests/test_recipes.py runs it, and compares the pictures"}
INSTALLS = "pip"


def fenced(page: str, language: str) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def inline(page: str) -> list[str]:
    """The code within sentences and tables, each piece on one line."""
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


def commands_of(page: str) -> list[str]:
    """The commands in blocks, without comments, and those within sentences and tables."""
    lines = [line for block in fenced(page, "bash") for line in block.splitlines() if line.strip()]
    within = [code for code in inline(page) if re.match(r"(livecam|make|python|pip) |[A-Z_]+=\S+ python", code)]
    return list(dict.fromkeys([re.sub(r"\s+# .*", "", line).strip() for line in lines] + within))


def scripted(page: str) -> list[str]:
    """The commands in scripts of a shell and files of Kubernetes, with numbers where the shell puts them in."""
    text = "\n".join(fenced(page, "sh") + fenced(page, "yaml"))
    return [re.sub(r"\$\(\(.*?\)\)|\$\w+|\{\}", "1", command) for command in re.findall(r"livecam annotate .*", text)]


def substituted(code: str) -> str:
    for what, instead in SUBSTITUTIONS.items():
        code = code.replace(what, instead)
    return code


def why_only_parsed(command: str) -> str | None:
    return next((why for pattern, why in ONLY_PARSED.items() if re.search(pattern, command)), None)


def check_command(line: str) -> None:
    """Check that a command exists as it stands there, with all its options and values, whatever its program."""
    line = re.sub(r"^([A-Z_]+=\S+ )+", "", line)
    program, *arguments = shlex.split(line)
    if program == "livecam":
        check_livecam(arguments)
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), line
    elif arguments[:1] == ["-m"]:
        check_benchmark(arguments[1], arguments[2:])
    elif program == "python":
        assert (ROOT / arguments[0]).exists(), line
    else:
        assert program == INSTALLS, f"say here how to check the program of: {line}"


def check_livecam(arguments: list[str]) -> None:
    name, *rest = arguments
    if rest:
        parse(COMMANDS[name], rest)
    else:
        assert name in COMMANDS


def parse(command: click.Command, arguments: list[str]) -> None:
    """Raise click.UsageError for an unknown option or an invalid value."""
    with suppress(click.exceptions.Exit):  # --help
        command.make_context(command.name, list(arguments))


def check_benchmark(module: str, arguments: list[str]) -> None:
    """Parse the arguments as the benchmark does, and stop there."""
    try:
        main = import_module(module).main
    except ModuleNotFoundError as exc:
        pytest.skip(f"{exc.name} is not installed: make bench brings it")

    class Parsed(Exception):  # noqa: N818 - not an error
        pass

    def parse_only(parser: argparse.ArgumentParser, *args: Any) -> None:
        original(parser, arguments)
        raise Parsed

    original = argparse.ArgumentParser.parse_args
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Parsed):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        main()


def is_accepted(command: click.Command, options: list[str]) -> bool:
    """Tell if a command has these options and takes their values; one option may also stand for itself."""
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if len(options) == 1 and options[0] in names:
        return True
    inputs = ["clip.mp4"] if command.name == "annotate" else []
    try:
        parse(command, [*options, *inputs])
    except click.UsageError:
        return False
    return True


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the documentation speaks of, as small as may be."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("clip.mp4", "b.mp4", "street.mp4"):
        make_clip(folder / name, frames=4, size=(96, 64), audio=["aac"])
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for name in (
        "photo.jpg",
        "street.jpg",
        "a.jpg",
        "photos/1.jpg",
        "photos/2.png",
        "2024/may/1.jpg",
        "img_0001.png",
        "img_0002.png",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)
    Image.fromarray(picture).save(folder / "moves.gif", save_all=True, append_images=[Image.fromarray(255 - picture)])
    (folder / "mine.py").write_text(*fenced("docs/detection.md", "python"), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def tiny_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    tiny_clip.register(monkeypatch, tmp_path / "configs")


@pytest.fixture
def there(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with these files, which is the current one."""
    folder = tmp_path / "there"
    shutil.copytree(files, folder)
    monkeypatch.chdir(folder)
    yield folder


ALL = [(page, command) for page in PAGES for command in commands_of(page)]
TO_RUN = dict.fromkeys(
    command
    for page, command in ALL
    if re.match(r"livecam \w+ ", command) and page not in RUN_ELSEWHERE and not why_only_parsed(command)
)


@pytest.mark.parametrize("command", TO_RUN)
def test_a_command_runs(command: str, there: Path, livecam: Callable[..., Result]) -> None:
    arguments = shlex.split(substituted(command))[1:]
    result = livecam(*arguments)
    assert result.exit_code == 0, result.output
    assert "-o" not in arguments or (there / arguments[arguments.index("-o") + 1]).exists()


@pytest.mark.parametrize("page", [page for page in PAGES if fenced(page, "python") and page not in RUN_ELSEWHERE])
def test_the_python_code_of_a_page_runs(page: str, there: Path) -> None:
    """One block after the other, each with the names of those before."""
    names: dict[str, Any] = {}
    for block in fenced(page, "python"):
        exec(compile(substituted(block), page, "exec"), names)


def test_the_substitutions_are_needed() -> None:
    code = "\n".join(text for page, text in PAGES.items() if page not in RUN_ELSEWHERE)
    assert [what for what in SUBSTITUTIONS if what not in code] == []
    assert [what for what in ONLY_PARSED if not any(re.search(what, command) for _, command in ALL)] == []


@pytest.mark.parametrize(("page", "command"), ALL)
def test_a_command_exists(page: str, command: str) -> None:
    check_command(command)


@pytest.mark.parametrize(("page", "command"), [(page, command) for page in PAGES for command in scripted(page)])
def test_a_command_in_a_script_exists(page: str, command: str) -> None:
    check_command(command)


@pytest.mark.parametrize("page", PAGES)
def test_options_within_sentences_exist(page: str) -> None:
    """Those of annotate.md belong to `livecam annotate`, those of live.md to `livecam live`, others to any command."""
    own = COMMANDS.get(Path(page).stem)
    for code in inline(page):
        if re.match(r"--?[a-z]", code):
            options = shlex.split(code)
            assert any(is_accepted(command, options) for command in ([own] if own else COMMANDS.values())), code


def test_every_option_is_described() -> None:
    text = PAGES["docs/annotate.md"] + PAGES["docs/live.md"] + PAGES["docs/browser.md"]
    for command in (COMMANDS["annotate"], COMMANDS["live"]):
        for parameter in command.params:
            names = (*parameter.opts, *parameter.secondary_opts)
            is_named = any(re.search(rf"{name}(?![\w-])", text) for name in names)
            assert is_named or isinstance(parameter, click.Argument), names


def test_the_predictions_and_the_report_have_the_fields_that_are_described(
    there: Path, livecam: Callable[..., Result]
) -> None:
    page = PAGES["docs/annotate.md"]
    livecam("annotate", "clip.mp4", "-o", "null:", "--predictions", "said.jsonl", "--report", "run.json")
    (example,) = map(json.loads, fenced("docs/annotate.md", "json"))
    line = json.loads(Path("said.jsonl").read_text().splitlines()[0])
    assert list(line) == list(example)
    assert list(line["explained"][0]) == list(example["explained"][0])
    assert list(line["classes"][0]) == list(example["classes"][0])
    for field in (*line, *json.loads(Path("run.json").read_text())):
        assert f"`{field}`" in page


def test_the_messages_of_troubleshooting_are_those_of_the_program() -> None:
    """Each part between the places of names and numbers is a part of a text in the code."""
    sources = [path.read_text(encoding="utf-8") for path in Path(package.__file__).parent.rglob("*.py")]
    texts = [
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    texts.append((ROOT / "Makefile").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| (`.*?`) \|", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    parts = [part.strip() for row in rows for code in re.findall("`([^`]+)`", row) for part in code.split("…")]
    assert len(rows) > 50
    assert [part for part in parts if not any(part in text for text in texts)] == []


def anchors(text: str) -> set[str]:
    """What the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_pictures_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if re.match("https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_code_exist(page: str) -> None:
    named = [code for code in inline(page) if re.fullmatch(r"[\w/]+/\w+\.py", code)]
    assert [name for name in named if not ((ROOT / name).exists() or (ROOT / "livecam" / name).exists())] == []


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_bytes()) < 8000
    (snippet,) = fenced("README.md", "python")
    assert sum(bool(line.strip()) for line in snippet.splitlines()) <= 8


def test_the_figures_of_the_readme_were_measured_by_the_commands_beside_them() -> None:
    claims = re.findall(r"\| \*\*([\d.]+)\*\* [^|]*\| `([^`]+)` \|", PAGES["README.md"])
    assert len(claims) == 5
    for figure, command in claims:
        measured = re.search(
            rf"`{re.escape(command)}.*?(?=\n`|<!-- end -->|\n#)", PAGES["docs/benchmarks.md"], re.DOTALL
        )
        assert measured, command
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", measured[0]), figure
