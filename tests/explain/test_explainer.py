"""The explainer: its maps against independent references, and the module, which must be restored."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from livecam import Explainer, LivecamError
from livecam.explain.preprocess import Preprocessor
from livecam.models import Preprocessing, load_model
from livecam.names import LAYER_METHODS
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation, Region
from tests.support.cuda_stand_in import CudaStandIn
from tests.support.witness import gradcam_witness, least_cosine

RELU_AND_BLOCK = ("layer4.2.relu", "layer4.2")
PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)


class PooledLinear(nn.Module):
    """Convolution, in-place ReLU, global average pool, linear: Grad-CAM has a closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.relu(self.features(x)).mean(dim=(2, 3))))


@pytest.fixture
def pooled() -> PooledLinear:
    torch.manual_seed(0)
    return PooledLinear()


def test_an_in_place_relu_behind_the_layer_does_not_reach_the_activation(pooled: PooledLinear) -> None:
    batch = torch.randn(1, 3, 64, 64)
    maps = Explainer(pooled, layer="features").cam(batch, target=2)
    with torch.no_grad():
        activation = pooled.features(batch)
        weights = (activation > 0).float().mean(dim=(2, 3)) * pooled.head.weight[2] / activation[0, 0].numel()
    torch.testing.assert_close(maps, torch.einsum("bc,bchw->bhw", weights, activation))


def test_each_picture_of_a_batch_is_explained_as_if_alone(pooled: PooledLinear) -> None:
    explainer = Explainer(pooled)
    batch = torch.randn(4, 3, 64, 64)
    alone = torch.cat([explainer.cam(image[None]) for image in batch])
    torch.testing.assert_close(explainer.cam(batch), alone)
    explanations = explainer.explain([PHOTO, PHOTO[:, ::-1], PHOTO[:100]])
    for explanation, image in zip(explanations, [PHOTO, PHOTO[:, ::-1], PHOTO[:100]], strict=True):
        np.testing.assert_allclose(explanation.cam, explainer(image).cam, atol=1e-6)


def state(module: nn.Module) -> tuple[object, ...]:
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in module.modules()]
    return (
        [m.training for m in module.modules()],
        [p.requires_grad for p in module.parameters()],
        [p.grad for p in module.parameters()],
        hooks,
    )


def test_the_module_comes_back_as_it_went_in(pooled: PooledLinear) -> None:
    pooled.train()
    pooled.relu.eval()
    pooled.head.bias.requires_grad_(False)
    before, weights = state(pooled), {name: value.clone() for name, value in pooled.state_dict().items()}
    explainer = Explainer(pooled)
    assert state(pooled) == before
    explainer(PHOTO)
    assert state(pooled) == before
    with explainer, explainer:
        explainer(PHOTO)
        assert not pooled.training
    assert state(pooled) == before
    with pytest.raises(ZeroDivisionError), explainer:
        raise ZeroDivisionError
    assert state(pooled) == before
    head, pooled.head = pooled.head, nn.Linear(7, 5).eval()
    with pytest.raises(LivecamError):
        explainer.cam(torch.randn(1, 3, 64, 64))
    pooled.head = head
    assert state(pooled) == before
    with pytest.raises(LivecamError):
        Explainer(pooled, layer="nowhere")
    assert state(pooled) == before
    assert all(torch.equal(value, weights[name]) for name, value in pooled.state_dict().items())


def test_the_buffer_of_the_hook_is_reused(pooled: PooledLinear) -> None:
    with Explainer(pooled) as explainer:
        addresses = set()
        for _ in range(5):
            explainer(PHOTO)
            addresses.add(explainer._runtime.engine.eager.program._taps[0]._buffer.data_ptr())  # type: ignore[union-attr]
    assert len(addresses) == 1


def test_a_layer_that_is_called_twice_is_explained_at_its_last_call() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.head = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(self.conv(x)).mean(dim=(2, 3)))

    module, batch = Twice(), torch.randn(1, 3, 16, 16)
    maps = Explainer(module, layer="conv").cam(batch, target=1)
    with torch.no_grad():
        expected = torch.einsum("c,bchw->bhw", module.head.weight[1], module.conv(module.conv(batch))) / 256
    torch.testing.assert_close(maps, expected)


