"""Modules of every kind: exported programs, TorchScript, lazy layers, one picture at a time, grey made inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from torch import Tensor, nn

from livecam import Explainer
from livecam.errors import ModelError
from livecam.explain.engines.graph import trace
from livecam.models import Classifier, Preprocessing, load_model
from tests.support.tiny import pictures, program_of
from tests.support.witness import gradcam_witness, least_cosine

Livecam = Callable[..., Result]
SMALL = Preprocessing(size=(64, 64))


class Net(nn.Module):
    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.body, self.head = nn.Conv2d(8, 8, 3, 2), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).relu().mean(dim=(2, 3)))


def seeded(make: Callable[[], nn.Module] = Net) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def inputs(count: int = 2, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, 64, 64, generator=torch.Generator().manual_seed(2))


def exported(model: nn.Module) -> torch.export.ExportedProgram:
    return torch.export.export(model, (inputs(1),))


def any_batch(model: nn.Module) -> torch.export.ExportedProgram:
    return torch.export.export(model, (inputs(3),), dynamic_shapes=({0: torch.export.Dim("batch")},))


def own_code(model: nn.Module) -> nn.Module:
    return exported(model).module()


def traced(model: nn.Module) -> nn.Module:
    return torch.jit.trace(model, inputs(1))


CONVERTED = [
    (exported, "body"),
    (any_batch, "body"),
    (own_code, "body"),
    (traced, "convolution_1"),
    (torch.jit.script, "conv2d_1"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("convert", "layer"), CONVERTED)
def test_programs_are_explained_as_the_module_that_they_were_made_from(
    convert: Callable[[nn.Module], nn.Module], layer: str
) -> None:
    model = seeded()
    explainer = Explainer(convert(model), preprocessing={"size": (64, 64)}, layer=layer, target=3)
    witness = gradcam_witness(model, "body", inputs(), lambda output: output[:, 3])
    assert least_cosine(explainer.cam(inputs()), witness) >= 0.9999
    scores = explainer.answer(pictures(3)).best_scores
    torch.testing.assert_close(scores, Explainer(model, preprocessing=SMALL).answer(pictures(3)).best_scores)


class PartlyScripted(Net):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.jit.script(self.stem)


@pytest.mark.filterwarnings("ignore")
def test_layers_beside_torchscript_are_explained() -> None:
    model = seeded(PartlyScripted)
    explainer = Explainer(model, preprocessing=SMALL, target=3)
    assert explainer.layer == "body"
    witness = gradcam_witness(seeded(), "body", inputs(), lambda output: output[:, 3])
    assert least_cosine(explainer.cam(inputs()), witness) >= 0.9999


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["scorecam", "ablationcam", "layercam", "eigencam"])
def test_methods_on_a_program_for_one_picture(method: str) -> None:
    model = seeded()
    of_program, of_module = (
        Explainer(each, preprocessing=SMALL, layer="body", method=method) for each in (exported(model), model)
    )
    torch.testing.assert_close(of_program.cam(inputs()), of_module.cam(inputs()), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_program() -> None:
    explainer = Explainer(exported(seeded()), target=3)
    graph = trace(program_of(explainer), explainer.classifier.module, pictures(2))
    torch.testing.assert_close(graph.module(pictures(2))[0], explainer.answer(pictures(2)).maps)


@pytest.mark.filterwarnings("ignore")
def test_files_of_programs(livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = seeded()
    monkeypatch.chdir(tmp_path)
    torch.export.save(exported(model), "net.pt2")
    torch.jit.script(model).save("net.pt")
    assert load_model("net.pt2").preprocessing.size == (64, 64)
    for name, size in (("net.pt2", ()), ("net.pt", ("--input-size", "64"))):
        result = livecam("annotate", "demo:?size=64x48&seconds=0.1", "-o", "null:", "--model", name, *size)
        assert result.exit_code == 0, result.output
        assert ("net.pt2 gives a batch other scores" in result.output) == (name == "net.pt2")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.pt2", "there is no file missing.pt2"),
        ("net.onnx", "livecam explains models of PyTorch; save it by torch.export"),
        ("net.safetensors", "it holds weights; give it as --weights FILE"),
        ("state.pt", "it holds weights or a pickled model, not a program; give it as --weights FILE"),
        ("old.pt", "it holds weights or a pickled model, not a program; give it as --weights FILE"),
        ("damaged.pt2", "cannot load damaged.pt2: it is damaged, cut off, or no file of PyTorch; fetch"),
        ("cut.pt2", "cannot load cut.pt2: it is damaged, cut off, or no file of PyTorch; fetch"),
        ("half.pt2", "cannot load half.pt2"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_files_that_are_no_programs(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(seeded().state_dict(), "state.pt")
    torch.save(seeded().state_dict(), "old.pt", _use_new_zipfile_serialization=False)
    for empty in ("net.onnx", "net.safetensors", "damaged.pt2"):
        Path(empty).write_bytes(b"nothing")
    torch.export.save(exported(seeded()), "whole.pt2")
    Path("cut.pt2").write_bytes(Path("whole.pt2").read_bytes()[:-500])
    Path("half.pt2").write_bytes(Path("whole.pt2").read_bytes().replace(b"conv2d", b"conv9d"))
    with pytest.raises(ModelError, match=message):
        load_model(name)
    with pytest.raises(ModelError):
        load_model(name, weights="state.pt")


class TwoInputs(Net):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return super().forward(x * mask)


@pytest.mark.filterwarnings("ignore")
def test_programs_that_need_a_note_or_more_than_a_picture(caplog: pytest.LogCaptureFixture) -> None:
    Explainer(any_batch(seeded().train()))
    assert "ExportedProgram was exported in training mode" in caplog.text
    program = torch.export.export(seeded(TwoInputs), (inputs(1), inputs(1)))
    with pytest.raises(ModelError, match=r"takes x, mask, and livecam gives it a picture alone"):
        Explainer(program)


class OnlyOne(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).relu().mean(dim=(2, 3)).view(1, 8))


class Averaging(Net):
    """Returns one row of scores for all pictures of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean(dim=0, keepdim=True)


