"""The stand-in for torch.cuda behaves like the original where the tests rely on it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.cuda_stand_in import CudaStandIn


def captured(program: Callable[[Tensor], Tensor], example: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.Stream(), capture_error_mode="thread_local"):
        output = program(example)
    return graph, output


def test_a_replay_computes_anew_in_the_memory_of_the_capture(cuda: CudaStandIn) -> None:
    """With views, operations in place, and a gradient."""

    def program(given: Tensor) -> Tensor:
        leaf = given.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad((leaf**3).sum(), leaf)
        gradient[0].add_(1)
        return gradient.expand(2, *gradient.shape).sum(dim=0)

    given = torch.randn(3, 4)
    graph, output = captured(program, given)
    for _ in range(2):
        given.copy_(torch.randn(3, 4))
        graph.replay()
        assert torch.equal(output, program(given))
    assert not cuda.open_captures


def test_a_module_is_captured_by_hand_as_well(cuda: CudaStandIn) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(inplace=True)).eval()
    given = torch.randn(1, 3, 8, 8)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.stream(torch.cuda.Stream()):
        graph.capture_begin(capture_error_mode="thread_local")
        output = module(given)
        assert cuda.open_captures == [graph]
        graph.capture_end()
        given.normal_()
        graph.replay()
        assert torch.equal(output, module(given))


@pytest.mark.parametrize(
    "waiting",
    [
        lambda given: given.sum().item(),
        lambda given: torch.linalg.eigh(given),
        lambda given: given.nonzero(),
        lambda given: given[given > 0],
        lambda given: torch.cuda.synchronize(),
        lambda given: torch.empty(3, pin_memory=True),
    ],
)
def test_what_waits_for_the_device_cannot_be_captured(cuda: CudaStandIn, waiting: Callable[[Tensor], object]) -> None:
    with pytest.raises(RuntimeError, match="capture"):
        captured(waiting, torch.eye(3))  # type: ignore[arg-type]
    assert not cuda.open_captures
    assert cuda.failed_captures == 1
    waiting(torch.eye(3))


@pytest.mark.gpu
def test_what_is_compared_on_a_gpu_is_computed_there_in_full_precision() -> None:
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"


def test_the_guard_tells_where_something_is_launched(cuda: CudaStandIn) -> None:
    device = torch.device("cuda", 1)
    event = torch.cuda.Event()
    event.record()
    with torch.cuda.device(device):
        event.record()
        with torch.cuda.stream(torch.cuda.Stream(torch.device("cuda", 2))):
            event.record()
        assert torch.cuda.current_device() == 1
    assert [index for _, index in cuda.launches] == [0, 1, 2]


def test_memory_of_the_host_is_copied_on_its_way_and_no_other(cuda: CudaStandIn) -> None:
    device = torch.device("cuda", 1)
    there = torch.zeros(4, device=device)
    assert there.to(device) is there
    pinned, pageable = torch.empty(4, pin_memory=True), torch.from_numpy(np.zeros(4))
    for host in (pinned, pageable):
        assert host.to(device).data_ptr() != host.data_ptr()
    assert cuda.uploads == [True, False]
    assert cuda.is_pinned(pinned[1:])
    assert not cuda.is_pinned(there)


def test_copies_and_kernels_are_counted(cuda: CudaStandIn) -> None:
    there, pinned = torch.zeros(4), torch.empty(4, pin_memory=True)
    with cuda.counted():
        there.copy_(pinned, non_blocking=True)
        there.view(2, 2)[0].add_(1)
        pinned.copy_(there)
        assert there.cpu().data_ptr() != there.data_ptr()
    assert (cuda.uploads, cuda.downloads, cuda.kernels, cuda.waits) == ([True], [True, False], ["add_"], 1)


def test_events_tell_the_milliseconds_between_them(cuda: CudaStandIn) -> None:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    time.sleep(0.01)
    end.record()
    assert 10 <= begin.elapsed_time(end) < 1000
