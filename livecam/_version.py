"""The version of livecam: the package, the program and the distribution all read it from here."""

__version__ = "0.1.0"
