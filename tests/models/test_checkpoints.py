"""Files of weights: the tensors of a model are found in whatever form training scripts keep them; no code is run."""

from __future__ import annotations

import argparse
import collections
import datetime
import functools
import gzip
import json
import os
import pickle
import subprocess
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from livecam import LivecamError
from livecam.models import load_model
from tests.support.tiny import Tiny

TINY = "tests.support.tiny:Tiny"
State = dict[str, Tensor]


class Config(dict[str, Any]):
    """A dictionary of a class of its own, as the libraries of configurations have them."""


def trained() -> Tiny:
    torch.manual_seed(1)
    model = Tiny()
    model(torch.randn(2, 3, 16, 16))  # changes the statistics of the batch normalisation
    return model.eval()


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def optimizer() -> dict[str, Any]:
    model = Tiny()
    adam = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 3, 16, 16)).sum().backward()
    adam.step()
    return adam.state_dict()


def lightning(state: State) -> dict[str, Any]:
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**prefixed("model.", state), "criterion.weight": torch.ones(5)},
        "optimizer_states": [optimizer()],
        "lr_schedulers": [{"last_epoch": 3}],
        "callbacks": {"ModelCheckpoint": {"best_model_path": "best.ckpt", "best_model_score": torch.tensor(0.9)}},
        "hyper_parameters": Config(lr=1e-3, model=Config(name="tiny")),
    }


def profiled(state: State) -> State:
    """As the package thop leaves it."""
    counts = {
        f"{module}{name}": torch.zeros(1, dtype=torch.float64)
        for module in ("", "features.0.", "head.")
        for name in ("total_ops", "total_params")
    }
    return state | counts


def averaged(state: State) -> State:
    return {"n_averaged": torch.tensor(7), **prefixed("module.", state)}


def with_everything(state: State) -> dict[str, Any]:
    """What a training script may keep beside the weights."""
    return {
        "model": state,
        "args": argparse.Namespace(lr=0.1, out=Path("runs"), items=3, nested=argparse.Namespace(a=1)),
        "best": np.float64(0.9),
        "history": np.arange(5),
        "names": np.array(["a", None], dtype=object),
        "random": np.random.get_state(),  # noqa: NPY002 - what scripts of all ages keep
        "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "took": datetime.timedelta(seconds=3),
        "metrics": collections.defaultdict(list, loss=[1.0, 2.0]),
        "counts": collections.Counter("abc"),
        "activation": functools.partial(int, "1"),
        "version": torch.__version__,
        "device": torch.device("cpu"),
        "layer": collections.OrderedDict(a=1),
        "config": Config(lr=1, more=Config(steps=(1, 2))),
    }


FORMS: dict[str, tuple[Callable[[State], Any], str]] = {
    "plain": (lambda state: state, ""),
    **{
        key: (lambda state, key=key: {key: state, "epoch": 3}, f"took the weights under {key}")
        for key in ("state_dict", "model", "model_state_dict", "net", "params", "weights", "network", "classifier")
    },
    "DataParallel": (lambda state: prefixed("module.", state), "took the weights under module"),
    "compiled": (lambda state: prefixed("_orig_mod.", state), "took the weights under _orig_mod"),
    "compiled and parallel": (lambda state: prefixed("module._orig_mod.", state), "under module._orig_mod"),
    "inside of a wrapper": (lambda state: {"state_dict": prefixed("model.module.", state)}, "state_dict.model.module"),
    "a part is parallel": (
        lambda state: {name.replace("features.", "features.module."): value for name, value in state.items()},
        "dropped from their names: module",
    ),
    "AveragedModel": (averaged, "took the weights under module; left out: n_averaged"),
    "Lightning": (
        lightning,
        "took the weights under state_dict.model; left out: state_dict.criterion, optimizer_states, callbacks",
    ),
    "thop": (profiled, "left out: total_ops, total_params"),
    "nested": (lambda state: {"state": {"model": state}, "extra": 3}, "took the weights under state.model"),
    "optimizer beside": (
        lambda state: {"model": state, "optimizer": optimizer(), "scheduler": {"last_epoch": 3}},
        "took the weights under model; left out: optimizer",
    ),
    "states of an optimizer by name": (
        lambda state: {
            "optimizer": {"state": {name: {"exp_avg": torch.ones_like(value)} for name, value in state.items()}},
            "model": state,
        },
        "took the weights under model; left out: optimizer",
    ),
    "averaged beside": (
        lambda state: {"model": prefixed("", trained_differently()), "model_ema": state},
        "took the weights under model_ema; others would fit as well: model",
    ),
    "BasicSR": (
        lambda state: {"params": trained_differently(), "params_ema": state},
        "took the weights under params_ema; others would fit as well: params",
    ),
    "two that fit": (
        lambda state: {"student": state, "teacher": trained_differently()},
        "took the weights under student; others would fit as well: teacher",
    ),
    "parts saved apart": (
        lambda state: (
            {
                part: {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(part)}
                for part in ("features", "head")
            }
            | {"optimizer": optimizer()}
        ),
        "left out: optimizer",
    ),
    "MMCV": (lambda state: {"meta": {"epoch": 3}, "state_dict": prefixed("backbone.", state)}, "state_dict.backbone"),
    "a tuple": (lambda state: (3, state), "took the weights under 1"),
    "parameters": (lambda state: {name: nn.Parameter(value, False) for name, value in state.items()}, ""),
    "without counts": (lambda state: {name: value for name, value in state.items() if "num_batches" not in name}, ""),
    "everything beside": (with_everything, "took the weights under model"),
}


