"""The screen and the state of this program's windows, asked of X11, by which OpenCV opens windows on Linux."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterable
from contextlib import suppress
from ctypes import byref, c_int, c_long, c_uint, c_ulong
from typing import Any

_ANY_TYPE = 0
_MOST_ITEMS = 1024
_ALL_DESKTOPS = 0xFFFFFFFF
_KEY_PRESS, _KEY_PRESS_MASK, _MAPPING_NOTIFY = 2, 1, 34
_LONGS_OF_EVENT, _MOST_LETTERS = 24, 16


def work_area() -> tuple[int, int, int, int] | None:
    """Return left, top, width and height of the screen without panels, in pixels; None if that is unknown."""
    desktop = _desktop()
    if desktop is None:
        return None
    root = desktop.root
    area = desktop.numbers(root, "_NET_WORKAREA")[:4]
    return (area[0], area[1], area[2], area[3]) if len(area) == 4 else (0, 0, *desktop.size)


def is_hidden() -> bool:
    """Return True if this program has windows, but all are minimised or on other desktops; False if unknown."""
    desktop = _desktop()
    return desktop is not None and desktop.hides_windows()


def listen_to_keys() -> bool:
    """Ask for the keys that are pressed in this program's windows from now on; return False if there is no way to.

    OpenCV's Qt tells only the last one of the keys that were pressed between two pictures, and not if it was a capital.
    """
    desktop = _desktop()
    return desktop is not None and desktop.listen_to_keys()


def typed_letters() -> str:
    """Return what was typed since the last call, in its order, after `listen_to_keys` has returned True."""
    desktop = _desktop()
    return "" if desktop is None else desktop.typed_letters()


def leave_events_to_qt() -> None:
    """Keep Xlib from taking events that are for Qt, with which OpenCV opens windows; to be called before the first one.

    OpenCV brings a libX11-xcb of its own to switch that off, which does not fit an Xlib since 1.8: now and then Qt does
    not hear that its window is on the screen, and the window stays black. The library of the system fits, if there is
    one, and is taken in place of the other since its names are global.
    """
    with suppress(OSError):
        ctypes.CDLL("libX11-xcb.so.1", mode=ctypes.RTLD_GLOBAL)


class _Desktop:
    """A connection to an X server, apart from that of the windows."""

    def __init__(self, xlib: Any, display: ctypes.c_void_p) -> None:
        self._xlib, self._display = xlib, display
        self.root = int(xlib.XDefaultRootWindow(display))
        self.size = int(xlib.XDisplayWidth(display, 0)), int(xlib.XDisplayHeight(display, 0))

    def hides_windows(self) -> bool:
        own = self._own(self.numbers(self.root, "_NET_CLIENT_LIST"))
        return bool(own) and all(map(self._hides, own))

    def listen_to_keys(self) -> bool:
        # Without a window manager, windows are known as children of the root.
        own = self._own(self.numbers(self.root, "_NET_CLIENT_LIST") or self._children())
        for window in own:
            self._xlib.XSelectInput(self._display, c_ulong(window), c_long(_KEY_PRESS_MASK))
        return bool(own)

    def typed_letters(self) -> str:
        event, letters, typed = (c_long * _LONGS_OF_EVENT)(), ctypes.create_string_buffer(_MOST_LETTERS), ""
        while self._xlib.XPending(self._display):
            self._xlib.XNextEvent(self._display, event)
            kind = c_int.from_buffer(event).value
            if kind == _KEY_PRESS:
                count = self._xlib.XLookupString(event, letters, _MOST_LETTERS, None, None)
                typed += letters.raw[:count].decode("latin-1")
            elif kind == _MAPPING_NOTIFY:
                self._xlib.XRefreshKeyboardMapping(event)
        return typed

    def _own(self, windows: Iterable[int]) -> list[int]:
        return [window for window in windows if self.numbers(window, "_NET_WM_PID") == [os.getpid()]]

    def _children(self) -> list[int]:
        others, count, windows = (c_ulong(), c_ulong()), c_uint(), ctypes.POINTER(c_ulong)()
        found = [byref(each) for each in (*others, windows, count)]
        self._xlib.XQueryTree(self._display, c_ulong(self.root), *found)
        children = windows[: count.value]
        self._xlib.XFree(windows)
        return children

    def _hides(self, window: int) -> bool:
        current, on = self.numbers(self.root, "_NET_CURRENT_DESKTOP"), self.numbers(window, "_NET_WM_DESKTOP")
        is_elsewhere = bool(current and on) and on[0] not in (current[0], _ALL_DESKTOPS)
        return is_elsewhere or self._atom("_NET_WM_STATE_HIDDEN") in self.numbers(window, "_NET_WM_STATE")

    def numbers(self, window: int, name: str) -> list[int]:
        """Return a property of a window; empty if there is none."""
        kind, form, count, left = c_ulong(), c_int(), c_ulong(), c_ulong()
        values = ctypes.POINTER(c_ulong)()
        found = [byref(each) for each in (kind, form, count, left, values)]
        what = self._atom(name), 0, _MOST_ITEMS, False, _ANY_TYPE
        self._xlib.XGetWindowProperty(self._display, c_ulong(window), *map(c_long, what), *found)
        numbers = [values[place] & 0xFFFFFFFF for place in range(count.value)] if values and form.value == 32 else []
        if values:
            self._xlib.XFree(values)
        return numbers

    def _atom(self, name: str) -> int:
        return int(self._xlib.XInternAtom(self._display, name.encode(), False))


@functools.cache
def _desktop() -> _Desktop | None:
    """Connect to the X server, if there is one."""
    try:
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return None
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    display = ctypes.c_void_p(xlib.XOpenDisplay(None))
    if not display:
        return None
    xlib.XDefaultRootWindow.restype = xlib.XInternAtom.restype = c_ulong
    xlib.XSetErrorHandler(_ignore_error)
    return _Desktop(xlib, display)


_ignore_error = ctypes.CFUNCTYPE(c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda display, error: 0)
"""Goes on after an error, since a window may just have been closed. By default Xlib ends the program."""
