"""The live run: cameras, streams and files in, a window out. The newest frame is explained; every other is counted."""
