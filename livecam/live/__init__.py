"""The live run: shows cameras, streams and files in a window. The newest frame is explained; others are dropped."""

import cv2  # noqa: F401 - before PyAV, see livecam/picture/__init__.py
