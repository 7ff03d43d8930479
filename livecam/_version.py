"""The version of livecam: the one place where it stands, for the package, the program and the distribution."""

__version__ = "0.1.0"