@pytest.mark.parametrize("method", ["gradcam", pytest.param("ablationcam", marks=pytest.mark.long)])
def test_a_relu_that_every_block_calls_again_is_explained_at_its_last_call(method: str) -> None:
    """ResNet-50's blocks run one ReLU three times, on different channels; the last run gives the block's output."""
    model = load_model("resnet50", weights="none").module
    batch = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    small = Preprocessing(size=(64, 64))
    relu, block = (
        Explainer(model, layer=layer, method=method, preprocessing=small).cam(batch, target=3)
        for layer in RELU_AND_BLOCK
    )
    torch.testing.assert_close(relu, block, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("resnet18", "layer4", (7, 7)),
        ("mobilenet_v3_small", "features", (7, 7)),
        ("swin_t", "permute", (7, 7)),
        pytest.param("vgg11", "avgpool", (7, 7), marks=pytest.mark.long),
        pytest.param("densenet121", "features", (7, 7), marks=pytest.mark.long),
        pytest.param("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", (14, 14), marks=pytest.mark.long),
        pytest.param("inception_v3", "Mixed_7c", (8, 8), marks=pytest.mark.long),
    ],
)
def test_the_layer_is_chosen_by_itself(name: str, layer: str, shape: tuple[int, int]) -> None:
    explainer = Explainer(name, weights="none")
    assert explainer.layer == layer
    cam = explainer(PHOTO).cam
    assert cam.shape == shape
    assert np.isfinite(cam).all()
    assert cam.std() > 0


def test_methods_about_features_pass_over_a_layer_of_class_scores() -> None:
    """`evidence` of the shipped model has a channel for each class, mostly negative."""
    assert Explainer("shapes").layer == Explainer("shapes", method="layercam").layer == "evidence"
    for method in ("gradcam++", "xgradcam", "eigencam", "fem", "scorecam"):
        assert Explainer("shapes", method=method).layer == "features"
    assert Explainer("shapes", method="gradcam++", layer="evidence").layer == "evidence"


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision.models.list_models(module=torchvision.models))
def test_every_classifier_of_torchvision_explains(name: str) -> None:
    cam = Explainer(name, weights="none")(PHOTO).cam
    assert np.isfinite(cam).all()
    assert cam.std() > 0


def test_channels_last_layers_of_a_swin() -> None:
    explainer = Explainer("swin_t", weights="none")
    for layer, shape in {"features.3": (28, 28), "features.5": (14, 14), "norm": (7, 7)}.items():
        explainer.change("gradcam", layer)
        assert explainer(PHOTO).cam.shape == shape


