"""Explaining: from a frame to a map of what the model looked at. Files and drawing are not handled here."""

import cv2  # noqa: F401 - before PyAV, see livecam/picture/__init__.py
