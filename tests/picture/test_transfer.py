"""Copies of planes to a device and back."""

from __future__ import annotations

import numpy as np
import torch

from livecam.picture.planes import planes
from livecam.picture.transfer import Transfer, transfer_to, uploaded
from tests.support.cuda_stand_in import CudaStandIn
from tests.support.frames import video_frame

CPU = Transfer(torch.device("cpu"))
SECOND = torch.device("cuda", 1)


def test_planes_come_back_as_they_went_up() -> None:
    frame = video_frame(193, 109)
    sent = planes(frame.picture)
    uploaded = CPU.upload(sent).here()
    back = [np.zeros_like(plane) for plane in sent]
    CPU.download(uploaded, back)
    assert all(np.array_equal(one, other) for one, other in zip(sent, back, strict=True))


def test_a_picture_goes_up_in_one_copy_that_nobody_waits_for(cuda: CudaStandIn) -> None:
    transfer = transfer_to(SECOND)
    with cuda.counted():
        sent = uploaded(video_frame().picture, transfer)
    assert sent is not None
    assert (cuda.uploads, cuda.kernels, cuda.waits, cuda.devices) == ([True], [], 0, {1})


def test_what_is_not_drawn_on_a_device_is_not_sent_to_it(cuda: CudaStandIn) -> None:
    picture = video_frame().picture
    assert transfer_to(torch.device("cpu")) is None
    assert uploaded(picture, None) is None
    assert uploaded(picture.reformat(format="yuv420p10le"), transfer_to(SECOND)) is None
