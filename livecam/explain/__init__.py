"""Explaining: from a frame to the map of what the model looked at. Knows nothing of files, threads or drawing."""
