"""User errors are reported in one line, and nothing appears under the output's name."""

from __future__ import annotations

import math
import os
import pickle
import re
import shlex
import shutil
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import save_file

from livecam import Explainer, annotate
from livecam.errors import InputError
from tests.support.clips import make_clip, playable, tone_packets
from tests.support.disks import largest_file

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]


class RunsCode:
    """Unpickling this would make a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("ran",))


UNUSUAL: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "meta": lambda tensor: tensor.to("meta"),
    "sparse": lambda tensor: tensor.to_sparse(),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "quantized": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    "nested": lambda tensor: torch.nested.nested_tensor([tensor, tensor]),
}
ENDS = """
import sys, torch
from torch import nn

class Ends(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.end, self.features = end, nn.Conv2d(3, 4, 3)
    def forward(self, x):
        self.end()
        return self.features(x).mean((2, 3))

def exits(): return Ends(lambda: sys.exit(3))
def lacks():
    def end(): raise MemoryError
    return Ends(end)
def allocates(): return Ends(lambda: torch.empty(10**14))
"""


def resized_png(png: bytes, width: int, height: int) -> bytes:
    """The same file, said to be of another size in its header."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of everything that can be wrong, and a good clip."""
    root = tmp_path_factory.mktemp("files")
    make_clip(root / "good.mp4", frames=5)
    for name in ("folder", "texts", "taken", "taken2"):
        (root / name).mkdir()
    (root / "texts" / "text.txt").touch()
    (root / "taken" / "good.mp4").write_bytes(b"precious")
    (root / "taken2" / "good.png").write_bytes(b"precious")
    picture = Image.effect_noise((64, 64), 50)
    for name in ("good.png", "good.gif", "good.jpg"):
        picture.save(root / name)
    whole = (root / "good.png").read_bytes()
    (root / "empty.png").touch()
    (root / "text.jpg").write_text("This is no picture.\n" * 100)
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "cut.jpg").write_bytes((root / "good.jpg").read_bytes()[:1500])
    (root / "corrupt.png").write_bytes(whole[:500] + bytes(500) + whole[1000:])
    (root / "bomb.png").write_bytes(resized_png(whole, 20_000, 20_000))
    (root / "exists.png").write_bytes(b"precious")
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("This is no video.\n" * 100)
    (root / "cut.mp4").write_bytes((root / "good.mp4").read_bytes()[:500])
    (root / "exists.mp4").write_bytes(b"precious")
    (root / "labels.txt").write_text("one\ntwo\n")
    (root / "empty.txt").touch()
    (root / "latin.txt").write_bytes(b"\xe4\xff\n")
    (root / "link.mp4").symlink_to("good.mp4")
    torch.save({"fc.weight": torch.zeros(2, 2)}, root / "other.pt")
    torch.save([1, 2], root / "list.pt")
    torch.save({"evidence.weight": torch.full((2,), torch.nan)}, root / "nan.pt")
    save_file({"fc.weight": torch.zeros(2, 2)}, root / "other.safetensors")
    (root / "cut.safetensors").write_bytes((root / "other.safetensors").read_bytes()[:-5])
    (root / "noise.safetensors").write_bytes(bytes(range(256)) * 8)
    (root / "users_nets.py").write_text("import torch\nFIVE = 5\ndef fails():\n    raise ValueError('no\\nway')\n")
    (root / "users_broken.py").write_text("import nonesuch\n")
    with warnings.catch_warnings(action="ignore"):  # such tensors are deprecated, and are still found in files
        for form, made in UNUSUAL.items():
            torch.save({"features.0.weight": made(torch.ones(16, 3, 3, 3))}, root / f"{form}.pt")
    (root / "users_ends.py").write_text(ENDS)
    (root / "users_exit.py").write_text("import sys\nsys.exit()\n")
    (root / "code.pt").write_bytes(pickle.dumps(RunsCode()))
    (root / "noise.pt").write_bytes(bytes(range(256)) * 8)
    with av.open(str(root / "audio.mp4"), "w") as container:
        container.mux(tone_packets(container.add_stream("aac", rate=48000), 440, 0.2))
    return root


