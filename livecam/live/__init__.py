"""Live: cameras and streams in, a window out; the newest frame is explained, and what is passed over is counted."""
