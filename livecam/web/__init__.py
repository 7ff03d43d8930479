"""A page in a browser that shows a live run, and whose camera can be the source of it."""

from livecam.web.listening import WebOptions

__all__ = ["WebOptions"]
