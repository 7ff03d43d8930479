"""Text for people to read: without credentials, and without what would control a terminal."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from itertools import groupby

OBJECT_STORES = ("s3", "gs", "az", "hf")
"""The schemes of names in object stores, which hold no credentials but in their first part."""

_SCHEME = r"(?<![A-Za-z0-9+.-])(?!file:)[A-Za-z][A-Za-z0-9+.-]+:/+"  # of two letters and more, since C:/ is a drive
_URL = re.compile(rf"({_SCHEME})(.*)", re.DOTALL)
_URL_IN_TEXT = re.compile(rf"({_SCHEME})(\S*?)(?=[:;,.)\]}}>'\"…]*(?:\s|$))")
_USER_INFO = re.compile(r"[^/?#\\\s]*@")
_HOST = re.compile(r"(?:\[[\w:.%]*\]|[\w.-]*)(?::\d*)?(?=[/?#;&=\\\s]|$)")
_BUCKET, _END_OF_KEY = re.compile(r"[\w.-]*(?:/|$)"), re.compile(rf"(\?)|%3f|{_SCHEME}", re.IGNORECASE)
_END_OF_PATH = re.compile(rf"([?#;])|[&=\\\s]|%(?:3f|23|3b|3a%2f)|{_SCHEME}", re.IGNORECASE)


def redacted(name: str) -> str:
    """Return a URL without all that may be a credential; other names are returned unchanged.

    Scheme, host and path are left. Whatever their names are, these are removed: user and password, query, fragment,
    parameters, another URL within this one, and of a URL that is not well-formed all but the scheme. Of a name in an
    object store all is left but these: what stands in place of a bucket, a query, another URL.
    """
    return _URL.sub(_shown, name)


def with_urls_redacted(text: str) -> str:
    """Return a text with each URL in it `redacted`."""
    return _URL_IN_TEXT.sub(_shown, text)


def _shown(url: re.Match[str]) -> str:
    scheme, rest = url.groups()
    if scheme.lower().removesuffix("://") in OBJECT_STORES:
        return scheme + _shown_key(rest)
    rest = _USER_INFO.sub("", rest, count=1) if _USER_INFO.match(rest) else rest
    host = _HOST.match(rest)
    if host is None or "@" in rest:  # what is taken for host and path may belong to a password
        return f"{scheme}***"
    end = _END_OF_PATH.search(rest, host.end())
    return scheme + (f"{rest[: end.start()]}{end[1] or ''}***" if end else rest)


def _shown_key(key: str) -> str:
    """Return bucket and name of an object, up to a ? or another URL; other signs than these are usual in names."""
    if not _BUCKET.match(key):
        return "***"
    end = _END_OF_KEY.search(key)
    return f"{key[: end.start()]}{end[1] or ''}***" if end else key


def number(value: float) -> str:
    """Return a number with three significant digits and no exponent: 58.2, 0.473, 1240."""
    if not math.isfinite(value):
        return str(value)
    places = 2 - math.floor(math.log10(abs(value))) if value else 2
    return f"{round(value, places):.{max(places, 0)}f}"


def printable(text: str) -> str:
    r"""Return one line of text in which escapes such as \n and \x1b stand for what would control the terminal."""
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def similar(word: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Return the names that resemble a word, the most similar first; upper case and hyphens make no difference."""
    folded = {_folded(name): name for name in names}
    return [folded[each] for each in difflib.get_close_matches(_folded(word), folded, most)]


def _folded(name: str) -> str:
    return re.sub("[^a-z0-9:]", "", name.lower().replace("plus", "p").replace("+", "p"))


def spans_of(members: Iterable[int]) -> str:
    """Return ascending numbers as a text in which ranges are short: "151,153,200-210"."""
    runs = [
        [number for _, number in run] for _, run in groupby(enumerate(members), lambda placed: placed[1] - placed[0])
    ]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
