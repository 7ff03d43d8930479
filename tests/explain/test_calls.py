"""Layers that run several times for a picture, and networks of several streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from torch import Tensor, nn
from torchvision.models import VisionTransformer
from torchvision.transforms.functional import five_crop

from livecam import Explainer, LivecamError
from livecam.explain.engines.graph import trace
from livecam.models import Preprocessing
from livecam.models.survey.locality import PLACES, locate, responses
from tests.support.tiny import pictures, program_of
from tests.support.witness import gradcam_witness, least_cosine

SMALL = Preprocessing(size=(64, 64))


def backbone(channels: int = 12, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, 4, 1), nn.ReLU(), nn.Conv2d(channels, channels, 3, stride, 1), nn.ReLU()
    )


def inputs(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def of_class(number: int) -> Callable[[Tensor], Tensor]:
    return lambda output: output[:, number]


def explained(model: nn.Module, **options: object) -> Explainer:
    return Explainer(model, preprocessing=SMALL, **options)  # type: ignore[arg-type]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the notes on layers."""
    return [record.getMessage() for record in caplog.records if record.name == "livecam.models.survey.layers"]


def upright(output: Tensor) -> Tensor:
    return output


def mirrored(output: Tensor) -> Tensor:
    return output.flip(3)


class Siamese(nn.Module):
    """Compares the picture with a stored reference."""

    def __init__(self, *, reference_first: bool) -> None:
        super().__init__()
        self.backbone, self.head = backbone(), nn.Linear(12, 5)
        self.register_buffer("reference", torch.randn(1, 3, 64, 64))
        self.reference_first = reference_first

    def forward(self, x: Tensor) -> Tensor:
        first, second = (self.reference, x) if self.reference_first else (x, self.reference)
        features = self.backbone(first).mean(dim=(2, 3)), self.backbone(second).mean(dim=(2, 3))
        return self.head((features[0] - features[1]).abs())


@pytest.mark.parametrize("reference_first", [True, False])
@pytest.mark.parametrize("layer", [None, "backbone.2"])
def test_a_siamese_network_is_explained_on_the_picture(reference_first: bool, layer: str | None) -> None:
    torch.manual_seed(0)
    model = Siamese(reference_first=reference_first)
    explainer = explained(model, layer=layer)
    call = 1 if reference_first else 0
    witness = gradcam_witness(model, layer or "backbone", inputs(), of_class(2), call=call)
    assert least_cosine(explainer.cam(inputs(), target=2), witness) > 0.9999
    assert explainer.layer == (layer or "backbone") + (" (call 1 of 2)" if call == 0 else "")


class Augmented(nn.Module):
    """Test-time augmentation: averages what a network says of several views of the picture."""

    def __init__(self, *views: Callable[[Tensor], Tensor], probabilities: bool = False) -> None:
        super().__init__()
        self.backbone, self.head = backbone(), nn.Linear(12, 5)
        self.views, self.probabilities = views, probabilities

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.stack([self.head(self.backbone(view(x)).mean(dim=(2, 3))) for view in self.views])
        return (scores.softmax(dim=2) if self.probabilities else scores).mean(dim=0)


