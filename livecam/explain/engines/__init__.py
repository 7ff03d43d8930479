"""Engines, the ways to run a program: by PyTorch, by OpenVINO, or captured and compiled on a GPU."""
