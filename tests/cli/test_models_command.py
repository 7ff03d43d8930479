"""`livecam models`: the list of models."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
import torchvision.models as zoo
from click.testing import Result

from livecam.cli import cli
from livecam.cli.terminal import print_text
from livecam.errors import OutputError
from livecam.models import load_model, torchvision_models
from livecam.models.catalog import hub_folder
from livecam.models.torchvision_facts import facts

Livecam = Callable[..., Result]


def test_without_a_pattern_it_lists_all_but_timm(livecam: Livecam) -> None:
    result = livecam("models")
    assert result.exit_code == 0
    of_pictures, *others = [table.splitlines() for table in result.stdout.split("\n\n")]
    names = [row.split()[0] for row in of_pictures[1:]]
    assert names == ["efficientnet_lite0", "shapes", *zoo.list_models(module=zoo)]
    start = of_pictures[0].index("WEIGHTS")
    assert all(row[start - 2 : start] == "  " and row[start] != " " for row in of_pictures[1:])
    for (headings, *rows), module in zip(others, (zoo.video, zoo.segmentation, zoo.detection), strict=True):
        assert headings.endswith("WEIGHTS")
        own = ["motion"] if module is zoo.video else []
        assert [row.split()[0] for row in rows] == [*own, *zoo.list_models(module=module)]
    of_timm, of_hub, of_clip = result.stderr.splitlines()
    assert "livecam models 'timm:*resnet*'" in of_timm
    assert "hf:ORGANISATION/NAME" in of_hub
    assert "livecam models 'clip:*'" in of_clip


def test_the_facts_in_the_source_of_torchvision_are_those_that_it_has() -> None:
    modules = {"classes": zoo, "clips": zoo.video, "masks": zoo.segmentation, "boxes": zoo.detection}
    assert list(facts()) == [name for module in modules.values() for name in zoo.list_models(module=module)]
    for name, known in facts().items():
        assert name in zoo.list_models(module=modules[known.kind])
        weights = zoo.get_model_weights(name).DEFAULT
        ((_, metrics),) = weights.meta["_metrics"].items()
        assert (known.url, known.parameters, known.accuracy, known.mebibytes) == (
            weights.url,
            weights.meta["num_params"],
            next(iter(metrics.values())),
            weights.meta["_file_size"],
        )
        if known.kind == "classes":
            assert (known.input_side,) * 2 == torchvision_models.preprocessing_of(weights).size


@pytest.mark.parametrize("variables", [{}, {"TORCH_HOME": "~/there"}, {"XDG_CACHE_HOME": "/cache"}])
def test_downloads_are_where_torch_puts_them(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_what_is_listed_is_so(livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = zoo.get_model_weights("squeezenet1_1").DEFAULT.url
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / url.split("/")[-1]).touch()
    for name, weights in (
        ("squeezenet1_1", "on disk"),
        ("mobilenet_v3_small", "to download"),
        ("efficientnet_lite0", "installed"),
        ("shapes", "shipped"),
    ):
        entry = json.loads(livecam("models", name, "--json").stdout)[0]
        classifier = load_model(name, weights="none")
        assert entry["name"] == name
        assert entry["weights"] == weights
        assert entry["parameters"] == sum(parameter.numel() for parameter in classifier.module.parameters())
        assert tuple(entry["input_size"]) == classifier.preprocessing.size
        assert (entry["download_bytes"] is not None) == (weights == "to download")
    (entry,) = json.loads(livecam("models", "mobilenet_v3_small", "--json").stdout)
    assert entry["download_bytes"] == pytest.approx(4 * entry["parameters"], rel=0.05)
    assert entry["accuracy"] == pytest.approx(67.7, abs=0.1)


@pytest.mark.parametrize("pattern", ["timm:resnet10t*", "timm:RESNET10T", "resnet10t"])
def test_a_pattern_finds_models_of_timm(livecam: Livecam, pattern: str) -> None:
    rows = livecam("models", pattern).stdout.splitlines()[1:]
    assert [row.split()[:4] for row in rows] == [
        ["timm:resnet10t", "-", "176x176", "-"],
        ["timm:resnet10t.c3_in1k", "-", "176x176", "-"],
    ]


def test_what_timm_has_is_told_beside_what_others_have(livecam: Livecam) -> None:
    result = livecam("models", "Resnet50")
    rows = [row.split()[0] for row in result.stdout.split("\n\n")[0].splitlines()[1:]]
    assert rows == ["resnet50", "wide_resnet50_2"]
    assert result.stderr == "timm has more models named so: livecam models 'timm:*resnet50*'\n"
    assert livecam("models", "shapes").stderr == livecam("models", "timm:resnet10t").stderr == ""


def test_weights_that_nobody_can_use_are_told(livecam: Livecam) -> None:
    assert "none published" in livecam("models", "timm:coatnet_0_224").stdout
    assert "features only" in livecam("models", "timm:vit_small_patch14_dinov2").stdout


def test_nothing_found_gets_suggestions(livecam: Livecam) -> None:
    result = livecam("models", "resnet_50*")
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert "did you mean" in line
    assert "resnet50" in line


def test_a_reader_that_stops_early_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """As `| head -1`, whose end of the pipe is closed while there is more to write."""
    reading, writing = os.pipe()
    os.close(reading)
    pipe = os.fdopen(writing, "w")
    with pytest.raises(SystemExit) as ended, pipe, redirect_stdout(pipe):  # which at the end is flushed, as at exit
        cli(["models", "--quiet", "resnet*"], standalone_mode=False)
    assert not ended.value.code
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_below_standard_output_is_one_line() -> None:
    with (
        Path("/dev/full").open("w") as full,
        redirect_stdout(full),
        pytest.raises(OutputError, match="cannot write to standard output: No space left on device"),
    ):
        print_text("a table")
