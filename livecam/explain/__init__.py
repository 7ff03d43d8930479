"""Explaining: from a frame to a map of what the model looked at. Knows nothing of files or drawing."""
