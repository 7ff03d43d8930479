"""The live run: shows cameras, streams and files in a window. The newest frame is explained; others are dropped."""
