"""Pictures: frames, their planes, colours and orientation, and the facts of the medium they come from."""

import cv2  # noqa: F401 - before PyAV: on Linux both bring a libxcb-shm, and the window hangs with that of PyAV
