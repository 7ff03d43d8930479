"""The options of `livecam live` for showing a run on a page in a browser instead of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click import Option

from livecam.cli.options import FILE, Address, Section, taken
from livecam.cli.settings import is_typed
from livecam.names import BROWSER, LOOPBACK, SHOWN_IN

if TYPE_CHECKING:
    from livecam.web import WebOptions

PAGE = Section(
    "Page",
    (
        Option(
            ["--show"],
            type=click.Choice(SHOWN_IN),
            is_flag=False,
            flag_value="window",
            default="window",
            show_default="window; browser for browser:",
            help="Where to show it: in a window, or on a page for browsers, whose URL is printed.",
        ),
        Option(
            ["--listen"],
            type=Address(),
            metavar="ADDRESS:PORT",
            show_default="127.0.0.1:8765",
            help="Serve the page at this address of this machine; the default can also be reached from elsewhere, by "
            "ssh -L 8765:127.0.0.1:8765 HOST. Any other needs a certificate, or a proxy.",
        ),
        Option(["--certificate"], type=FILE, metavar="FILE", help="Encrypt with this certificate, in PEM."),
        Option(["--key"], type=FILE, metavar="FILE", help="The key of the certificate, if it has a file of its own."),
        Option(
            ["--behind-proxy"],
            metavar="URL",
            help="The page is reached at this URL of a reverse proxy, which encrypts, such as https://gpu.example.org.",
        ),
    ),
)


def shown_in(options: dict[str, Any], sources: Sequence[str]) -> bool | WebOptions:
    """Remove the options of window and page, and return where to show these sources, as `watch` takes it."""
    page = taken(options, [option.name for option in PAGE.options])
    has_window, show, address = options.pop("window"), page.pop("show"), page.pop("listen")
    if BROWSER in sources:
        _check_shows_page(has_window, show)
    elif show == "window" or not _prefers_page(has_window):
        given = [name for name, value in {"listen": address, **page}.items() if value is not None and is_typed(name)]
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} is for a page; add --show browser")
        return has_window
    from livecam.web import WebOptions

    host, port = address or (LOOPBACK, None)
    return WebOptions(host, port, **page)


def _check_shows_page(has_window: bool, show: str) -> None:
    """Raise UsageError if the page of a camera is not to be shown."""
    for option, value, other in (("window", has_window, "--no-window"), ("show", show == "browser", "--show window")):
        if not value and is_typed(option):
            raise click.UsageError(f"{BROWSER} is the camera of a page, which has to be shown; leave out {other}")


def _prefers_page(has_window: bool) -> bool:
    """Return True for a page, False for nothing: what is typed counts more than other settings."""
    if not has_window and is_typed("window") and is_typed("show"):
        raise click.UsageError("--show browser and --no-window exclude each other; leave out one")
    return has_window or not is_typed("window")