@pytest.fixture
def folder(made_once: Path, tmp_path: Path) -> Path:
    """The same files for each test, which may do with them as it likes."""
    return Path(shutil.copytree(made_once, tmp_path, symlinks=True, dirs_exist_ok=True))


# What is typed after `livecam annotate`, in the folder above, and a part of the line that answers.
BAD: dict[str, tuple[str, str]] = {
    "missing input": ("missing.mp4 -o out.mp4", "missing.mp4 does not exist"),
    "empty folder": ("folder -o out", "the folder folder holds no pictures and no videos"),
    "folder without pictures or videos": ("texts -o out", "the folder texts holds no pictures and no videos"),
    "pattern without match": ("*.bmp -o out", "nothing is named like *.bmp"),
    "pattern that matches no picture": ("*.txt -o out", "no picture and no video is named like *.txt"),
    "missing picture": ("missing.jpg -o out.png", "missing.jpg does not exist"),
    "empty picture": ("empty.png -o out.png", "empty.png is empty"),
    "text named jpg": ("text.jpg -o out.png", "text.jpg is not a picture that can be read"),
    "truncated picture": ("cut.png -o out.png", "cut.png is not a picture that can be read"),
    "truncated JPEG": ("cut.jpg -o out.png", "cut.jpg is not a picture that can be read"),
    "corrupt picture": ("corrupt.png -o out.png", "corrupt.png is not a picture that can be read"),
    "picture that is a bomb": ("bomb.png -o out.png", "bomb.png has too many pixels"),
    "picture to a video": ("good.png -o out.mp4", "the ending of a picture has to be one of .jpg"),
    "video to a picture": ("good.mp4 -o out.png", "the ending of a video has to be one of .mp4"),
    "picture with an unknown ending": ("good.png -o out.xyz", "has to be one of .jpg"),
    "picture to a missing folder": ("good.png -o nowhere/out.png", "the folder nowhere does not exist"),
    "picture to itself": ("good.png -o good.png --overwrite", "good.png would be the input as well"),
    "picture that exists": ("good.png -o exists.png", "exists.png exists"),
    "picture with a long name": (f"good.png -o {'x' * 252}.png", "is too long"),
    "file for several": ("good.png good.gif -o out.png", "out.png is named like a file, and a folder is needed"),
    "file that exists for several": ("good.png good.mp4 -o exists.mp4", "exists.mp4 is named like a file"),
    "folder in a missing folder": ("*.gif -o nowhere/out", "the folder nowhere does not exist"),
    "pictures of one name": ("good.png good.gif -o out", "good.png and good.gif would both become out/good.png"),
    "videos of one name": ("good.mp4 texts/../good.mp4 -o out", "would both become out/good.mp4"),
    "part of a picture": ("good.png -o out.png --start 1", "only a video has parts"),
    "part of pictures": ("*.gif -o out --duration 1", "only a video has parts"),
    "encoder of a picture": ("good.png -o out.png --codec libx264", "codec, preset and crf are for videos"),
    "encoder of pictures": ("*.gif -o out --crf 20", "codec, preset and crf are for videos"),
    "every of a picture": ("good.png -o out.png --every 2", "every is for videos"),
    "every of pictures": ("*.gif -o out --every 2", "every is for videos"),
    "records of several runs": (
        "good.png good.mp4 -o out --save-map m.npy",
        "describe one run, but these inputs make 2",
    ),
    "predictions with a long name": (f"good.mp4 -o out.mp4 --predictions {'x' * 256}", "is too long; shorten it"),
    "folder with a long name": (f"good.png -o {'x' * 256}/out.png", "does not exist; make it first"),
    "folder for several with a long name": (f"good.png good.gif -o {'x' * 256}", "File name too long"),
    "input with a long name": (f"{'x' * 256}.mp4 -o out.mp4", "xxx.mp4 does not exist"),
    "URL with a long query": (f"http://127.0.0.1:9/clip.mp4?{'x' * 999} -o out.mp4", "cannot open http://127.0.0.1:9/"),
    "maps folder missing": ("good.png -o out.png --save-map nowhere/m.npy", "the folder nowhere does not exist"),
    "maps without .npy": ("good.png -o out.png --save-map maps.txt", "the file of --save-map must end in .npy"),
    "maps are the predictions": (
        "good.png -o out.png --save-map m.npy --predictions m.npy",
        "m.npy would be an output",
    ),
    "model of pictures": ("*.gif -o out --model resnet51", "did you mean resnet"),
    "empty input": ("empty.mp4 -o out.mp4", "empty.mp4 is empty"),
    "text named mp4": ("text.mp4 -o out.mp4", "not a video that can be read"),
    "audio only": ("audio.mp4 -o out.mp4", "no video stream (it holds audio)"),
    "truncated before its index": ("cut.mp4 -o out.mp4", "not a video that can be read"),
    "unknown protocol": ("nonsense://host/clip -o out.mp4", "cannot open nonsense://host/clip"),
    "nobody serves the URL": ("http://user:secret@127.0.0.1:9/clip.mp4 -o out.mp4", "cannot open http://127.0.0.1:9/"),
    "start beyond the end": ("good.mp4 -o out.mp4 --start 100", "no frame in the requested part"),
    "unknown model": ("good.mp4 -o out.mp4 --model resnet51", "did you mean resnet"),
    "unknown layer": ("good.mp4 -o out.mp4 --layer evidense", "did you mean evidence"),
    "layer without extent": (
        "good.mp4 -o out.mp4 --layer pool",
        "layer pool cannot be explained: no spatial extent (1x8); the nearest that can is evidence",
    ),
    "unknown device": ("good.mp4 -o out.mp4 --device abacus", "the device 'abacus' cannot be used"),
    "unknown target": ("good.mp4 -o out.mp4 --target cicle", "did you mean circle"),
    "target out of range": ("good.mp4 -o out.mp4 --target 99", "has the classes 0 to"),
    "unknown codec": ("good.mp4 -o out.mp4 --codec libx999", "the encoder 'libx999' is not available here"),
    "audio codec": ("good.mp4 -o out.mp4 --codec aac", "aac is not a video encoder"),
    "codec that the file cannot hold": ("good.mp4 -o out.webm --codec libx264", "cannot hold libx264"),
    "unknown preset": ("good.mp4 -o out.mp4 --preset warp", "libx264 has no --preset warp; it has ultrafast, "),
    "CRF beyond x264's": ("good.mp4 -o out.mp4 --crf 999", "libx264 does not take --crf 999; it takes 0 to 51"),
    "CRF below 0": ("good.mp4 -o out.mp4 --crf -1", "libx264 does not take --crf -1; it takes 0 to 51"),
    "CRF that is no number": ("good.mp4 -o out.mp4 --crf nan", "does not take --crf nan"),
    "CRF beyond VP9's": ("good.mp4 -o out.webm --crf 64", "libvpx-vp9 does not take --crf 64; it takes 0 to 63"),
    "CRF beyond that of the codec": (
        "good.mp4 -o out.mp4 --codec libsvtav1 --crf 99",
        "libsvtav1 does not take --crf 99; it takes 0 to 63",
    ),
    "CRF of an encoder without": ("good.mp4 -o out.mp4 --codec mpeg4 --crf 20", "mpeg4 has no --crf"),
    "preset of another codec": ("good.mp4 -o out.mp4 --codec mpeg4 --preset fast", "mpeg4 has no --preset"),
    "labels missing": ("good.mp4 -o out.mp4 --labels missing.txt", "cannot read the labels missing.txt"),
    "labels of the wrong length": ("good.mp4 -o out.mp4 --labels labels.txt", "there are 2 labels, but shapes has"),
    "labels empty": ("good.mp4 -o out.mp4 --labels empty.txt", "the labels empty.txt are empty"),
    "labels not UTF-8": ("good.mp4 -o out.mp4 --labels latin.txt", "not UTF-8"),
    "weights missing": ("good.mp4 -o out.mp4 --weights missing.pt", "cannot read the weights missing.pt"),
    "weights of another model": ("good.mp4 -o out.mp4 --weights other.pt", "other.pt are not of shapes"),
    "weights that are a list": ("good.mp4 -o out.mp4 --weights list.pt", "contain no state dict"),
    "weights that run code": ("good.mp4 -o out.mp4 --weights code.pt", "could run code"),
    "weights with NaN": ("good.mp4 -o out.mp4 --weights nan.pt", "hold NaN or infinity in evidence.weight"),
    **{
        f"weights that are {form}": (f"good.mp4 -o out.mp4 --weights {form}.pt", f"hold a {form} tensor in ")
        for form in ("meta", "sparse", "complex", "quantized", "nested")
    },
    "model that exits": ("good.mp4 -o out.mp4 --model users_ends:exits", "called sys.exit(3)"),
    "model that needs too much memory": ("good.mp4 -o out.mp4 --model users_ends:lacks", "the memory is not enough"),
    "model that allocates too much": ("good.mp4 -o out.mp4 --model users_ends:allocates", "the memory is not enough"),
    "safetensors of another model": ("good.mp4 -o out.mp4 --weights other.safetensors", "are not of shapes"),
    "safetensors cut short": (
        "good.mp4 -o out.mp4 --weights cut.safetensors",
        "not a complete safetensors file",
    ),
    "safetensors of noise": ("good.mp4 -o out.mp4 --weights noise.safetensors", "neither a file of torch.save nor"),
    "safetensors missing": ("good.mp4 -o out.mp4 --weights no.safetensors", "No such file or directory"),
    "weights that are a folder": ("good.mp4 -o out.mp4 --weights folder", "folder without a model.safetensors"),
    "unknown timm model": ("good.mp4 -o out.mp4 --model timm:resnet10", "did you mean timm:resnet10"),
    "timm model without its prefix": ("good.mp4 -o out.mp4 --model vit_tiny_patch16_224", "mean timm:vit_tiny_patch16"),
    "features of timm": ("good.mp4 -o out.mp4 --model timm:vit_small_patch14_dinov2", "its weights give features"),
    "timm without weights": ("good.mp4 -o out.mp4 --model timm:coatnet_0_224", "there are no published weights"),
    "module missing": ("good.mp4 -o out.mp4 --model nowhere.nets:make", "there is no module 'nowhere'"),
    "module without a name": ("good.mp4 -o out.mp4 --model :make", "importing '' raises ValueError"),
    "module that cannot be imported": ("good.mp4 -o out.mp4 --model users_broken:make", "No module named 'nonesuch'"),
    "module that exits": ("good.mp4 -o out.mp4 --model users_exit:make", "importing 'users_exit' raises SystemExit"),
    "callable missing": ("good.mp4 -o out.mp4 --model users_nets:make", "the module users_nets has no 'make'"),
    "callable that raises": ("good.mp4 -o out.mp4 --model users_nets:fails", "raises ValueError: no way"),
    "callable that is a number": ("good.mp4 -o out.mp4 --model users_nets:FIVE", "returns 5 (int); it must return"),
    "callable that gives a tensor": (
        "good.mp4 -o out.mp4 --model users_nets:torch.rand",
        "without arguments raises Type",
    ),
    "weights that are noise": (
        "good.mp4 -o out.mp4 --weights noise.pt",
        "neither a file of torch.save nor of",
    ),
    "output folder missing": ("good.mp4 -o nowhere/out.mp4", "the folder nowhere does not exist"),
    "output is a folder": ("good.mp4 -o folder.mp4/..", "has to be one of .mp4"),
    "output without ending": ("good.mp4 -o out", "has to be one of .mp4"),
    "output equal to input": ("good.mp4 -o good.mp4 --overwrite", "good.mp4 would be the input as well"),
    "output is a link to the input": ("good.mp4 -o link.mp4 --overwrite", "link.mp4 would be the input as well"),
    "output exists": ("good.mp4 -o exists.mp4", "exists.mp4 exists"),
    "report folder missing": ("good.mp4 -o out.mp4 --report nowhere/r.json", "the folder nowhere does not exist"),
    "report is the output": ("good.mp4 -o out.mp4 --report out.mp4", "out.mp4 would be an output as well"),
    "demo size not a size": ("demo:?size=big -o out.mp4", "size=big is not WIDTHxHEIGHT"),
    "demo size zero": ("demo:?size=0x720 -o out.mp4", "size=0x720 is not WIDTHxHEIGHT"),
    "demo size negative": ("demo:?size=-5x720 -o out.mp4", "size=-5x720 is not WIDTHxHEIGHT"),
    "demo size huge": ("demo:?size=99999x99999 -o out.mp4", "from 16 to 8192"),
    "demo rate": ("demo:?fps=fast -o out.mp4", "fps=fast is not a rate"),
    "demo seconds": ("demo:?seconds=0 -o out.mp4", "seconds=0 is not a time above 0"),
    "demo seconds endless": ("demo:?seconds=inf -o out.mp4", "seconds=inf"),
    "demo number": ("demo:?seconds=ten -o out.mp4", "seconds=ten is not a number"),
    "opacity that is no number": ("good.mp4 -o out.mp4 --opacity nan", "opacity is from 0 to 1"),
    "output is a URL": ("good.mp4 -o http://127.0.0.1:9/out.mp4", "is a URL, and livecam writes files"),
    "output with a long name": (f"good.mp4 -o {'x' * 252}.mp4", "is too long"),
    "weights that are text": (
        "good.mp4 -o out.mp4 --weights labels.txt",
        "neither a file of torch.save nor of",
    ),
    "demo seed": ("demo:?seed=-1 -o out.mp4", "seed=-1 is not a number from 0"),
    "demo size not in digits": ("demo:?size=²0x20 -o out.mp4", "size=²0x20 is not WIDTHxHEIGHT"),
    "target with two signs": ("good.mp4 -o out.mp4 --target=--5", "has no class '--5'"),
    "device without memory": ("good.mp4 -o out.mp4 --device meta", "the device 'meta' cannot be used"),
    "device of another vendor": ("good.mp4 -o out.mp4 --device hpu", "the device 'hpu' cannot be used"),
    "report into a device": ("good.mp4 -o out.mp4 --report /dev/null", "/dev/null is no file"),
    "password with an at sign": ("http://user:p@secret@127.0.0.1:9/c.mp4 -o out.mp4", "http://127.0.0.1:9/"),
    "demo option": ("demo:?colour=red -o out.mp4", "has no option 'colour'"),
    "demo shapes": ("demo:?shapes=99 -o out.mp4", "shapes=99 is not a number from 0"),
}