def test_the_explanation_names_class_score_and_place() -> None:
    explanation = Explainer("resnet18", weights="none", target="tabby")(PHOTO)
    assert (explanation.index, explanation.label) == (281, "tabby")
    assert 0 < explanation.score < 1
    assert len(explanation.predictions) == 5
    scores = [prediction.score for prediction in explanation.predictions]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= explanation.heatmap.min() <= explanation.heatmap.max() == 1


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (500, 375), (224, 224)])
def test_crop_is_what_the_weights_were_trained_with(size: tuple[int, int]) -> None:
    image = np.asarray(Image.fromarray(PHOTO).resize(size, Image.Resampling.BICUBIC))
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    transforms = weights.transforms()
    normalised = transforms(Image.fromarray(image))
    mean, std = (torch.tensor(values)[:, None, None] for values in (transforms.mean, transforms.std))
    expected = ((normalised * std + mean) * 255).permute(1, 2, 0).numpy()
    ours, _ = Preprocessor(Preprocessing(), "crop")(Frame.from_rgb(image))
    assert np.abs(ours - expected).mean() < 2
    stretched, region = Preprocessor(Preprocessing(), "stretch")(Frame.from_rgb(image))
    plain = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(stretched - plain).mean() < 2
    assert region == Region()


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(2)])
@pytest.mark.parametrize("matrix", [None, (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)])
def test_the_region_says_where_the_model_looked(fit: str, aspect: Fraction, matrix: tuple[int, ...] | None) -> None:
    """A bright dot in the input lies where the region maps it to in the upright picture."""
    orientation = Orientation.of(matrix)
    upright = np.zeros((*orientation.swap(320, 180)[::-1], 3), np.uint8)
    height, width = upright.shape[:2]
    centre_y, centre_x = round(height * 0.42), round(width * 0.55)
    upright[centre_y - 6 : centre_y + 6, centre_x - 6 : centre_x + 6] = 255
    coded = Frame.from_rgb(np.ascontiguousarray(orientation.coded(upright)))
    frame = Frame(picture=coded.picture, orientation=orientation, sample_aspect_ratio=aspect)
    image, region = Preprocessor(Preprocessing(mean=(0, 0, 0)), fit)(frame)
    ys, xs = np.nonzero(image[:, :, 0] > 127)
    left, top, right, bottom = region
    x = left + (right - left) * (xs.mean() + 0.5) / image.shape[1]
    y = top + (bottom - top) * (ys.mean() + 0.5) / image.shape[0]
    assert x * width == pytest.approx(centre_x, abs=2)
    assert y * height == pytest.approx(centre_y, abs=2)
    shown_width, shown_height = orientation.swap(320 * float(aspect), 180)
    seen_aspect = (right - left) * shown_width / ((bottom - top) * shown_height)
    assert fit == "stretch" or seen_aspect == pytest.approx(1, abs=0.02)


def test_a_run_that_failed_half_way_does_not_move_the_layer() -> None:
    model = load_model("resnet18", weights="none").module
    batch = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    explainer = Explainer(model, layer="layer4.1.relu", target=3)  # called twice a run
    expected = explainer.cam(batch)
    second = model.layer4[1].conv2
    with explainer:
        failing = second.register_forward_pre_hook(lambda module, inputs: 1 / 0)
        with pytest.raises(LivecamError, match="ZeroDivisionError"):
            explainer.cam(batch)
        failing.remove()
        torch.testing.assert_close(explainer.cam(batch), expected)


class SharedReLU(nn.Module):
    """One ReLU module used on the maps and again on the vector, as hand-written nets do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 8, 3, stride=4), nn.ReLU()
        self.hidden, self.head = nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.hidden(self.relu(self.conv(x)).mean(dim=(2, 3)))))


def test_a_module_used_on_maps_and_vectors_is_explained_on_the_maps() -> None:
    torch.manual_seed(0)
    model, batch = SharedReLU(), torch.randn(2, 3, 64, 64)
    explainer = Explainer(model, preprocessing=Preprocessing(size=(64, 64)), target=2)
    assert explainer.layer == "relu (call 1 of 2)"
    witness = gradcam_witness(model, "relu", batch, lambda output: output[:, 2], call=0)
    assert least_cosine(explainer.cam(batch), witness) > 0.9999


class Cautious(nn.LSTM):
    """Like cuDNN's, it refuses the way back in evaluation mode, so it has to be called with cuDNN switched off."""

    fails = False

    def forward(self, x: Tensor) -> tuple[Tensor, object]:  # type: ignore[override]
        if self.fails:
            raise ZeroDivisionError
        if torch.backends.cudnn.enabled and not self.training:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        return super().forward(x)


