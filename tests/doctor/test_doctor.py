"""`livecam doctor`, with devices and packages that are present, missing, inaccessible, busy or broken."""

from __future__ import annotations

import errno
import fcntl
import functools
import json
import re
import shutil
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av.logging
import pytest
from click.testing import Result

import livecam as package
from livecam.doctor import SECTIONS, Check, Finding, Section, codecs, compute, examine, peripherals
from livecam.errors import OutputError
from livecam.sources.devices import CameraFacts, Mode, find_cameras
from livecam.system.window_check import check_window

Livecam = Callable[..., Result]
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="is about Linux")


# The command


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    """What is found on this machine, without a screen: looked at once, since each section starts a process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            patch.delenv(name, raising=False)
        return list(examine())


@pytest.fixture
def doctor(livecam: Livecam, findings: list[Finding], monkeypatch: pytest.MonkeyPatch) -> Livecam:
    """Runs `livecam doctor` on these findings."""
    monkeypatch.setattr("livecam.doctor.examine", lambda: iter(findings))
    return functools.partial(livecam, "doctor")


def test_it_tells_the_truth_about_this_machine(doctor: Livecam) -> None:
    import torch

    result = doctor("--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert list(report) == ["ok", *(section.name for section in SECTIONS)]
    assert report["ok"] is True
    assert report["versions"]["livecam"]["fact"].startswith(f"{package.__version__}, in ")
    assert report["versions"]["torchvision"]["state"] == "ok"
    assert report["versions"]["python"]["fact"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert report["compute"]["cuda"]["state"] == ("ok" if torch.cuda.is_available() else "absent")
    assert report["encoders"]["libx264"] == {"state": "ok", "fact": "h264, 5 frames encoded", "next_step": None}
    assert report["decoders"]["vp9"]["fact"].endswith("5 frames decoded")
    assert report["protocols"]["streams"]["fact"].startswith("rtsp, rtsps, rtmp, rtmps, http, https, tcp, udp, rtp")
    assert report["weights"]["shapes"]["fact"] == report["weights"]["motion"]["fact"] == "shipped, 8 classes"
    assert report["weights"]["imagenet"]["fact"] == "efficientnet_lite0 is installed"
    assert report["window"]["page"]["fact"].startswith("--show browser shows one, with aiohttp ")
    if sys.platform.startswith("linux"):
        assert report["window"]["window"]["state"] == "problem"
        assert report["window"]["window"]["next_step"] == "use --show browser or --no-window, or set DISPLAY"
        assert set(report["cameras"]) == ({camera.path for camera in find_cameras()} or {"camera"})


def test_the_text_says_what_the_data_says(doctor: Livecam) -> None:
    data = json.loads(doctor("--json").stdout)
    text = doctor().stdout.splitlines()
    marks = {"ok": "[ok]", "absent": "[--]", "problem": "[!!]"}
    for section in SECTIONS:
        assert section.title in text
        for name, check in data[section.name].items():
            (line,) = [line for line in text if line.split()[:2] == [marks[check["state"]], name]]
            assert check["fact"] in line
            if check["next_step"] is not None:
                assert text[text.index(line) + 1].strip() == f"-> {check['next_step']}"


def test_without_what_is_essential_it_exits_with_1(livecam: Livecam, monkeypatch: pytest.MonkeyPatch) -> None:
    def findings(*checks: Check) -> Callable[[], Iterator[Finding]]:
        encoders = Section("encoders", "Encoders", "", ("libx264",))
        return lambda: iter([Finding(encoders, checks)])

    broken = Check.problem("libx264", "does not work (it says so)", "mend it")
    monkeypatch.setattr("livecam.doctor.examine", findings(broken))
    result = livecam("doctor")
    assert result.exit_code == 1
    _, line, next_step, _, verdict = result.stdout.splitlines()
    assert line.split(maxsplit=2) == ["[XX]", "libx264", "does not work (it says so)"]
    assert next_step.strip() == "-> mend it"
    assert verdict == "livecam does not work on this machine. Fix first: encoders (libx264)."
    assert json.loads(livecam("doctor", "--json").stdout)["ok"] is False

    other = Check.problem("h264_nvenc", "does not work", "update the driver")
    monkeypatch.setattr("livecam.doctor.examine", findings(Check.ok("libx264", "h264"), other))
    result = livecam("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "Everything required works. Optional, not working: h264_nvenc."


# What goes wrong in a section


@pytest.mark.parametrize(
    ("probe", "timeout_seconds", "fact"),
    [
        ("fails", 100, "it failed (RuntimeError: the driver is of another kind) after first"),
        pytest.param("crashes", 100, "it crashed (SIGSEGV) after first", marks=linux_only),
        ("hangs", 1, "it hangs"),
        ("is_missing", 100, "it failed (AttributeError"),
    ],
)
def test_a_section_that_goes_wrong_is_a_line(
    probe: str, timeout_seconds: float, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for essential, name in ((("last",), "last"), ((), "section")):
        section = Section("section", "Section", f"tests.support.probes:{probe}", essential, timeout_seconds)
        (finding,) = examine([section])
        told = finding.checks[-1]
        assert (told.name, told.state) == (name, "problem")
        assert told.fact.startswith(fact)
        assert probe in str(told.next_step)
        assert finding.broken == list(essential)


def test_a_section_that_ended_while_another_took_long_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    slow = Section("slow", "Slow", "tests.support.probes:takes_a_while")
    quick = Section("quick", "Quick", "tests.support.probes:is_fine", timeout_seconds=0)
    assert [len(finding.checks) for finding in examine([slow, quick])] == [1, 1]


# Codecs


def test_a_codec_that_does_not_exist_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "ENCODERS", ("libx266",))
    monkeypatch.setattr(codecs, "DECODERS", {"h266": "libx266"})
    monkeypatch.setattr(codecs, "GPU_DECODERS", {"h266_gpu": "libx264"})
    level = av.logging.get_level()
    told = [*codecs.encoders(), *codecs.decoders()]
    assert av.logging.get_level() == level  # or decoders of the whole process could wait for themselves
    assert [(check.name, check.state) for check in told] == [
        (name, "problem") for name in ("libx266", "h266", "h266_gpu")
    ]
    assert "the encoder 'libx266' is not available here" in told[0].fact
    assert "pip install" in str(told[0].next_step)


@pytest.mark.parametrize(("gpus", "state"), [([], "absent"), (["NVIDIA T4"], "problem")])
def test_nvenc_is_missed_only_where_there_is_a_gpu(
    gpus: list[str], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "nvidia_gpus", lambda: gpus)
    monkeypatch.setattr(codecs, "ENCODERS", ("none_nvenc",))
    (check,) = codecs.encoders()
    assert check.state == state
    assert ("no NVIDIA GPU" in check.fact) == (not gpus)
    assert ("driver" in str(check.next_step)) == bool(gpus)


# The compiled engine


def test_a_cache_that_cannot_be_written_to_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> Check:
        return next(check for check in compute.compute() if check.name == "cache")

    monkeypatch.setenv("LIVECAM_CACHE", str(tmp_path / "not" / "there" / "yet"))
    assert check().state == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIVECAM_CACHE", str(tmp_path / "file" / "cache"))
    assert check().state == "problem"
    assert "LIVECAM_CACHE" in str(check().next_step)


def test_without_openvino_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.doctor.compute.importlib.util.find_spec", lambda name: None)
    check = next(check for check in compute.compute() if check.name == "openvino")
    assert "pip install openvino" in str(check.next_step)


def test_openvino_is_tried_and_told_with_what_it_is_fast_in() -> None:
    check = next(check for check in compute.compute() if check.name == "openvino")
    assert re.fullmatch(r"[0-9.]+, fast in fp32( bf16)?( fp16)?", check.fact)


# The window


@linux_only
def test_without_a_screen_there_is_no_window(no_screen: None) -> None:
    with pytest.raises(OutputError, match="DISPLAY nor WAYLAND_DISPLAY is set; use --show browser or --no-window"):
        check_window()


@linux_only
@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_screen_that_is_not_there_is_one_line(
    variable: str, no_screen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened in this process, Qt would have aborted it."""
    monkeypatch.setenv(variable, ":99")
    with pytest.raises(
        OutputError, match=r"on the display :99 \(.*could not connect.*\); use --show browser"
    ) as raised:
        check_window()
    assert "\n" not in str(raised.value)


