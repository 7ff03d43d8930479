"""Watching live: whether there is a window to watch in."""