class Recurrent(nn.Module):
    """A convolution whose rows are read one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.rows, self.head = (
            nn.Conv2d(3, 8, 3, stride=4),
            Cautious(8, 6, batch_first=True),
            nn.Linear(6, 5),
        )
        self.enabled: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)
        read, _ = self.rows(maps.mean(dim=3).transpose(1, 2))
        self.enabled.append(torch.backends.cudnn.enabled)
        return self.head(read[:, -1])


def test_recurrent_layers_and_they_alone_do_without_cudnn() -> None:
    model = Recurrent()
    with Explainer(model) as explainer:
        assert explainer(PHOTO).cam.any()
        assert torch.backends.cudnn.enabled
    assert all(model.enabled)
    with pytest.raises(RuntimeError, match="training mode"):
        model.eval()(torch.zeros(1, 3, 64, 64))  # it came back as it went in


def test_cudnn_is_switched_on_again_where_a_recurrent_layer_fails() -> None:
    model = Recurrent()
    explainer = Explainer(model)
    model.rows.fails = True
    with pytest.raises(LivecamError, match="ZeroDivisionError"):
        explainer(PHOTO)
    assert torch.backends.cudnn.enabled


@pytest.mark.parametrize(
    ("dtype", "precision"), [(torch.bfloat16, "bf16"), (torch.float16, "fp16"), (torch.float64, "fp64")]
)
def test_a_module_of_another_precision_is_fed_with_its_own(
    pooled: PooledLinear, dtype: torch.dtype, precision: str
) -> None:
    expected = Explainer(pooled, target=2)(PHOTO)
    explainer = Explainer(pooled.to(dtype), target=2)
    explanation = explainer(PHOTO)
    assert explainer.precision == precision
    assert explanation.cam.dtype == np.float32
    similarity = (explanation.cam * expected.cam).sum()
    assert similarity / np.linalg.norm(explanation.cam) / np.linalg.norm(expected.cam) > 0.995


@pytest.mark.parametrize("method", ["gradcam++", "xgradcam", "eigencam", "scorecam", "finercam"])
def test_sums_over_a_large_map_do_not_overflow_in_half_precision(pooled: PooledLinear, method: str) -> None:
    """112 x 112 activations of about 9 add up to more than float16 can hold."""
    with torch.no_grad():
        pooled.features.weight.mul_(20)
    options = {"layer": "relu", "method": method, "preprocessing": Preprocessing(size=(448, 448))}
    expected = Explainer(pooled, **options)(PHOTO).cam  # type: ignore[arg-type]
    given = Explainer(pooled.to(torch.float16), **options)(PHOTO).cam  # type: ignore[arg-type]
    assert np.isfinite(given).all()
    assert (given * expected).sum() / np.linalg.norm(given) / np.linalg.norm(expected) > 0.99


def test_a_single_logit_is_a_probability_of_its_own(pooled: PooledLinear) -> None:
    pooled.head = nn.Linear(8, 1)
    score = Explainer(pooled, scores="sigmoid")(PHOTO).score
    assert 0 < score < 1


def test_the_report_says_of_a_gpu_if_it_computes_in_tf32(
    pooled: PooledLinear, cuda: CudaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "tf32" not in Explainer(pooled).report()
    explainer = Explainer(pooled, device="cuda")
    for is_supported, precision, expected in ((True, "tf32", True), (True, "ieee", False), (False, "tf32", False)):
        monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda is_supported=is_supported: is_supported)
        monkeypatch.setattr(torch.backends.cudnn, "conv", SimpleNamespace(fp32_precision=precision))
        assert explainer.report()["tf32"] is expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", LAYER_METHODS)
def test_maps_are_the_same_on_the_gpu(method: str) -> None:
    on_cpu, on_gpu = (Explainer("shapes", method=method, device=device)(PHOTO).cam for device in ("cpu", "cuda"))
    assert np.abs(on_gpu - on_cpu).max() <= 1e-3 * np.abs(on_cpu).max()


def test_a_caller_in_inference_mode_is_served(pooled: PooledLinear) -> None:
    with torch.inference_mode():
        explainer = Explainer(pooled)
        inside = explainer(PHOTO).cam
    np.testing.assert_allclose(explainer(PHOTO).cam, inside)


def test_targets_have_to_fit(pooled: PooledLinear) -> None:
    explainer = Explainer(pooled)
    assert explainer.explain([]) == []
    with pytest.raises(LivecamError, match="3 targets for 2 pictures"):
        explainer.cam(torch.randn(2, 3, 64, 64), target=[1, 2, 3])
    with pytest.raises(LivecamError, match="classes 0 to 4, not 9"):
        explainer.cam(torch.randn(1, 3, 64, 64), target=9)


def test_scores_that_are_no_row_of_classes_are_refused() -> None:
    with pytest.raises(LivecamError, match="class scores"):
        Explainer(nn.Conv2d(3, 4, 3, 8))  # too coarse for scores of pixels