def trained_differently() -> State:
    torch.manual_seed(2)
    return Tiny().state_dict()


def check_loaded(model: Tiny, path: Path, name: str = TINY) -> None:
    loaded = load_model(name, weights=str(path)).module.eval()
    for key, value in model.state_dict().items():
        if "num_batches" not in key:
            assert torch.equal(loaded.state_dict()[key], value), key
    picture = torch.randn(1, 3, 32, 32)
    assert torch.equal(loaded(picture), model(picture))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_is_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str, legacy: bool) -> None:
    model, (content, note) = trained(), FORMS[form]
    torch.save(content(model.state_dict()), tmp_path / "w.pth.tar", _use_new_zipfile_serialization=not legacy)
    check_loaded(model, tmp_path / "w.pth.tar")
    assert len(caplog.messages) == bool(note)
    assert note in caplog.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    model = trained().to(dtype)
    torch.save(prefixed("module.", model.state_dict()), tmp_path / "half.pt")
    check_loaded(model.float(), tmp_path / "half.pt")


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: {"ema": nn.DataParallel(model), "model": None}])
def test_a_whole_model_is_read_without_its_code(tmp_path: Path, wrap: Callable[[Tiny], object]) -> None:
    model = trained()
    torch.save(wrap(model), tmp_path / "whole.pt")
    check_loaded(model, tmp_path / "whole.pt")
    torch.save(wrap(model), tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(LivecamError, match=r"hold a whole model.*torch.save\(model.state_dict\(\), FILE\)"):
        load_model(TINY, weights=str(tmp_path / "legacy.pt"))


def test_other_formats(tmp_path: Path) -> None:
    """Safetensors under any name, with metadata and in several files, torch's under its name, and NumPy's."""
    model = trained()
    state = model.state_dict()
    save_file(state, tmp_path / "model.bin", metadata={"format": "pt"})
    torch.save(state, tmp_path / "torch.safetensors")
    np.savez(tmp_path / "arrays.npz", **{name: value.numpy() for name, value in state.items()})  # type: ignore[arg-type]
    shards = tmp_path / "shards"
    shards.mkdir()
    index = {name: f"{number % 2}.safetensors" for number, name in enumerate(state)}
    for shard in set(index.values()):
        save_file({name: state[name] for name in state if index[name] == shard}, shards / shard)
    (shards / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    for name in ("model.bin", "torch.safetensors", "arrays.npz", "shards", "shards/model.safetensors.index.json"):
        check_loaded(model, tmp_path / name)
    (shards / "1.safetensors").unlink()
    with pytest.raises(LivecamError, match="cannot read the weights .*1.safetensors: No such file"):
        load_model(TINY, weights=str(shards))


class Wrapped(nn.Module):
    """A model whose names have a prefix themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Tiny()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def test_a_prefix_of_the_model_may_be_missing_in_the_file(tmp_path: Path) -> None:
    model = trained()
    for prefix in ("", "model.", "module.model.", "module.backbone."):
        torch.save({"state_dict": prefixed(prefix, model.state_dict())}, tmp_path / "w.pt")
        loaded = load_model("tests.models.test_checkpoints:Wrapped", weights=str(tmp_path / "w.pt")).module
        assert all(
            torch.equal(loaded.state_dict()[f"model.{name}"], value) for name, value in model.state_dict().items()
        )


def test_a_wrapped_file_says_how_many_classes_there_are(tmp_path: Path) -> None:
    model = torchvision.models.squeezenet1_1(num_classes=3)
    torch.save(lightning(model.state_dict()), tmp_path / "w.ckpt")
    loaded = load_model("squeezenet1_1", weights=str(tmp_path / "w.ckpt"))
    assert loaded.labels is None
    assert torch.equal(loaded.module.get_submodule("classifier.1").weight, model.classifier[1].weight)


@pytest.mark.parametrize(
    "beside",
    [
        {"classes": ["a", "b", "c", "d", "e"]},
        {"class_to_idx": {"e": 4, "a": 0, "b": 1, "c": 2, "d": 3}},
        {"hyper_parameters": Config(id2label=dict(enumerate("abcde")), labels=[3, 4])},
        {"args": argparse.Namespace(names=dict(enumerate("abcde")))},
    ],
)
def test_classes_named_in_a_file_are_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, beside: dict[str, Any]
) -> None:
    torch.save({"state_dict": trained().state_dict(), **beside}, tmp_path / "w.pt")
    assert load_model(TINY, weights=str(tmp_path / "w.pt")).labels == ("a", "b", "c", "d", "e")
    assert f"the classes are named in {tmp_path / 'w.pt'}: a, b and 3 more" in caplog.text
    caplog.clear()
    assert load_model(TINY, weights=str(tmp_path / "w.pt"), labels=list("12345")).labels == tuple("12345")
    assert "are named in" not in caplog.text


def test_names_of_something_else_are_not_taken(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": trained().state_dict(), "classes": ["train", "val"], "x": {"labels": 5}}, tmp_path / "w.pt"
    )
    assert load_model(TINY, weights=str(tmp_path / "w.pt")).labels is None


OTHERS: dict[str, tuple[Callable[[State], Any], str]] = {
    "only the backbone": (
        lambda state: {"model": {name: value for name, value in state.items() if "head" not in name}},
        "they lack head.weight and 1 more (9 of 11 tensors fit); give all weights of the model",
    ),
    "another head": (
        lambda state: {"state_dict": {name.replace("head.", "head.0."): value for name, value in state.items()}},
        "they lack head.weight and 1 more (9 of 11 tensors fit)",
    ),
    "a module more": (
        lambda state: {**state, "features.1.attention.weight": torch.ones(8)},
        "it has no features.1.att",
    ),
    "a layer more": (lambda state: {"model": {**state, "fc.weight": torch.ones(5, 5)}}, "it has no model.fc.weight"),
    "adapters": (
        lambda state: (
            {name.replace("head.", "head.base_layer."): value for name, value in state.items()}
            | {"head.lora_A.default.weight": torch.ones(2, 8), "head.lora_B.default.weight": torch.ones(5, 2)}
        ),
        "it has no head.lora_A.default.weight and 1 more",
    ),
    "another size": (
        lambda state: prefixed("module.", state) | {"module.features.0.weight": torch.ones(8, 3, 5, 5)},
        "shapes differ for features.0.weight (10 of 11",
    ),
    "other names": (
        lambda state: {f"x.{index}": value for index, value in enumerate(state.values())},
        "they lack features.0.weight and 9 more (0 of 11 tensors fit); name their model with",
    ),
    "a number": (lambda state: 3, "contain no state dict"),
    "numbers": (lambda state: {"epoch": 3, "model": None}, "contain no state dict"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    content, message = OTHERS[what]
    torch.save(content(trained().state_dict()), tmp_path / "w.pt")
    with pytest.raises(LivecamError) as caught:
        load_model(TINY, weights=str(tmp_path / "w.pt"))
    assert message in str(caught.value)


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class Sets:
    """Runs code of its own when its state is set."""

    def __getstate__(self) -> dict[str, str]:
        return {"ran": "yes"}

    def __setstate__(self, state: object) -> None:
        Path("ran").touch()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (Calls(os.system, "touch ran"), "would call posix.system when they are read, which could run code"),
        (Calls(eval, "open('ran', 'w')"), "would call builtins.eval when they are read, which could run code"),
        (
            Calls(subprocess.check_call, ["touch", "ran"]),
            "would call subprocess.check_call when they are read, which could run code",
        ),
        (
            argparse.Namespace(deep=[{"x": Calls(exec, "open('ran', 'w')")}]),
            "would call builtins.exec when they are read, which could run code",
        ),
        (Config(x=Calls(Path.touch, Path("ran"))), "cannot be read without running code"),
    ],
    ids=["system", "eval", "subprocess", "nested", "method"],
)
def test_a_pickle_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: object, reason: str, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": trained().state_dict(), "args": payload}
    torch.save(content, "w.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(LivecamError, match=reason):
        load_model(TINY, weights="w.pt")
    assert not Path("ran").exists()
    torch.load("w.pt", weights_only=False)
    assert Path("ran").exists()


def test_classes_of_the_file_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object whose class runs code when its state is set is not made, and the tensors beside it are loaded."""
    monkeypatch.chdir(tmp_path)
    model = trained()
    torch.save({"model": model.state_dict(), "config": Sets()}, "w.pt")
    check_loaded(model, Path("w.pt"))
    assert not Path("ran").exists()
    torch.load("w.pt", weights_only=False)
    assert Path("ran").exists()


def saved(path: Path, **options: Any) -> bytes:
    torch.save(trained().state_dict(), path, **options)
    return path.read_bytes()


def tar_of(path: Path) -> bytes:
    saved(path.with_name("inner.pt"))
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_name("inner.pt"), "inner.pt")
    return path.read_bytes()


def zip_of(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.pt", saved(path.with_name("inner.pt")))
    return path.read_bytes()


def scripted(path: Path) -> bytes:
    with warnings.catch_warnings(action="ignore"):  # deprecated, and still found in files
        torch.jit.trace(trained(), torch.randn(1, 3, 16, 16)).save(path)
    return path.read_bytes()


def exported(path: Path) -> bytes:
    torch.export.save(torch.export.export(trained(), (torch.randn(1, 3, 16, 16),)), path.with_suffix(".pt2"))
    return path.with_suffix(".pt2").read_bytes()


OLD = {"_use_new_zipfile_serialization": False}
FILES: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "empty": ("w.pt", lambda path: b"", "are an empty file; fetch"),
    "cut off": ("w.pt", lambda path: saved(path)[:-300], "are cut off: the end of the file is missing"),
    "cut off, legacy": ("w.pt", lambda path: saved(path, **OLD)[:-100], "are damaged; fetch"),
    "cut off early, legacy": ("w.pt", lambda path: saved(path, **OLD)[:200], "are damaged; fetch"),
    "a web page": ("w.safetensors", lambda path: b"\n<!DOCTYPE html><html>Log in</html>", "are a web page"),
    "a pointer": ("w.safetensors", lambda path: b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "gzip": ("w.pt.gz", lambda path: gzip.compress(saved(path)), "are packed by gzip; unpack it"),
    "tar": ("w.pth.tar", tar_of, "are a tar archive; unpack it"),
    "zip": ("w.zip", zip_of, "are a zip archive without a state dict; unpack it"),
    "TorchScript": ("w.pt", scripted, r"are a TorchScript program; save its state: torch.save(torch.jit.load"),
    "torch.export": ("w.pt", exported, "are a program of torch.export; save its state: torch.save(torch.export.load"),
    "Keras": ("w.h5", lambda path: b"\x89HDF\r\n\x1a\n", "are an HDF5 file, as Keras writes; convert"),
    "ONNX": ("w.onnx", lambda path: b"\x08\x07\x12\x07pytorch", "are an ONNX program; convert"),
    "TensorFlow": ("w.ckpt.index", lambda path: bytes(99), "are a checkpoint of TensorFlow; convert"),
    "a pickle": ("w.pkl", lambda path: pickle.dumps({"a": [1.0]}), "are a plain pickle, which could run code"),
    "text": ("w.pt", lambda path: b"cat\ndog\n", "are neither a file of torch.save nor of safetensors"),
    "an index of nothing": ("w.index.json", lambda path: b"[1]", "it has no weight_map"),
}


@pytest.mark.parametrize("what", FILES)
def test_what_a_file_is_that_holds_no_weights(tmp_path: Path, what: str) -> None:
    name, content, message = FILES[what]
    (tmp_path / name).write_bytes(content(tmp_path / name))
    with pytest.raises(LivecamError) as caught:
        load_model(TINY, weights=str(tmp_path / name))
    assert f"the weights {tmp_path / name} are " in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(LivecamError, match="are a folder without a model.safetensors; name the file"):
        load_model(TINY, weights=str(tmp_path))
    (tmp_path / ".metadata").touch()
    with pytest.raises(
        LivecamError, match="are a distributed checkpoint; make a file of it with: python -m torch.dist"
    ):
        load_model(TINY, weights=str(tmp_path))
