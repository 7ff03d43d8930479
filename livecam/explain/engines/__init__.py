"""Engines, the ways to run a program: with PyTorch, with OpenVINO, or as a CUDA graph or compiled code on a GPU."""