class OverBatch(Net):
    """Normalises by the statistics of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem[1] = nn.BatchNorm2d(8, track_running_stats=False)


@pytest.mark.parametrize("method", ["gradcam", "scorecam"])
@pytest.mark.parametrize("make", [OnlyOne, Averaging, OverBatch])
def test_models_that_take_one_picture_at_a_time(make: type[Net], method: str, caplog: pytest.LogCaptureFixture) -> None:
    explainer = Explainer(seeded(make), preprocessing=SMALL, method=method)
    alone = [explainer(picture.numpy()) for picture in pictures(3)]
    assert not caplog.records
    together = explainer.explain([picture.numpy() for picture in pictures(3)])
    with explainer:
        explainer.expect(3, batch=3)
        answer = explainer.answer(pictures(3))
        torch.testing.assert_close(explainer.predict(pictures(3)).best_scores, answer.best_scores)
    for one, other, maps in zip(alone, together, answer.maps, strict=True):
        torch.testing.assert_close(torch.tensor(one.cam), torch.tensor(other.cam))
        torch.testing.assert_close(torch.tensor(one.cam), maps[0])
        assert one.score == pytest.approx(other.score)
    classes = explainer.cam(inputs(3), target=[0, 1, 2])
    torch.testing.assert_close(classes[1:2], explainer.cam(inputs(3)[1:2], target=1))
    assert [record.getMessage() for record in caplog.records] == [
        f"{make.__name__} gives a batch other scores than each picture, or none: explained one by one"
    ]


class Lazy(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.LazyConv2d(8, 3, 2), nn.LazyLinear(5)


def test_lazy_layers_are_initialised_and_told(caplog: pytest.LogCaptureFixture) -> None:
    model = seeded(Lazy)
    explainer = Explainer(model, preprocessing=SMALL, target=3)
    assert [record.getMessage() for record in caplog.records] == [
        "Lazy never ran, so the weights of its lazy layers are random: body.weight"
    ]
    witness = gradcam_witness(model, "body", inputs(), lambda output: output[:, 3])
    assert least_cosine(explainer.cam(inputs()), witness) >= 0.9999


class GreyInside(Net):
    def __init__(self) -> None:
        super().__init__(channels=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mean(dim=1, keepdim=True))


class WeightedGreyInside(Net):
    def __init__(self) -> None:
        super().__init__(channels=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((0.3 * x[:, 0] + 0.6 * x[:, 1] + 0.1 * x[:, 2])[:, None])


class FilterFirst(Net):
    """Has a filter of one channel, which is registered before the stem and runs behind it."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.blur = nn.Conv2d(1, 1, 3, padding=1)
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + 0 * self.blur(x[:, :1]).mean()


class Grey(Net):
    def __init__(self) -> None:
        super().__init__(channels=1)


@pytest.mark.parametrize(
    ("make", "channels"), [(GreyInside, 3), (WeightedGreyInside, 3), (FilterFirst, 3), (Grey, 1), (Net, 3)]
)
def test_a_model_gets_the_channels_that_it_takes(make: type[Net], channels: int) -> None:
    model = seeded(make).train()
    explainer = Explainer(model, target=3)
    assert explainer.classifier.preprocessing.channels == channels
    layer = "net.body" if make is FilterFirst else "body"
    maps = Explainer(model, preprocessing={"size": (64, 64)}, layer=layer, target=3).cam(inputs(channels=channels))
    witness = gradcam_witness(model, layer, inputs(channels=channels), lambda output: output[:, 3])
    assert least_cosine(maps, witness) >= 0.9999
    assert all(module.training for module in model.modules())


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_classifier_of_torchscript_keeps_what_it_says() -> None:
    scripted = torch.jit.script(seeded())
    explainer = Explainer(scripted, preprocessing=SMALL, labels=list("abcde"))
    assert explainer.classifier.labels == tuple("abcde")
    assert isinstance(explainer.classifier, Classifier)
    assert not any(module._forward_hooks for module in scripted.modules())


def test_the_original_of_a_compiled_module_is_explained() -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("compiled")

    explainer = Explainer(torch.compile(seeded(), backend=refuse), preprocessing=SMALL, target=3)
    assert explainer.layer == "body"
    torch.testing.assert_close(
        explainer.cam(inputs()), Explainer(seeded(), preprocessing=SMALL, target=3).cam(inputs())
    )


def test_a_module_made_in_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        model = Net()
    with pytest.raises(ModelError, match="Net was made in inference mode, whose tensors have no gradients; make it"):
        Explainer(model, preprocessing=SMALL)
