"""Explaining: from a frame to a map of what the model looked at. Files and drawing are not handled here."""
