"""A run over a video file or pictures: its plan, its threads, and the files written beside its output."""