WRONG_VALUES = {
    *("unknown model", "model of pictures", "unknown timm model", "timm model without its prefix"),
    *("unknown device", "opacity that is no number", "unknown codec", "audio codec", "unknown preset"),
    *("CRF beyond x264's", "CRF below 0", "CRF that is no number", "CRF beyond VP9's", "CRF beyond that of the codec"),
    *("CRF of an encoder without", "preset of another codec", "target with two signs"),
    *("unknown target", "target out of range", "unknown layer", "layer without extent"),
}
"""Those that are wrong for every input, and so exit as wrong usage does."""


@pytest.mark.parametrize("what", BAD)
def test_is_told_in_one_line(livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.path", list(sys.path))  # models may come from the folder,
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # in which nothing is to be left
    arguments, expected = BAD[what]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = livecam("annotate", *shlex.split(arguments))
    assert result.exit_code == (2 if what in WRONG_VALUES else 1)
    lines = [line for line in result.output.splitlines() if not line.startswith("livecam: note:")]
    assert len(lines) == 1, result.output
    assert lines[0].startswith("livecam: ")
    assert "unexpected" not in lines[0]
    assert expected in lines[0]
    assert "secret" not in result.output
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_pictures_of_which_none_can_be_read_are_listed_with_their_reasons(livecam: Livecam, folder: Path) -> None:
    result = livecam("annotate", folder / "text.jpg", folder / "cut.png", "-o", folder / "out")
    assert result.exit_code == 1
    *table, count, last = (line for line in result.output.splitlines() if not line.startswith("livecam: note:"))
    assert [line.split()[:2] for line in table] == [["failed", str(folder / name)] for name in ("text.jpg", "cut.png")]
    assert count == "livecam: 0 of 2 inputs done, 2 failed"
    assert last == "livecam: none of the 2 pictures can be read"
    assert not (folder / "out").exists()


WRONG_USAGE = [
    "",
    "a.mp4 --method gradcan",
    "a.mp4 --opacity 2",
    "a.mp4 --fit squash",
    "a.mp4 --colormap mud",
    "a.mp4 --start -1",
    "a.mp4 --start nan",
    "a.mp4 --duration inf",
    "a.mp4 --every 0",
    "a.mp4 --every 1.5",
    "demo: -o null: --model gradcan",
    "demo: -o null: --threshold 7",
    "demo: -o null: --scale -1",
    "demo: -o null: --confidence 7",
    "demo: -o null: --top 0",
    "demo: -o null: --device abacus",
    "demo: -o null: --target unicorn",
    "demo: -o null: --target 8",
    "demo: -o null: --target pair=1-8",
    "demo: -o null: --target pair=two",
    "demo: -o null: --target 1 --against 1",
    "demo: -o null: --against unicorn",
    "demo: -o null: --top 9",
    "demo: -o null: --box 1",
    "demo: -o null: --prompt circle",
    "demo: -o null: --layer nowhere",
    "demo: -o null: --layer 999",
    "demo: -o null: --method eigencam --target 1",
    "demo: -o null: --confidence 0.3",
    "demo: -o null: --std 0",
    "demo: -o null: --mean 128",
    "a.mp4 --no",
]


@pytest.mark.parametrize("arguments", WRONG_USAGE)
def test_wrong_usage_is_told_in_one_line(livecam: Livecam, arguments: str) -> None:
    result = livecam("annotate", *arguments.split())
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith("livecam: ")


@pytest.mark.parametrize(
    "arguments",
    [
        *("annotate '' -o out.png", "annotate a.mp4 '' -o out", "annotate a.mp4 -o ''", "annotate a.mp4 --codec ''"),
        *("annotate a.mp4 --report ''", "live ''", "bench --json ''", "layers ''", "models ''"),
    ],
)
def test_an_empty_value_is_wrong_usage(livecam: Livecam, arguments: str) -> None:
    """As that of a variable of the shell that is not set: taken for left out, it would go to another file."""
    result = livecam(*shlex.split(arguments))
    assert result.exit_code == 2
    assert "it is empty; give a value or leave it out" in result.output


@pytest.mark.parametrize(
    "arguments", ["live demo: --duration nan", "live demo: --max-age nan", "bench --seconds nan", "bench --size big"]
)
def test_what_is_no_number_is_wrong_usage_of_other_commands(livecam: Livecam, arguments: str) -> None:
    result = livecam(*arguments.split())
    assert result.exit_code == 2
    assert re.match(r"livecam: --[a-z-]+: .* is not ", result.output)


def test_through_the_api_too_an_input_has_a_name_and_a_part_begins(folder: Path) -> None:
    def no_model() -> Explainer:
        raise AssertionError("the input comes first")

    with pytest.raises(InputError, match="the input has no name"):
        annotate("", folder / "out.mp4", no_model)
    with pytest.raises(InputError, match="not nan and None"):
        annotate(folder / "good.mp4", folder / "out.mp4", no_model, start_seconds=math.nan)


def test_what_an_earlier_run_left_is_not_taken_away(livecam: Livecam, folder: Path) -> None:
    rescued = folder / "out.mp4.part"
    rescued.write_bytes(b"all that is left")
    assert livecam("annotate", folder / "good.mp4", "-o", folder / "out.mp4", "--model", "resnet51").exit_code == 2
    assert rescued.read_bytes() == b"all that is left"


def test_an_input_named_like_a_working_file_is_safe(livecam: Livecam, folder: Path) -> None:
    source = (folder / "good.mp4").rename(folder / "clip.mp4.part")
    before = source.read_bytes()
    result = livecam("annotate", source, "-o", folder / "clip.mp4")
    assert result.exit_code == 0
    assert f"{source} is kept" in result.stderr
    assert source.read_bytes() == before
    assert (folder / "clip.mp4").exists()


def test_a_colon_in_a_name_is_no_protocol(livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "good.mp4").rename("10:00.mp4")
    assert livecam("annotate", "10:00.mp4", "-o", "out 11:00 ü.mp4", "--weights", "none").exit_code == 0
    assert (folder / "out 11:00 ü.mp4").exists()


def test_records_of_a_failed_run_are_not_kept(livecam: Livecam, folder: Path) -> None:
    records = ("--predictions", folder / "p.jsonl", "--report", folder / "r.json")
    result = livecam("annotate", folder / "good.mp4", "-o", folder / "out.mp4", "--layer", "nowhere", *records)
    assert result.exit_code == 2
    assert not list(folder.glob("*.json*"))


def test_debug_shows_the_traceback(livecam: Livecam) -> None:
    result = livecam("annotate", "missing.mp4", "--debug")
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.splitlines()[-1].startswith("livecam: missing.mp4 does not exist")


@contextmanager
def without_rights() -> Iterator[None]:
    """Permissions count inside the block, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    os.setresuid(nobody, nobody, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("secret.mp4 -o null:", "secret.mp4 may not be read"),
        ("good.mp4 -o folder/out.mp4", "the folder folder may not be written to"),
    ],
)
def test_no_permission_to_read_or_write(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, expected: str
) -> None:
    monkeypatch.chdir(folder)
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(0o755)
    shutil.copy("good.mp4", "secret.mp4")
    Path("secret.mp4").chmod(0)
    Path("folder").chmod(0o555)
    # The interpreter may lie where others may not look, so all that is imported on the way is imported before.
    livecam("annotate", "good.mp4", "-o", "null:", "--engine", "eager")
    with without_rights():
        result = livecam("annotate", *arguments.split(), "--engine", "eager")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
    assert expected in result.stderr


def test_a_full_disk_is_named_and_what_was_written_plays(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with largest_file(200_000):
        # The eager engine has nothing to write but the video.
        arguments = "demo:?size=640x360&seconds=20 -o full.mp4 --crf 10 --engine eager"
        result = livecam("annotate", *arguments.split())
    assert result.exit_code == 1
    note, account, error = result.stderr.splitlines()
    assert error == "livecam: cannot write full.mp4: File too large"
    assert not (folder / "full.mp4").exists()
    frames = playable(folder / "full.mp4.part")
    assert frames > 5
    assert note == f"livecam: note: full.mp4.part holds {frames} frames, and plays up to there"
    assert account.startswith("full.mp4: ") and f", {frames} written in " in account
