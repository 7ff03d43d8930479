"""The weights of a model: read from a file, fitted to the model by names and shapes, or random."""