@linux_only
def test_a_screen_that_does_not_answer_is_given_up(no_screen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        for port in range(6020, 6100):
            try:
                silent.bind(("127.0.0.1", port))
                break
            except OSError:
                continue
        silent.listen()
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{port - 6000}")
        with pytest.raises(OutputError, match="did not answer within 1 s; use --show browser or --no-window"):
            check_window(timeout_seconds=1)


def test_a_headless_opencv_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr("cv2.currentUIFramework", lambda: "")
    with pytest.raises(OutputError, match="pip uninstall opencv-python-headless"):
        check_window()


@linux_only
def test_on_a_screen_the_window_is_ok(virtual_screen: str) -> None:
    check_window()
    check, _ = peripherals.window()
    assert check.state == "ok"


# Cameras


class FakeDriver:
    """Answers what linux/videodev2.h asks, as a driver of a USB camera does."""

    def __init__(self, *, is_busy: bool = False, capabilities: int = 0x04200001) -> None:
        self._is_busy = is_busy
        self._capabilities = capabilities
        self._formats = [b"YUYV", b"MJPG"]
        self._sizes = {b"YUYV": [(640, 480)], b"MJPG": [(640, 480), (1920, 1080)]}
        self._intervals = {
            (b"YUYV", 640, 480): [(1, 30), (1, 15)],
            (b"MJPG", 640, 480): [(1, 60)],
            (b"MJPG", 1920, 1080): [(1, 30)],
        }

    def __call__(self, file: int, request: int, answer: bytearray) -> int:
        assert len(answer) == request >> 16 & 0x3FFF  # which is where the kernel's numbers have the size
        ask = {0: self._capability, 2: self._format, 8: self._buffers, 74: self._size, 75: self._interval}
        try:
            ask[request & 0xFF](answer)
        except IndexError:
            raise OSError(errno.EINVAL, "there are no more") from None
        return 0

    def _capability(self, answer: bytearray) -> None:
        struct.pack_into("16s32s32s3I", answer, 0, b"uvcvideo", b"HD Webcam", b"usb", 6, 0x84A00001, self._capabilities)

    def _buffers(self, answer: bytearray) -> None:
        assert struct.unpack_from("3I", answer) == (0, 1, 1)  # none, of those for capture, in memory
        if self._is_busy:
            raise OSError(errno.EBUSY, "Device or resource busy")

    def _format(self, answer: bytearray) -> None:
        index, kind = struct.unpack_from("2I", answer)
        assert kind == 1
        struct.pack_into("4s", answer, 44, self._formats[index])

    def _size(self, answer: bytearray) -> None:
        index, pixel_format = struct.unpack_from("I4s", answer)
        struct.pack_into("3I", answer, 8, 1, *self._sizes[pixel_format][index])

    def _interval(self, answer: bytearray) -> None:
        index, *key = struct.unpack_from("I4s2I", answer)
        struct.pack_into("3I", answer, 16, 1, *self._intervals[tuple(key)][index])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A machine with a USB camera, whose nodes are video0 with the pictures, and video1 with their times."""

    def make(driver: Callable[..., int] | None = None, *, opening: OSError | None = None) -> Path:
        (tmp_path / "dev").mkdir()
        for index in range(2):
            node = tmp_path / "sys" / "class" / "video4linux" / f"video{index}"
            node.mkdir(parents=True)
            (node / "name").write_text("HD Webcam: HD Webcam\n")
            (node / "index").write_text(f"{index}\n")
            (tmp_path / "dev" / node.name).touch()
        monkeypatch.setattr(fcntl, "ioctl", driver)
        if opening is not None:
            monkeypatch.setattr("livecam.sources.devices.os.open", _raising(opening))
        return tmp_path

    return make


def _raising(exc: OSError) -> Callable[..., int]:
    def raises(*arguments: Any) -> int:
        raise exc

    return raises


@linux_only
def test_a_camera_is_known_by_its_name_sizes_and_rates(machine: Callable[..., Path]) -> None:
    root = machine(FakeDriver())
    first, _ = find_cameras(root)
    modes = (Mode(1920, 1080, 30.0), Mode(640, 480, 60.0))
    assert first == CameraFacts(0, str(root / "dev" / "video0"), "HD Webcam", None, modes)


@linux_only
def test_a_node_that_gives_no_pictures_is_no_camera(machine: Callable[..., Path]) -> None:
    assert find_cameras(machine(FakeDriver(capabilities=0x04A00000))) == []


@linux_only
@pytest.mark.parametrize(
    ("opening", "problem"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "no permission to open .*video0; sudo usermod -aG video"),
        (OSError(errno.EBUSY, "Device or resource busy"), "video0 is busy; end the program that uses it"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "there is no .*video0; in a container, .* --device"),
        (OSError(errno.EIO, "Input/output error"), r"cannot be opened \(Input/output error\); unplug"),
    ],
)
def test_why_a_camera_cannot_be_opened(machine: Callable[..., Path], opening: OSError, problem: str) -> None:
    (camera,) = find_cameras(machine(opening=opening))  # the second node is passed over
    assert (camera.index, camera.name) == (0, "HD Webcam: HD Webcam")
    with pytest.raises(OutputError, match=problem):
        raise OutputError(camera.problem)


@linux_only
def test_a_camera_that_another_program_uses_is_busy(machine: Callable[..., Path]) -> None:
    camera, _ = find_cameras(machine(FakeDriver(is_busy=True)))
    assert "video0 is busy; end the program" in str(camera.problem)


@linux_only
def test_a_camera_that_a_container_was_given_without_sys_is_found(machine: Callable[..., Path]) -> None:
    root = machine(FakeDriver())
    shutil.rmtree(root / "sys")
    assert [camera.index for camera in find_cameras(root)] == [0, 1]


def test_cameras_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*cameras: CameraFacts) -> list[Check]:
        monkeypatch.setattr(peripherals, "find_cameras", lambda: list(cameras))
        return list(peripherals.cameras())

    assert told() == [Check("camera", "absent", "none is connected")]
    closed = CameraFacts(1, "/dev/video1", "Phone", "no permission to open /dev/video1; sudo usermod")
    many = tuple(Mode(width, width, 30.0) for width in range(6, 0, -1))
    assert told(CameraFacts(0, "/dev/video0", "Webcam", None, many), closed) == [
        Check("/dev/video0", "ok", "Webcam, " + ", ".join(f"{w}x{w} at 30 fps" for w in (6, 5, 4, 3)) + " and 2 more"),
        Check("/dev/video1", "problem", "Phone, no permission to open /dev/video1", "sudo usermod"),
    ]
