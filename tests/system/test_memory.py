"""A request that the memory cannot hold fails with one line; without a limit the system would kill the process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from livecam.system import memory
from livecam.system.memory import free_bytes, memory_limited

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or memory.has_gpu(), reason="there is no limit on this system"
)
MIB = 1 << 20


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of which only 256 MiB are free."""
    monkeypatch.setattr(memory, "_untouched_bytes", lambda: 0)
    monkeypatch.setattr(memory, "free_bytes", lambda: 256 * MIB)


@pytest.mark.usefixtures("scarce")
def test_more_than_is_free_is_refused_inside_alone() -> None:
    with memory_limited():
        np.empty(64 * MIB, np.uint8)
        with pytest.raises(MemoryError):
            np.empty(512 * MIB, np.uint8)
    np.empty(512 * MIB, np.uint8)


def test_what_is_free_may_be_used() -> None:
    with memory_limited():
        np.empty(512 * MIB, np.uint8)


@pytest.mark.parametrize(("cores", "reserved_mib"), [(1, 1200), (64, 4096)])
def test_what_libraries_reserve_and_do_not_use_need_not_be_free(
    cores: int, reserved_mib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)
    monkeypatch.setattr(memory.os, "cpu_count", lambda: cores)
    with memory_limited():
        np.empty(reserved_mib * MIB, np.uint8)


@pytest.mark.usefixtures("scarce", "quick_shapes")
@pytest.mark.parametrize("options", [("--input-size", 4096), ("--input-size", 99_999), ("--batch", 99_999)])
def test_what_is_too_large_is_told_in_one_line(
    options: tuple[str, int], tmp_path: Path, livecam: Callable[..., Result]
) -> None:
    source, output = "demo:?size=1280x720&seconds=60", tmp_path / "out.mp4"
    result = livecam("annotate", source, "-o", output, *options, "--quiet")
    assert (result.exit_code, result.output) == (
        1,
        "livecam: the memory is not enough; close other programs, or take a smaller model, input size or --batch\n",
    )
    assert not list(tmp_path.iterdir())


def test_a_container_may_have_less_than_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_system = free_bytes()
    monkeypatch.setattr(memory, "_CONTAINERS", tmp_path)
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    (tmp_path / "own").write_text("1:name=systemd:/\n0::/\n")
    (tmp_path / "memory.stat").write_text(f"anon {100 * MIB}\nfile {700 * MIB}\ninactive_anon 0\n")
    (tmp_path / "memory.max").write_text(f"{300 * MIB}\n")
    assert free_bytes() == 200 * MIB
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() == pytest.approx(of_system, rel=0.2)
