"""The benchmarks run on tiny inputs and print their tables."""

from __future__ import annotations

import json
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest

from livecam import Explainer


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "arguments", "rows"),
    [
        (
            "faithfulness",
            "--scenes 1 --rounds 1 --methods gradcam",
            ["gradcam at evidence*", "gradcam at features", "chance"],
        ),
        ("classes", "--model mobilenet_v3_small --top 3 --rounds 1", ["top 1", "top 3"]),
        ("every", "demo:?size=160x90&fps=10&seconds=1 --models shapes --every 2 --rounds 1", ["2", "2, 5 explained"]),
        ("steady", "--models shapes --seconds 0.3", ["cut", "jump", "bare", "steady"]),
        ("methods", "--architectures mobilenet_v3_small --no-peers", ["gradcam++", "fem"]),
        (
            "engine",
            "--models mobilenet_v3_small --engine eager --rounds 1",
            ["mobilenet_v3_small | eager fp32"],
        ),
        ("speed", "--models mobilenet_v3_small --engines eager --rounds 1 --size 320x180", ["torch-cam", "captum"]),
        ("latency", "--models shapes --engines eager --seconds 0.5", ["shapes eager | eager"]),
        ("soak", "--frames 20", ["2", "20"]),
        ("conversion", "shapes", ["shapes"]),
        ("startup", "--rounds 1 --models shapes", ["missing file", "models", "first frame of shapes"]),
        ("survey", "shapes", ["shapes | evidence | 20x20 | passed"]),
        ("delay", "--ways MPEG-TS,RTP --seconds 1", ["MPEG-TS over TCP", "MPEG-TS over UDP", "RTP"]),
        ("stages", "--frames 8 --rounds 1 --size 320x180 --models shapes", ["shapes"]),
        (
            "pipeline",
            "--frames 8 --rounds 1 --size 320x180 --works 'transcode,livecam shapes compiled'",
            ["transcode", "livecam shapes compiled"],
        ),
    ],
)
def test_a_benchmark_prints_its_table_and_writes_json(
    script: str,
    arguments: str,
    rows: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if script == "speed":
        pytest.importorskip("pytorch_grad_cam", reason="make test-all brings it")
        pytest.importorskip("torchcam", reason="make test-all brings it")
        pytest.importorskip("captum", reason="make test-all brings it")
    results = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", [script, *shlex.split(arguments), "--json", str(results)])
    import_module(f"benchmarks.{script}").main()
    printed = capsys.readouterr().out
    for row in rows:
        assert f"\n| {row} | " in printed
    assert json.loads(results.read_text())["machine"]["processor"]


def test_the_same_seed_gives_the_same_figures() -> None:
    from benchmarks.faithfulness import made_up, measure

    first, again = (measure(made_up(seed=3), count=1, seed=3) for _ in range(2))
    assert first == again
    assert first["the shape itself"]["points"] == 1 and first["the shape itself"]["insertion"] > 0.5


def test_the_map_of_real_weights_points_at_the_dog() -> None:
    from benchmarks.pasted import measure, scenes

    drawn = scenes(12, seed=0, clip=None)
    assert all((frame.shape, mask.shape) == ((480, 640, 3), (480, 640)) and mask.any() for frame, mask in drawn)
    measured = measure(Explainer("efficientnet_lite0", layer="_blocks.10", method="layercam", engine="eager"), drawn)
    assert measured["right"] > 0
    assert measured["centre"] == measured["game"] == 1


def test_the_group_of_dogs_is_pointed_at_in_a_photograph() -> None:
    from benchmarks.filmed import box_in, photographed

    assert sum(box_in(index) is not None for index in range(289)) == 259
    assert box_in(5) == (447, 369, 697.5, 540)
    measured = photographed(Explainer("efficientnet_lite0", target="dog", engine="eager"))
    assert measured["in the box"] == measured["touches"] == 1
    assert 0 < measured["by chance"] < measured["touches by chance"] < 1


def test_what_was_measured_goes_into_the_page_and_the_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.report import main

    results, docs = tmp_path / "results", tmp_path / "docs"
    results.mkdir()
    docs.mkdir()
    times = {"torch-cam": {"p50": 76.0}, "livecam compiled bf16": {"p50": 23.0}}
    speed = {
        "machine": {"processor": "A <processor>", "cores": 2},
        "command": "python -m benchmarks.speed",
        "settings": {"size": "1920x1080"},
        "models": {"resnet50": {"heatmap_ms": times}},
    }
    (results / "speed.json").write_text(json.dumps(speed))
    (results / "speed.txt").write_text("the machine\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n")
    (results / "bench.json").write_text(json.dumps({"command": "livecam bench"}))
    (results / "bench.txt").write_text("ENGINE  RATIO\neager   1.00\n")
    page = docs / "benchmarks.md"
    blocks = "<!-- measured: {} -->\n{}<!-- end -->\n"
    page.write_text(
        "Before\n"
        + blocks.format("speed", "old\n")
        + "Between\n"
        + blocks.format("soak", "kept\n")
        + blocks.format("bench", "")
    )
    monkeypatch.setattr(sys, "argv", ["report", str(results), str(docs)])
    main()
    table = "`python -m benchmarks.speed`\n\nthe machine\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    text = "`livecam bench`\n\n```text\nENGINE  RATIO\neager   1.00\n```\n"
    assert page.read_text() == "Before\n" + blocks.format("speed", table) + "Between\n" + blocks.format(
        "soak", "kept\n"
    ) + blocks.format("bench", text)
    texts = [element.text for element in ElementTree.fromstring((docs / "speed.svg").read_text()) if element.text]
    assert texts[2:] == ["livecam compiled bf16", "23.0", "torch-cam", "76.0"]


def test_a_result_without_a_place_in_the_pages_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.report import main

    (tmp_path / "soak.json").write_text(json.dumps({"command": "python -m benchmarks.soak"}))
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path), str(tmp_path)])
    with pytest.raises(SystemExit, match="no page has a block for soak"):
        main()


def test_make_bench_measures_what_has_a_place_in_the_pages() -> None:
    from benchmarks.report import BLOCK

    root = Path(__file__).parents[2]
    pages = "".join(path.read_text(encoding="utf-8") for path in (root / "docs").glob("*.md"))
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    measured = re.findall(r"(?:\$\(call measure,|--json results/)(\w+)", makefile)
    assert {*measured, "gpu/gpu"} == {name for _, name, _ in BLOCK.findall(pages)}
