"""The survey of a model: which of its layers can be explained, and where their cells lie on the picture."""