@pytest.mark.parametrize("views", [(upright, mirrored), (mirrored, upright)])
@pytest.mark.parametrize("probabilities", [False, True])
def test_flips_of_test_time_augmentation_are_undone(
    views: tuple[Callable[[Tensor], Tensor], ...], probabilities: bool, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = Augmented(*views, probabilities=probabilities)
    explainer = explained(model)
    witness = sum(
        gradcam_witness(model, "backbone", inputs(), of_class(2), fold=view, call=call)
        for call, view in enumerate(views)
    )
    assert least_cosine(explainer.cam(inputs(), target=2), witness) > 0.9999
    assert explainer.layer == "backbone (call 1 of 2),backbone (call 2 of 2)"
    assert told(caplog) == [
        "backbone (call 1 of 2) and backbone (call 2 of 2) run in parallel, so their maps are added"
    ]
    assert explained(model, layer="backbone").layer == explainer.layer


@pytest.mark.parametrize("method", ["hirescam", "scorecam", "ablationcam", "eigencam"])
def test_every_method_explains_both_calls(method: str) -> None:
    """Both calls have equal features if the picture is symmetric, and then so is the sum of their maps."""
    torch.manual_seed(0)
    symmetric = inputs() + inputs().flip(3)
    maps = explained(Augmented(mirrored, upright), method=method).cam(symmetric)
    torch.testing.assert_close(maps, maps.flip(2), rtol=1e-3, atol=1e-4)
    alone = explained(Augmented(upright), method=method).cam(symmetric)
    assert (alone - alone.flip(2)).abs().max() > 1e-3


class TwoStreams(nn.Module):
    """One stream sees the colours of the picture, the other its edges; both have a say in the scores."""

    def __init__(self, *, stride: int = 2, early: bool = False) -> None:
        super().__init__()
        self.colour, self.edges = backbone(), backbone(6, stride)
        self.joined = nn.Conv2d(18, 12, 1) if early else None
        self.head = nn.Linear(12 if early else 18, 5)

    def forward(self, x: Tensor) -> Tensor:
        streams = self.colour(x), self.edges(x - nn.functional.avg_pool2d(x, 3, 1, 1))
        if self.joined is not None:
            return self.head(self.joined(torch.cat(streams, dim=1)).mean(dim=(2, 3)))
        return self.head(torch.cat([stream.mean(dim=(2, 3)) for stream in streams], dim=1))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_maps_of_two_streams_are_added(stride: int, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = TwoStreams(stride=stride)
    explainer = explained(model)
    colour, edges = (gradcam_witness(model, name, inputs(), of_class(2)) for name in ("colour", "edges"))
    if stride == 1:  # a cell of 8x8 is four of 16x16
        colour = nn.functional.interpolate(colour[:, None] / 4, (16, 16), mode="bilinear")[:, 0]
    assert least_cosine(explainer.cam(inputs(), target=2), colour + edges) > 0.9999
    assert explainer.layer == "colour,edges"
    explainer.change("hirescam")
    assert told(caplog) == ["colour and edges run in parallel, so their maps are added"]
    assert least_cosine(explained(model, layer="edges").cam(inputs(), target=2), edges) > 0.9999


def test_streams_that_are_joined_early_are_explained_where_they_are_one(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = TwoStreams(early=True)
    explainer = explained(model)
    assert explainer.layer == "joined"
    witness = gradcam_witness(model, "joined", inputs(), of_class(2))
    assert least_cosine(explainer.cam(inputs(), target=2), witness) > 0.9999
    assert not told(caplog)


class OneForSomeClasses(nn.Module):
    """Each branch scores classes of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(backbone() for _ in range(3))
        self.heads = nn.ModuleList(nn.Linear(12, 2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        branches = zip(self.branches, self.heads, strict=True)
        return torch.cat([head(branch(x).mean(dim=(2, 3))) for branch, head in branches], dim=1)


def test_each_class_is_explained_by_the_branch_that_scores_it() -> None:
    torch.manual_seed(0)
    model = OneForSomeClasses()
    explainer = explained(model)
    for target in range(6):
        name = f"branches.{target // 2}"
        witness = gradcam_witness(model, name, inputs(), of_class(target))
        assert least_cosine(explainer.cam(inputs(), target=target), witness) > 0.9999
        assert least_cosine(explained(model, layer=name).cam(inputs(), target=target), witness) > 0.9999


class OneOfTwo(nn.Module):
    """Asks one expert about smooth pictures, and another one about others."""

    def __init__(self, roughest: float = 0.5) -> None:
        super().__init__()
        self.experts, self.head = nn.ModuleList([backbone(), backbone()]), nn.Linear(12, 5)
        self.roughest = roughest

    def forward(self, x: Tensor) -> Tensor:
        is_smooth = (x - nn.functional.avg_pool2d(x, 3, 1, 1)).abs().mean(dim=(1, 2, 3)) < self.roughest
        smooth, rough = (self.head(expert(x).mean(dim=(2, 3))) for expert in self.experts)
        gate = is_smooth[:, None].float()
        return gate * smooth + (1 - gate) * rough


def test_the_expert_that_is_asked_about_a_picture_is_explained() -> None:
    torch.manual_seed(0)
    model = OneOfTwo()
    explainer = explained(model)
    smooth = nn.functional.interpolate(inputs()[:, :, :6, :6], (64, 64), mode="bilinear")
    for number, seen in enumerate((smooth, inputs())):
        witness = gradcam_witness(model, f"experts.{number}", seen, of_class(2))
        assert least_cosine(explainer.cam(seen, target=2), witness) > 0.9999


def test_an_expert_that_is_never_asked_cannot_be_explained() -> None:
    model = OneOfTwo(roughest=1e6)
    assert explained(model).layer == "experts.0"
    with pytest.raises(LivecamError, match=r"layer experts.1 cannot be explained: no gradient reaches it"):
        explained(model, layer="experts.1")


class Loudest(Augmented):
    """Test-time augmentation by the highest score of each class."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.head(self.backbone(view(x)).mean(dim=(2, 3))) for view in self.views]).amax(dim=0)


def test_a_maximum_over_views_is_explained_at_the_view_that_has_it() -> None:
    torch.manual_seed(0)
    model = Loudest(upright, mirrored)
    witness = sum(
        gradcam_witness(model, "backbone", inputs(8), of_class(2), fold=view, call=call)
        for call, view in enumerate((upright, mirrored))
    )
    assert least_cosine(explained(model).cam(inputs(8), target=2), witness) > 0.9999


class Normalised(nn.Module):
    """Its scores do not depend on the mean of a channel."""

    def __init__(self, normalise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.backbone, self.head = backbone(), nn.Linear(12, 5)
        self.normalise = normalise

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.normalise(self.backbone(x)))


@pytest.mark.parametrize(
    "normalise",
    [
        lambda cells: nn.functional.instance_norm(cells).relu().mean(dim=(2, 3)),
        lambda cells: cells.flatten(2).std(dim=2),
    ],
)
def test_a_map_that_is_rounding_noise_is_told(
    normalise: Callable[[Tensor], Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    explainer = explained(Normalised(normalise), method="hirescam")
    assert told(caplog) == []
    for method in ("gradcam", "finercam", "layercam"):
        explainer.change(method)
    (note,) = told(caplog)
    assert note.startswith(f"the gradient at layer {explainer.layer} has a mean of 0 in each channel")
    caplog.clear()
    explained(Normalised(lambda cells: cells.amax(dim=(2, 3))))
    assert told(caplog) == []


class Iterated(nn.Module):
    """Runs a block on its own output."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = backbone(), nn.Conv2d(12, 12, 3, 1, 1), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = x + self.block(x).tanh()
        return self.head(x.mean(dim=(2, 3)))


def test_an_iterated_block_is_explained_at_its_last_call(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = Iterated()
    explainer = explained(model)
    assert explainer.layer == "block"
    witness = gradcam_witness(model, "block", inputs(), of_class(2), call=2)
    assert least_cosine(explainer.cam(inputs(), target=2), witness) > 0.9999
    assert told(caplog) == ["a part of the evidence goes past block, so the map lacks it"]


class Pyramid(nn.Module):
    """A convolution that three levels of a pyramid share."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = backbone(stride=1), nn.MaxPool2d(2)
        self.shared, self.head = nn.Conv2d(12, 12, 3, 1, 1), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        levels = [x := self.stem(x), x := self.down(x), self.down(x)]
        return self.head(sum(self.shared(level).relu().mean(dim=(2, 3)) for level in levels))


def test_a_convolution_of_three_levels_is_explained_at_each() -> None:
    torch.manual_seed(0)
    model = Pyramid()
    explainer = explained(model)
    assert explainer.layer.count("shared (call") == 3
    levels = [gradcam_witness(model, "shared", inputs(), of_class(2), call=call)[:, None] for call in range(3)]
    shares = [
        nn.functional.interpolate(level / 4**number, (16, 16), mode="bilinear") for number, level in enumerate(levels)
    ]
    assert least_cosine(explainer.cam(inputs(), target=2), sum(shares)[:, 0]) > 0.9999


def test_crops_cannot_be_placed() -> None:
    torch.manual_seed(0)
    model = Augmented(*(lambda x, number=number: five_crop(x, [48, 48])[number] for number in range(5)))
    with pytest.raises(LivecamError, match="only a part of the picture"):
        explained(model)
    with pytest.raises(LivecamError, match="backbone cannot be explained: .*only a part of the picture"):
        explained(model, layer="backbone")


class Batched(Augmented):
    """Runs all views of the picture as one batch."""

    def forward(self, x: Tensor) -> Tensor:
        views = self.backbone(torch.cat([view(x) for view in self.views]))
        return self.head(views.mean(dim=(2, 3))).unflatten(0, (len(self.views), -1)).mean(dim=0)


def test_a_batch_of_views_is_refused() -> None:
    model = Batched(upright, mirrored)
    with pytest.raises(LivecamError, match="layer backbone sees several views of the picture in one batch"):
        explained(model)
    with pytest.raises(LivecamError, match="backbone cannot be explained: sees several views"):
        explained(model, layer="backbone")


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (lambda x: x[..., 8:56, 8:56], "sees only a part of the picture"),
        (lambda x: torch.rot90(x, 1, (2, 3)), "sees the picture warped, turned or moved"),
    ],
)
def test_views_that_cannot_be_placed_are_left_out_and_told(
    view: Callable[[Tensor], Tensor], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = Augmented(upright, view)
    explainer = explained(model)
    assert explainer.layer == "backbone (call 1 of 2)"
    witness = gradcam_witness(model, "backbone", inputs(), of_class(2), call=0)
    assert least_cosine(explainer.cam(inputs(), target=2), witness) > 0.9999
    assert told(caplog) == [f"left out, as it {reason}: backbone (call 2 of 2)"]


@pytest.mark.parametrize("model", [Augmented(upright, mirrored), TwoStreams(stride=1)])
def test_the_program_of_several_streams_can_be_traced(model: nn.Module) -> None:
    """Compiled engines run the trace."""
    explainer = explained(model)
    maps = explainer.answer(pictures()).maps
    traced = trace(program_of(explainer), model, pictures())
    torch.testing.assert_close(traced.module(pictures())[0], maps)


class AugmentedTransformer(nn.Module):
    """A vision transformer that looks at the mirrored picture before it looks at the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.net = VisionTransformer(64, 16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5)
        nn.init.normal_(self.net.heads[0].weight)  # which begins with zeros, through which no gradient comes

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flip(3)) + self.net(x)


def test_flips_of_tokens_are_undone() -> None:
    torch.manual_seed(0)
    model = AugmentedTransformer()
    explainer = explained(model)
    layer = "net.encoder.layers.encoder_layer_1.ln_1"
    assert explainer.layer == f"{layer} (call 1 of 2),{layer} (call 2 of 2)"

    def fold(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))

    of_mirrored, of_upright = (
        gradcam_witness(model, layer, inputs(), of_class(2), fold=fold, call=call) for call in (0, 1)
    )
    assert least_cosine(explainer.cam(inputs(), target=2), of_mirrored.flip(2) + of_upright) > 0.9999


def test_other_flips_than_those_of_the_layers_before_need_clear_evidence() -> None:
    """In an untrained network the responses of late layers are little more than noise."""
    noise = torch.randn(3, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    blobs = torch.zeros(3, 1, 7, 7)
    for blob, (x, y) in zip(blobs, PLACES, strict=True):
        row, column = round(7 * y), round(7 * (1 - x))
        blob[0, row - 1 : row + 1, column - 1 : column + 1] = 1
    faint, clear = (blobs + 0.3 * noise)[:, :, None], (blobs + 0.02 * noise)[:, :, None]  # a picture has one time
    assert locate(clear, responses(clear)).flips == (3,)
    assert locate(faint, responses(faint)).flips == ()
    assert locate(faint, responses(faint), (3,)).flips == (3,)
    few = clear[..., 2:5, 2:5]
    assert locate(few, responses(few)).flips == ()


class Glimpse(TwoStreams):
    """Looks at the middle of the picture, as much as the whole picture says."""

    def forward(self, x: Tensor) -> Tensor:
        whole = self.colour(x).mean(dim=(2, 3))
        return self.head(torch.cat([whole, self.edges(x[..., 8:56, 8:56] * whole.mean()).mean(dim=(2, 3))], dim=1))


def test_a_stream_of_crops_is_told_though_it_comes_after_the_layer(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    assert explained(Glimpse()).layer == "colour"
    assert told(caplog) == ["left out, as it sees only a part of the picture: edges"]


class TurnedStream(TwoStreams):
    """A two-stream network, the second stream of which sees the picture turned by a quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.edges.register_forward_pre_hook(lambda module, inputs: (torch.rot90(inputs[0], 1, (2, 3)),))


def test_a_stream_that_cannot_be_placed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = TurnedStream()
    explainer = explained(model)
    assert explainer.layer == "colour"
    assert told(caplog) == ["left out, as it sees the picture warped, turned or moved: edges"]
    caplog.clear()
    assert explained(model, layer="colour").layer == "colour"
    assert not told(caplog)


def test_the_list_of_layers_shows_the_calls_that_are_explained(
    livecam: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_of_calls.py").write_text(
        "from torch import nn\n"
        "class Mine(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv, self.head = nn.Conv2d(3, 4, 3, 8), nn.Linear(4, 2)\n"
        "    def forward(self, x):\n"
        "        return sum(self.head(self.conv(view).mean(dim=(2, 3))) for view in (x, x.flip(3)))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    rows = json.loads(livecam("layers", "mine_of_calls:Mine", "--json").stdout)
    starred = [(row["name"], row["number"]) for row in rows if row["automatic"]]
    assert starred == [("conv (call 1 of 2)", 0), ("conv (call 2 of 2)", 0)]
    assert [row["name"] for row in rows if row["number"] is None] == ["head"]
